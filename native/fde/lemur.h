// What a learned fixed-dimensional encoding is made of. docs/fde.md says what is computed.
#pragma once
#include <vector>

#include "scan/coded_query.h"

namespace femto {

// y = weight x + bias, for many rows; each as if it were alone. As int8, weights and rows are codes and sums are exact.
class DenseLayer {
 public:
  // Copies all numbers, for the instruction set in use.
  DenseLayer(const Linear& linear, Precision precision);
  DenseLayer(const DenseLayer&) = delete;

  int in() const { return in_; }
  int out() const { return packed_.out; }

  // Writes [count, out].
  void apply(const float* rows, int64_t count, int threads, float* out) const;

 private:
  const DenseKernel* kernel_;
  int in_;
  std::vector<float> storage_;
  Panels packed_;
};

// For each text and anchor the largest inner product of the anchor with the text's rows, both as int8 codes.
class Anchors {
 public:
  // Codes finite anchors [count, dims].
  Anchors(const float* anchors, int count, int dims);
  Anchors(const Anchors&) = delete;

  int dims() const { return dims_; }
  int count() const { return count_; }

  // Writes [texts, count] of finite rows; zeros for a text without any.
  void maxima(const float* rows, const int64_t* starts, int64_t texts, int threads, float* out) const;

 private:
  const Kernel* kernel_;
  int dims_, count_;
  std::vector<CodedRows> pieces_;
};

}  // namespace femto
