// The scan of coded vectors: all products with one, and the largest of them.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"
#include "fde/coded_vector.h"

namespace femto {
namespace {

constexpr size_t kPieceBytes = 1 << 18;   // of codes that a thread takes at a time,
constexpr int64_t kMostBlocks = 1 << 10;  // and of blocks
constexpr int64_t kChosen = 256;          // rows that a thread takes at a time
constexpr float kLargest = std::numeric_limits<float>::max();

// Blocks that a thread takes at a time.
int64_t step_of(const Coded& coded) {
  const size_t read = coded.places.size() * kBlockRows * kGroup * coded.vector.bits / 8;
  return std::clamp<int64_t>(kPieceBytes / std::max<size_t>(read, 1), 1, kMostBlocks);
}

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

// Leaves the first `most`, in the order of `before`, where they lie; the product of the last of them.
float keep_first(int64_t most, std::vector<Neighbour>& all) {
  if (int64_t(all.size()) <= most) return -kLargest;
  std::vector<Neighbour> copy = all;
  std::nth_element(copy.begin(), copy.begin() + (most - 1), copy.end(), before);
  const Neighbour last = copy[most - 1];
  all.erase(std::remove_if(all.begin(), all.end(), [&](const Neighbour& n) { return before(last, n); }), all.end());
  return last.product;
}

// The first `most` of all that are offered to one thread, in the order of `before`, and some more; none that is less
// than `floor`, or than `most` that another thread has. By number.
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
    const float least = keep_first(most_, kept_);
    float floor = floor_->load(std::memory_order_relaxed);
    while (floor < least && !floor_->compare_exchange_weak(floor, least, std::memory_order_relaxed)) {
    }
  }

  void add(const Best& other) {
    std::vector<Neighbour> both(kept_.size() + other.kept_.size());
    std::merge(kept_.begin(), kept_.end(), other.kept_.begin(), other.kept_.end(), both.begin(),
               [](const Neighbour& x, const Neighbour& y) { return x.number < y.number; });
    kept_ = std::move(both);
  }

  std::vector<Neighbour>& kept() { return kept_; }

 private:
  int64_t most_;
  std::atomic<float>* floor_;
  std::vector<Neighbour> kept_;
};

// A scan of all parts for one vector.
class Scan {
 public:
  Scan(const Coded& coded, int group_count, const std::vector<CodedVectors>& parts)
      : kernel_(femto::kernel()), step_(step_of(coded)) {
    placed_.reserve(parts.size());
    for (const CodedVectors& part : parts) {
      placed_.emplace_back(coded, Layout{coded.vector.bits, group_count, part.order}, part.block_count);
      for (int64_t block = 0; block < blocks_of(part); block += step_) {
        pieces_.push_back({&part, &placed_.back(), block, total_});
      }
      total_ += part.count;
    }
  }

  // The `most` first of all, by number.
  std::vector<Neighbour> nearest(int64_t most, int threads) const {
    most = std::max<int64_t>(1, std::min(most, total_));
    const float floor = likely_floor(most);
    std::vector<Neighbour> found = best(most, floor, threads);
    return floor > -kLargest && int64_t(found.size()) < most ? best(most, -kLargest, threads) : std::move(found);
  }

 private:
  static constexpr int64_t kSampled = 32;

  struct Piece {
    const CodedVectors* part;
    const Placed* placed;
    int64_t begin, first;  // its first block, and the number of the part's first row
  };

  // The same of those that are not less than a floor.
  std::vector<Neighbour> best(int64_t most, float least, int threads) const {
    threads = thread_count(threads, int64_t(pieces_.size()));
    std::atomic<float> floor{least};
    std::vector<Best> best(threads, Best(most, &floor));
    PerThread scratch(threads, size_t(step_) * kBlockRows);
    share(threads, int64_t(pieces_.size()), [&](int thread, int64_t number) {
      const Piece& piece = pieces_[number];
      offer(piece, piece.begin, std::min(piece.begin + step_, blocks_of(*piece.part)), scratch.of(thread),
            best[thread]);
    });
    for (int thread = 1; thread < threads; ++thread) best[0].add(best[thread]);
    best[0].trim();
    return std::move(best[0].kept());
  }

