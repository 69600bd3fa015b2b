// Matrix products, in tiles that fit the registers.
//
// Every element of a product is one chain of fused multiply-adds over the depth, in rising order, whatever tile it
// falls in: that is why a row does not depend on the rows beside it.
#pragma once
#include <type_traits>

#include "bert/bert.h"
#include "cpu/vec.h"

namespace femto::FEMTO_KERNEL {

// A tile of R rows and V vectors keeps R * V sums, V weights and one broadcast in registers.
constexpr int kPanel = kRegisters == 32 ? 4 : 2;
constexpr int tile_rows(int v) {
  if (kRegisters == 32) return v == 4 ? 6 : v == 3 ? 8 : 12;
  return v == 2 ? 6 : 12;
}

// Weights are cut into blocks of at most so many columns and as much depth: a slice of a panel stays in the cache while
// every row passes by, and so does what the rows have at a block's columns.
constexpr int kBlock = 384;

inline int smaller(int a, int b) { return a < b ? a : b; }
inline int larger(int a, int b) { return a > b ? a : b; }

// Even blocks, of whole panels. A layer's columns and the next layer's depth are cut at the same places.
inline int block(int size) {
  constexpr int kWhole = kPanel * kLanes;
  const int count = larger(1, (size + kBlock - 1) / kBlock);
  return ((size + count - 1) / count + kWhole - 1) / kWhole * kWhole;
}

// A right-hand side as it lies in memory: `stride` floats from row to row.
struct Matrix {
  const float* data;
  size_t stride;
  int depth;
  int vector_count;
};

struct Plain {
  static Floats finish(Floats v) { return v; }
};

template <int R, int V>
inline void accumulate(Floats (&sums)[R][V], const float* a, size_t a_stride, const float* b, size_t b_stride,
                       int depth) {
  for (int k = 0; k < depth; ++k) {
    Floats weights[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) weights[v] = load(b + k * b_stride + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Floats x = broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[r][v] += x * weights[v];
    }
  }
}

// The operands of one slice of the depth: c = finish(start + a b), where start is the bias or what c holds.
struct Slice {
  const float* a;
  size_t a_stride;
  const float* b;
  size_t b_stride;
  int depth;
  const float* bias;  // null: start from zero
  float* c;
  size_t c_stride;
  bool first, last;
};

// c = start + a b, for one tile. Not inlined: with a `finish` behind the loop the compiler keeps most of the sums on
// the stack, and loads and stores one for every multiply-add.
template <int R, int V>
[[gnu::noinline]] void sum_tile(const Slice& s) {
  Floats sums[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      sums[r][v] = !s.first ? load(s.c + r * s.c_stride + v * kLanes) : s.bias ? load(s.bias + v * kLanes) : Floats{};
    }
  }
  accumulate<R, V>(sums, s.a, s.a_stride, s.b, s.b_stride, s.depth);
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(s.c + r * s.c_stride + v * kLanes, sums[r][v]);
  }
}

// The sums of a tile, and what `finish` makes of the last ones, which lie in the cache.
template <int R, int V, class Finish>
inline void tile(const Slice& s) {
  sum_tile<R, V>(s);
  if constexpr (!std::is_same_v<Finish, Plain>) {
    if (!s.last) return;
    for (int r = 0; r < R; ++r) {
      float* c = s.c + r * s.c_stride;
      for (int v = 0; v < V; ++v) store(c + v * kLanes, Finish::finish(load(c + v * kLanes)));
    }
  }
}

// The last rows, fewer than a full tile.
template <int R, int V, class Finish>
inline void tail(const Slice& s, int rows) {
  if constexpr (R > 0) {
    if (rows == R) return tile<R, V, Finish>(s);
    tail<R - 1, V, Finish>(s, rows);
  }
}

template <int V, class Finish>
void panel(Slice s, int rows) {
  constexpr int R = tile_rows(V);
  for (; rows >= R; rows -= R, s.a += R * s.a_stride, s.c += R * s.c_stride) tile<R, V, Finish>(s);
  tail<R - 1, V, Finish>(s, rows);
}

