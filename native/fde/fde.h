// Fixed-dimensional encodings of many texts, and the scan of coded vectors. docs/fde.md says what is computed.
#pragma once
#include <vector>

#include "cpu/kernel.h"

namespace femto {

// A count-sketch: number i is added, `signs[i]` times, to place `places[i]` of `size`. size 0: none.
struct Sketch {
  int size;
  std::vector<int32_t> places;
  std::vector<float> signs;
};

class MuveraEncoder {
 public:
  // Copies all numbers, for the instruction set in use.
  MuveraEncoder(const Muvera& muvera, Sketch sketch);

  int dims() const { return packed_.dims; }
  int64_t size() const { return sketch_.size ? sketch_.size : int64_t(unsketched_); }
  const char* kernel() const { return kernel_->name; }

  // Writes [texts, size]: sums, or for documents means, of the rows in each bucket. A text without rows gives zeros.
  void encode(const float* rows, const int64_t* starts, int64_t texts, bool documents, int threads, float* out) const;

 private:
  const Kernel* kernel_;
  size_t unsketched_;
  std::vector<Panels> projection_;
  std::vector<int32_t> order_;
  std::vector<uint8_t> ones_;
  std::vector<float> storage_;
  PackedMuvera packed_;
  Sketch sketch_;
};

// In which order the groups of coded rows lie: all of a block of rows after each other; or sliced, first all blocks'
// groups of the first 256 numbers, then those of the next 256, 512, 1024, ...; or split, first all blocks' groups of
// the first 128 numbers, then row by row the others of each.
enum class Order { kBlocks, kSlices, kSplit };
constexpr int kHead = 128;  // numbers

// How coded rows lie: 8, 4 or 2 bits a number, in group_count groups of four bytes.
struct Layout {
  int bits, group_count;
  Order order;
};

// products[n] = <vector, row n> for the coded rows of all blocks, the padding of the last one too; a finite vector of
// at most 65,536 dims.
void inner_products(const float* vector, int dims, const Layout& layout, const int8_t* blocks, const float* scales,
                    int64_t block_count, int threads, float* products);

// Coded rows of one part of all. alive [count]: which of them count; null: all.
struct CodedVectors {
  const int8_t* blocks;
  const float* scales;
  const uint8_t* alive;
  int64_t count, block_count;
  Order order;
};

struct Neighbour {
  float product;
  int64_t number;
};

// The `most` largest products of a finite vector with the living rows of all parts, of `bits` in
// `group_count` groups, of whose numbers the vector's `dims` are the first. Rows are numbered end to end, the dead ones
// too; of equal products the first rows count. By number; the order of threads changes nothing. Blocks of dead rows are
// not read.
std::vector<Neighbour> nearest(const float* vector, int dims, int bits, int group_count,
                               const std::vector<CodedVectors>& parts, int64_t most, int threads);

// The same of those `coarse` rows alone whose products with the vector's first 128 numbers are the largest, as the sum
// of two products: of these numbers, and of the others, coded by themselves. All parts are split.
std::vector<Neighbour> nearest_in_steps(const float* vector, int dims, int bits, int group_count,
                                        const std::vector<CodedVectors>& parts, int64_t coarse, int64_t most,
                                        int threads);

}  // namespace femto
