#include "fde/fde.h"

#include <algorithm>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"

namespace femto {
namespace {

constexpr int64_t kPiece = 4;  // texts that a thread takes at a time

}  // namespace

MuveraEncoder::MuveraEncoder(const Muvera& muvera, Sketch sketch)
    : kernel_(femto::kernel()),
      unsketched_((size_t(muvera.repetitions) << muvera.bits) * muvera.width),
      projection_(muvera.repetitions),
      order_(muvera.order, muvera.order + (size_t(1) << muvera.bits)),
      ones_(size_t(1) << muvera.bits),
      packed_(),
      sketch_(std::move(sketch)) {
  for (size_t code = 1; code < ones_.size(); ++code) ones_[code] = uint8_t(ones_[code / 2] + code % 2);
  Arena counter{nullptr, 0};
  kernel_->pack_muvera(muvera, counter, projection_.data(), packed_);
  storage_.resize(counter.used + kLine);
  Arena arena{aligned(storage_.data()), 0};
  kernel_->pack_muvera(muvera, arena, projection_.data(), packed_);
  packed_.order = order_.data();
  packed_.ones = ones_.data();
}

void MuveraEncoder::encode(const float* rows, const int64_t* starts, int64_t texts, bool documents, int threads,
                           float* out) const {
  int64_t longest = 0;
  for (int64_t n = 0; n < texts; ++n) longest = std::max(longest, starts[n + 1] - starts[n]);
  const size_t size = size_t(this->size()), whole = sketch_.size ? unsketched_ : 0;
  const size_t scratch = kernel_->muvera_scratch(packed_, longest);
  const int64_t pieces = (texts + kPiece - 1) / kPiece;
  threads = thread_count(threads, pieces);
  PerThread memory(threads, scratch + whole);
  share(threads, pieces, [&](int thread, int64_t piece) {
    for (int64_t n = piece * kPiece; n < std::min(texts, (piece + 1) * kPiece); ++n) {
      float* to = out + n * size;
      const int64_t length = starts[n + 1] - starts[n];
      if (length == 0 || whole) std::fill_n(to, size, 0.0f);
      if (length == 0) continue;
      float* vector = whole ? memory.of(thread) + scratch : to;
      kernel_->muvera(packed_, rows + starts[n] * packed_.dims, length, documents, vector, memory.of(thread));
      for (size_t i = 0; i < whole; ++i) to[sketch_.places[i]] += sketch_.signs[i] * vector[i];
    }
  });
}

}  // namespace femto
