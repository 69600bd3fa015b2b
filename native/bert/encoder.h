// A packed model, and batches of texts through it on many threads.
#pragma once
#include <vector>

#include "bert/bert.h"
#include "cpu/kernel.h"

namespace femto {

// N texts end to end: see encoder.py. Whoever makes one has checked it.
struct Texts {
  const int32_t* ids;
  const int64_t* starts;    // [count + 1]
  const int32_t* attended;  // [count]
  const uint8_t* keep;
  int64_t count;
};

class Encoder {
 public:
  // Copies the weights, for the instruction set in use, but for a table of words before a projection in float32, which
  // has to stay where it is.
  Encoder(const Bert& bert, Precision precision);

  int dims() const { return packed_.dims; }
  int vocab() const { return packed_.vocab; }
  int positions() const { return packed_.positions; }
  const char* kernel() const { return kernel_->name; }

  // Writes the kept rows [kept, dims], text by text.
  void encode(const Texts& texts, int threads, float* rows) const;

 private:
  const Kernel* kernel_;
  const BertKernel* bert_;
  std::vector<PackedLayer> layers_;
  std::vector<Panels> dense_;
  std::vector<float> storage_;
  PackedBert packed_;
};

}  // namespace femto
