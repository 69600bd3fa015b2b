#include "fde/fde.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"
#include "scan/codes.h"

namespace femto {
namespace {

constexpr int64_t kPiece = 4;             // texts that a thread takes at a time
constexpr size_t kPieceBytes = 1 << 18;   // of codes that a thread takes at a time,
constexpr int64_t kMostBlocks = 1 << 10;  // and of blocks
constexpr int kFirstSlice = 256;          // numbers

// A vector's codes, without the groups that are zero.
struct Coded {
  std::vector<int32_t> groups, places;
  CodedVector vector;

  Coded(const float* numbers, int dims, int bits) {
    vector = {nullptr, nullptr, nullptr, nullptr, 0, bits, 0, scale_of(numbers, dims)};
    for (int g = 0; vector.scale > 0 && g * kGroup < dims; ++g) {
      int32_t group = 0;
      auto* bytes = reinterpret_cast<int8_t*>(&group);
      for (int d = g * kGroup; d < std::min(dims, (g + 1) * kGroup); ++d) {
        bytes[d % kGroup] = code_of(numbers[d], vector.scale);
        vector.sum += bytes[d % kGroup];
      }
      if (group) groups.push_back(group), places.push_back(g);
    }
    vector.groups = groups.data();
    vector.places = places.data();
    vector.count = int(groups.size());
  }
};

// Where a vector's groups lie in some blocks of coded rows.
struct Placed {
  std::vector<int64_t> offsets, strides;
  CodedVector vector;

  Placed(const Coded& coded, const Layout& layout, int64_t block_count) : vector(coded.vector) {
    constexpr int64_t kGroupBytes = kBlockRows * kGroup;
    for (const int place : coded.places) {
      const int group = place * layout.bits / 8;
      int begin = 0, end = layout.group_count;
      if (layout.sliced) {
        for (end = kFirstSlice * layout.bits / 32; group >= end; end *= 2) begin = end;
        end = std::min(end, layout.group_count);
      }
      offsets.push_back((begin * block_count + group - begin) * kGroupBytes);
      strides.push_back((end - begin) * kGroupBytes);
    }
    vector.offsets = offsets.data();
    vector.strides = strides.data();
  }
};

// Blocks that a thread takes at a time.
int64_t step_of(const Coded& coded) {
  const size_t read = coded.places.size() * kBlockRows * kGroup * coded.vector.bits / 8;
  return std::clamp<int64_t>(kPieceBytes / std::max<size_t>(read, 1), 1, kMostBlocks);
}

constexpr float kLargest = std::numeric_limits<float>::max();

bool before(const Neighbour& a, const Neighbour& b) {
  return a.product > b.product || (a.product == b.product && a.number < b.number);
}

// Whether any row of a block counts; a block of none is not read.
bool counts(const CodedVectors& part, int64_t block) {
  if (!part.alive) return true;
  uint8_t any[kBlockRows] = {};
  const int64_t row = block * kBlockRows;
  std::memcpy(any, part.alive + row, size_t(std::min<int64_t>(kBlockRows, part.count - row)));
  uint64_t halves[2];
  std::memcpy(halves, any, sizeof halves);
  return halves[0] | halves[1];
}

// The first `most` of all that are offered to one thread, in the order of `before`, and some more; none that is less
// than `most` that another thread has.
class Best {
 public:
  Best(int64_t most, std::atomic<float>* floor) : most_(most), floor_(floor) {}

  // 16 products, of which the first `count` are rows `number`, `number` + 1, ...; those of damaged scales are none.
  void offer(const float* products, int64_t count, const uint8_t* alive, int64_t number) {
    const float least = floor_->load(std::memory_order_relaxed);
    bool any = false;
    for (int i = 0; i < kBlockRows; ++i) any |= products[i] >= least;
    if (!any) return;
    for (int64_t i = 0; i < count; ++i) {
      if (!(products[i] >= least && products[i] <= kLargest) || (alive && !alive[i])) continue;
      kept_.push_back({products[i], number + i});
      if (int64_t(kept_.size()) == 2 * most_) trim();
    }
  }

