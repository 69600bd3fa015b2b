#include "fde/lemur.h"

#include <algorithm>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"
#include "scan/scan.h"

namespace femto {
namespace {

constexpr int kRows = 48;      // rows that go through a layer together
constexpr int kAnchors = 256;  // whose codes and largest products stay in the first caches while a text passes by

}  // namespace

DenseLayer::DenseLayer(const Linear& linear, Precision precision)
    : kernel_(&femto::kernel()->dense[int(precision)]), in_(linear.in), packed_() {
  Arena counter{nullptr, 0};
  kernel_->pack(linear, counter, packed_);
  storage_.resize(counter.used + kLine);
  Arena arena{aligned(storage_.data()), 0};
  kernel_->pack(linear, arena, packed_);
}

void DenseLayer::apply(const float* rows, int64_t count, int threads, float* out) const {
  const int64_t pieces = (count + kRows - 1) / kRows;
  threads = thread_count(threads, pieces);
  const size_t padded = size_t(kRows) * packed_.width;
  PerThread memory(threads, padded + kernel_->scratch(packed_, kRows, in_));
  share(threads, pieces, [&](int thread, int64_t piece) {
    const int64_t begin = piece * kRows, some = std::min<int64_t>(kRows, count - begin);
    float* from = memory.of(thread);
    kernel_->apply(packed_, rows + begin * in_, int(some), in_, from + padded, from);
    for (int64_t r = begin; r < begin + some; ++r, from += packed_.width) {
      std::copy_n(from, packed_.out, out + r * packed_.out);
    }
  });
}

Anchors::Anchors(const float* anchors, int count, int dims) : kernel_(femto::kernel()), dims_(dims), count_(count) {
  for (int begin = 0; begin < count; begin += kAnchors) {
    pieces_.emplace_back(anchors + size_t(begin) * dims, std::min(kAnchors, count - begin), dims);
  }
}

void Anchors::maxima(const float* rows, const int64_t* starts, int64_t texts, int threads, float* out) const {
  struct Coded {
    std::vector<int8_t> blocks;
    std::vector<float> scales;
  };
  const size_t block_bytes = size_t((dims_ + kGroup - 1) / kGroup) * kBlockRows * kGroup;
  threads = thread_count(threads, texts);
  std::vector<Coded> coded(threads);
  PerThread best(threads, size_t(2) * kAnchors * kBlockRows);
  share(threads, texts, [&](int thread, int64_t n) {
    const int64_t length = starts[n + 1] - starts[n], blocks = (length + kBlockRows - 1) / kBlockRows;
    float* to = out + n * count_;
    if (length == 0) std::fill_n(to, count_, 0.0f);
    if (length == 0) return;
    auto& [codes, scales] = coded[thread];
    codes.assign(blocks * block_bytes, 0);
    scales.assign(blocks * kBlockRows, 0.0f);
    quantise(rows + starts[n] * dims_, length, dims_, 8, codes.data(), scales.data());
    for (const CodedRows& piece : pieces_) {
      BlockProducts scratch{best.of(thread), best.of(thread) + size_t(kAnchors) * kBlockRows, -1};
      kernel_->maxima_codes(piece.query, codes.data(), scales.data(), 0, length, scratch, to);
      to += piece.query.count;
    }
  });
}

}  // namespace femto