  // What some more than `most` products are not less than, by one block of 32; nothing is known of few.
  float likely_floor(int64_t most) const {
    if (most < kSampled) return -kLargest;
    const double inside = double(most) / kSampled;
    const auto wanted = int64_t(1.25 * inside + 4 * std::sqrt(inside));
    std::atomic<float> none{-kLargest};
    Best sample(total_ + 1, &none);
    float products[kBlockRows];
    int64_t number = 0;  // of a block, among those of all parts
    for (const Piece& piece : pieces_) {
      const int64_t end = std::min(piece.begin + step_, blocks_of(*piece.part));
      for (int64_t block = piece.begin; block < end; ++block, ++number) {
        if (number % kSampled == 0) offer(piece, block, block + 1, products, sample);
      }
    }
    std::vector<Neighbour>& kept = sample.kept();
    if (int64_t(kept.size()) <= 2 * wanted) return -kLargest;
    std::nth_element(kept.begin(), kept.begin() + wanted, kept.end(), before);
    return kept[wanted].product;
  }

  static int64_t blocks_of(const CodedVectors& part) { return (part.count + kBlockRows - 1) / kBlockRows; }

  // Offers the rows of some blocks of a piece that count.
  void offer(const Piece& piece, int64_t block, int64_t end, float* scratch, Best& best) const {
    const CodedVectors& part = *piece.part;
    for (int64_t last; block < end; block = last) {
      for (last = block; last < end && counts(part, last); ++last) continue;
      float* products = scratch;
      if (last > block) kernel_->inner_products(piece.placed->vector, part.blocks, part.scales, block, last, products);
      for (; block < last; ++block, products += kBlockRows) {
        const int64_t row = block * kBlockRows;
        best.offer(products, std::min<int64_t>(kBlockRows, part.count - row), part.alive ? part.alive + row : nullptr,
                   piece.first + row);
      }
      for (; last < end && !counts(part, last); ++last) continue;
    }
  }

  const Kernel* kernel_;
  int64_t step_, total_ = 0;
  std::vector<Placed> placed_;
  std::vector<Piece> pieces_;
};

// Adds the products with the rest of a vector to those of some split rows, which are by number.
void add_rest(const Coded& coded, int group_count, const std::vector<CodedVectors>& parts, int threads,
              std::vector<Neighbour>& rows) {
  const Kernel* kernel = femto::kernel();
  struct Piece {
    const CodedVectors* part;
    int64_t first, begin, end;  // the number of the part's first row, and which of the rows
  };
  std::vector<Piece> pieces;
  int64_t first = 0, begin = 0;
  for (const CodedVectors& part : parts) {
    int64_t end = begin;
    while (end < int64_t(rows.size()) && rows[end].number < first + part.count) ++end;
    for (; begin < end; begin = pieces.back().end) {
      pieces.push_back({&part, first, begin, std::min(end, begin + kChosen)});
    }
    first += part.count;
  }
  share(thread_count(threads, int64_t(pieces.size())), int64_t(pieces.size()), [&](int, int64_t number) {
    const Piece& piece = pieces[number];
    const Placed placed(coded, Layout{coded.vector.bits, group_count, Order::kSplit}, piece.part->block_count);
    int64_t which[kChosen];
    float products[kChosen];
    const int64_t count = piece.end - piece.begin;
    for (int64_t i = 0; i < count; ++i) which[i] = rows[piece.begin + i].number - piece.first;
    kernel->rest_products(placed.vector, piece.part->blocks, piece.part->scales, which, count, products);
    for (int64_t i = 0; i < count; ++i) rows[piece.begin + i].product += products[i];
  });
}

}  // namespace

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

std::vector<Neighbour> nearest(const float* vector, int dims, int bits, int group_count,
                               const std::vector<CodedVectors>& parts, int64_t most, int threads) {
  const Coded coded(vector, dims, bits);
  return Scan(coded, group_count, parts).nearest(most, threads);
}

std::vector<Neighbour> nearest_in_steps(const float* vector, int dims, int bits, int group_count,
                                        const std::vector<CodedVectors>& parts, int64_t coarse, int64_t most,
                                        int threads) {
  const Coded head(vector, std::min(dims, kHead), bits);
  std::vector<Neighbour> near = Scan(head, group_count, parts).nearest(coarse, threads);
  if (dims > kHead) add_rest(Coded(vector, dims, bits, kHead), group_count, parts, threads, near);
  const auto is_none = [](const Neighbour& row) { return !(std::fabs(row.product) <= kLargest); };
  near.erase(std::remove_if(near.begin(), near.end(), is_none), near.end());  // those of damaged scales
  keep_first(most, near);
  return near;
}

}  // namespace femto
