// Fixed-dimensional encodings of many texts, and the scan of coded vectors. docs/fde.md says what is computed.
#pragma once
#include <vector>

#include "kernel.h"

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

// products[n] = <vector, row n> for the coded rows of all blocks, the padding of the last one too; a finite vector of
// at most 65,536 dims.
void inner_products(const float* vector, int dims, const int8_t* blocks, const float* scales, int64_t block_count,
                    int threads, float* products);

}  // namespace femto