template <class Finish>
inline void panel(int v, const Slice& s, int rows) {
  if (v == 1) return panel<1, Finish>(s, rows);
  if (v == 2) return panel<2, Finish>(s, rows);
  if constexpr (kPanel == 4) {
    if (v == 3) return panel<3, Finish>(s, rows);
    panel<4, Finish>(s, rows);
  }
}

// Vectors in the next panel, where `left` are left: as even as can be, for a thin panel is a slow one.
inline int next_panel(int left) {
  const int panels = (left + kPanel - 1) / kPanel;
  return (left + panels - 1) / panels;
}

// c[rows, b's columns] = a[rows, depth] b.
inline void multiply(const float* a, size_t a_stride, int rows, const Matrix& b, float* c, size_t c_stride) {
  for (int done = 0; done < b.vector_count;) {
    const int v = next_panel(b.vector_count - done);
    const size_t column = size_t(done) * kLanes;
    panel<Plain>(v, {a, a_stride, b.data + column, b.stride, b.depth, nullptr, c + column, c_stride, true, true}, rows);
    done += v;
  }
}

// What one block of weights adds: a begins where the block's depth does, and c where its columns do.
template <class Finish>
void multiply_block(const float* a, size_t a_stride, int rows, const Panels& b, int k, int column, float* c,
                    size_t c_stride) {
  const int depth = smaller(b.depth_block, b.depth - k), width = smaller(b.width_block, b.width - column);
  const float* weight = b.weight + size_t(b.depth) * column + size_t(k) * width;
  const float* bias = b.bias + column;
  const bool first = k == 0, last = k + depth == b.depth;
  for (int done = 0; done < width;) {
    const int v = next_panel((width - done) / kLanes);
    const size_t stride = size_t(v) * kLanes;
    panel<Finish>(v, {a, a_stride, weight, stride, depth, bias + done, c + done, c_stride, first, last}, rows);
    weight += depth * stride;
    done += v * kLanes;
  }
}

// c[rows, a block's columns] = finish(a b + bias) for the block of columns that begins at `column`.
template <class Finish>
void multiply_columns(const float* a, size_t a_stride, int rows, const Panels& b, int column, float* c,
                      size_t c_stride) {
  for (int k = 0; k < b.depth; k += b.depth_block) {
    multiply_block<Finish>(a + k, a_stride, rows, b, k, column, c, c_stride);
  }
}

// c += a b for the block of depth that begins at k; where k is 0, c = a b + bias.
inline void multiply_depth(const float* a, size_t a_stride, int rows, const Panels& b, int k, float* c,
                           size_t c_stride) {
  for (int column = 0; column < b.width; column += b.width_block) {
    multiply_block<Plain>(a, a_stride, rows, b, k, column, c + column, c_stride);
  }
}

// c[rows, width] = a[rows, depth] b + bias.
inline void multiply(const float* a, size_t a_stride, int rows, const Panels& b, float* c, size_t c_stride) {
  for (int column = 0; column < b.width; column += b.width_block) {
    multiply_columns<Plain>(a, a_stride, rows, b, column, c + column, c_stride);
  }
}

// Writes output `column` of a layer, `scale` times its weights, into its panel of every block.
inline void pack_column(const Panels& b, float* to, int column, const float* weights, float scale) {
  const int begin = column / b.width_block * b.width_block, width = smaller(b.width_block, b.width - begin);
  int start = 0, v = next_panel(width / kLanes);
  for (; begin + start + v * kLanes <= column; v = next_panel((width - start) / kLanes)) start += v * kLanes;
  for (int k = 0; k < b.depth; k += b.depth_block) {
    const int depth = smaller(b.depth_block, b.depth - k);
    float* at = to + size_t(b.depth) * begin + size_t(k) * width + size_t(depth) * start + (column - begin - start);
    for (int i = 0; i < depth; ++i) at[size_t(i) * v * kLanes] = weights[k + i] * scale;
  }
}

}  // namespace femto::FEMTO_KERNEL