  void trim() {
    if (int64_t(kept_.size()) <= most_) return;
    std::nth_element(kept_.begin(), kept_.begin() + (most_ - 1), kept_.end(), before);
    kept_.resize(most_);
    const float least = kept_.back().product;
    float floor = floor_->load(std::memory_order_relaxed);
    while (floor < least && !floor_->compare_exchange_weak(floor, least, std::memory_order_relaxed)) {
    }
  }

  std::vector<Neighbour>& kept() { return kept_; }

 private:
  int64_t most_;
  std::atomic<float>* floor_;
  std::vector<Neighbour> kept_;
};

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

void inner_products(const float* vector, int dims, const Layout& layout, const int8_t* blocks, const float* scales,
                    int64_t block_count, int threads, float* products) {
  const Kernel* kernel = femto::kernel();
  const Coded coded(vector, dims, layout.bits);
  const Placed placed(coded, layout, block_count);
  const int64_t step = step_of(coded), pieces = (block_count + step - 1) / step;
  share(thread_count(threads, pieces), pieces, [&](int, int64_t piece) {
    const int64_t begin = piece * step, end = std::min(block_count, begin + step);
    kernel->inner_products(placed.vector, blocks, scales, begin, end, products + begin * kBlockRows);
  });
}

std::vector<Neighbour> nearest(const float* vector, int dims, const Layout& layout,
                               const std::vector<CodedVectors>& parts, int64_t most, int threads) {
  const Kernel* kernel = femto::kernel();
  const Coded coded(vector, dims, layout.bits);
  const int64_t step = step_of(coded);
  struct Piece {
    const CodedVectors* part;
    const Placed* placed;
    int64_t begin, first;  // its first block, and the number of the part's first row
  };
  std::vector<Placed> placed;
  std::vector<Piece> pieces;
  placed.reserve(parts.size());
  int64_t total = 0;
  for (const CodedVectors& part : parts) {
    const int64_t blocks = (part.count + kBlockRows - 1) / kBlockRows;
    placed.emplace_back(coded, layout, part.block_count);
    for (int64_t block = 0; block < blocks; block += step) pieces.push_back({&part, &placed.back(), block, total});
    total += part.count;
  }
  threads = thread_count(threads, int64_t(pieces.size()));
  std::atomic<float> floor{-kLargest};
  most = std::max<int64_t>(1, std::min(most, total));
  std::vector<Best> found(threads, Best(most, &floor));
  PerThread scratch(threads, size_t(step) * kBlockRows);
  share(threads, int64_t(pieces.size()), [&](int thread, int64_t number) {
    const auto& [part, where, begin, first] = pieces[number];
    const int64_t end = std::min(begin + step, (part->count + kBlockRows - 1) / kBlockRows);
    for (int64_t block = begin, last; block < end; block = last) {
      for (last = block; last < end && counts(*part, last); ++last) continue;
      float* products = scratch.of(thread);
      if (last > block) kernel->inner_products(where->vector, part->blocks, part->scales, block, last, products);
      for (; block < last; ++block, products += kBlockRows) {
        const int64_t row = block * kBlockRows;
        found[thread].offer(products, std::min<int64_t>(kBlockRows, part->count - row),
                            part->alive ? part->alive + row : nullptr, first + row);
      }
      for (; last < end && !counts(*part, last); ++last) continue;
    }
  });
  Best all(most, &floor);
  for (Best& some : found) all.kept().insert(all.kept().end(), some.kept().begin(), some.kept().end());
  all.trim();
  std::sort(all.kept().begin(), all.kept().end(), [](auto& a, auto& b) { return a.number < b.number; });
  return std::move(all.kept());
}

}  // namespace femto
