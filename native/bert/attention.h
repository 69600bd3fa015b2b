// Attention of one text: every query row over the attended keys, head by head, a few rows at a time.
#pragma once
#include "bert/curves.h"
#include "bert/gemm.h"

namespace femto::FEMTO_KERNEL {

constexpr int kScoreRows = 24;  // a whole number of tiles of any shape; their scores stay in the first cache

// The keys of one head as [size, width]: columns beyond `count` are zero.
inline void transpose_keys(const float* keys, size_t stride, int count, int size, float* out, int width) {
  for (int d = 0; d < size; ++d) {
    float* row = out + size_t(d) * width;
    for (int t = 0; t < count; ++t) row[t] = keys[t * stride + d];
    for (int t = count; t < width; ++t) row[t] = 0;
  }
}

// Replaces the scores of one row by e^(score - max) and returns 1 / their sum. Lanes beyond `count` hold no key.
inline float softmax(float* scores, int count) {
  const int whole = count / kLanes * kLanes, rest = count - whole;
  const Floats none = broadcast(-__builtin_inff());
  Floats top = none;
  for (int t = 0; t < whole; t += kLanes) top = max(top, load(scores + t));
  if (rest) top = max(top, between(0, rest, load(scores + whole), none));
  const Floats most = broadcast(maximum(top));
  Floats total{};
  for (int t = 0; t < whole; t += kLanes) {
    const Floats e = exponential(load(scores + t) - most);
    store(scores + t, e);
    total += e;
  }
  if (rest) {
    const Floats e = exponential(load(scores + whole) - most);
    store(scores + whole, e);
    total += between(0, rest, e, Floats{});
  }
  return 1 / sum(total);
}

struct Attention {
  const float* queries;  // [rows, stride], scaled by 1 / sqrt(size)
  const float* keys;     // [attended, stride]
  const float* values;   // [attended, stride]
  size_t stride;
  int rows, attended, heads, size;
  float* transposed;  // [size, padded(attended)]
  float* scores;      // [kScoreRows, padded(attended)]
  float* context;     // [rows, context_stride]
  size_t context_stride;
};

// A head whose size is not a whole number of vectors reads a little of what follows its values, and writes a little
// beyond its context: the next head overwrites that, and nothing reads what the last one leaves in the padding.
inline void attend_head(const Attention& a, int head) {
  const int width = padded(a.attended);
  const size_t offset = size_t(head) * a.size;
  transpose_keys(a.keys + offset, a.stride, a.attended, a.size, a.transposed, width);
  const Matrix keys{a.transposed, size_t(width), a.size, width / kLanes};
  const Matrix values{a.values + offset, a.stride, a.attended, vectors(a.size)};
  for (int start = 0; start < a.rows; start += kScoreRows) {
    const int rows = a.rows - start < kScoreRows ? a.rows - start : kScoreRows;
    float* context = a.context + start * a.context_stride + offset;
    float share[kScoreRows];
    multiply(a.queries + start * a.stride + offset, a.stride, rows, keys, a.scores, width);
    for (int r = 0; r < rows; ++r) share[r] = softmax(a.scores + r * width, a.attended);
    multiply(a.scores, width, rows, values, context, a.context_stride);
    for (int r = 0; r < rows; ++r) {
      for (int d = 0; d < a.size; d += kLanes) {
        float* p = context + r * a.context_stride + d;
        store(p, load(p) * share[r]);
      }
    }
  }
}

inline void attend(const Attention& a) {
  for (int head = 0; head < a.heads; ++head) attend_head(a, head);
}

}  // namespace femto::FEMTO_KERNEL
