// MUVERA's numbers, and a coded vector, as the kernels want them: plain structs of pointers and sizes.
#pragma once
#include "bert/bert.h"

namespace femto {

enum class Fill { none, mean, first };  // what an empty bucket of a document gets

// Plain pointers and sizes; whoever fills it owns the memory.
struct Muvera {
  int dims, repetitions, bits;
  int width;                // numbers of a bucket in the output
  const float* planes;      // [bits, repetitions, dims]
  const float* projection;  // [repetitions, width, dims], or null: rows as they are
  const int32_t* order;     // [1 << bits] where the bucket of a sign code lies in the output
  Fill fill;
  float scale;
};

// The same for one instruction set.
struct PackedMuvera {
  int dims, repetitions, bits, width;
  int row_stride;            // floats of a padded row
  Panels planes;             // a column for each bit and repetition
  const Panels* projection;  // [repetitions], or null
  const int32_t* order;
  const uint8_t* ones;  // [1 << bits] the ones in a code
  Fill fill;
  float scale;
};

// The last numbers of a vector as int8, multiplied with bytes of rows that lie row by row: plane s has the code that
// byte i's s-th number is multiplied with at place i, `step` apart and zeros up to there.
struct CodedRest {
  const int8_t* planes;
  int64_t step;    // a multiple of 64
  int64_t bytes;   // of each row that are read; 0: none
  int64_t offset;  // where row 0's lie
  int64_t stride;  // and how far on the next row's
};

// A vector as int8, without the groups of dims that are zero: in the bytes of groups[i], dims 4 places[i] and on. What
// it is multiplied with has 8, 4 or 2 bits a number.
struct CodedVector {
  const int32_t* groups;
  const int32_t* places;
  const int64_t* offsets;  // of each group: where it lies in block 0,
  const int64_t* strides;  // and how far on in the next one, in bytes
  int count;               // of groups that are not zero
  int bits;                // of the coded rows
  int32_t sum;             // of all codes, the rest's too
  float scale;
  CodedRest rest;
};

}  // namespace femto
