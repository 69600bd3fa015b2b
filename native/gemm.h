// Matrix products, in tiles that fit the registers.
//
// Every element of a product is one chain of fused multiply-adds over the depth, in rising order, whatever tile it
// falls in: that is why a row does not depend on the rows beside it.
#pragma once
#include "bert.h"
#include "vec.h"

namespace femto::FEMTO_KERNEL {

// A tile of R rows and V vectors keeps R * V sums, V weights and one broadcast in registers.
constexpr int kPanel = kRegisters == 32 ? 4 : 2;
constexpr int tile_rows(int v) {
  if (kRegisters == 32) return v == 4 ? 6 : v == 3 ? 8 : 12;
  return v == 2 ? 6 : 12;
}

// Depth is cut so that the slice of a panel stays in the cache while every row passes by.
constexpr int kDepth = 384;

// A row-major right-hand side: panels (stride 0), or a plain matrix with `stride` floats from row to row.
struct Right {
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

template <int R, int V, class Finish>
inline void tile(const Slice& s) {
  Floats sums[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      sums[r][v] = !s.first ? load(s.c + r * s.c_stride + v * kLanes)
                            : s.bias ? load(s.bias + v * kLanes) : Floats{};
    }
  }
  accumulate<R, V>(sums, s.a, s.a_stride, s.b, s.b_stride, s.depth);
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      store(s.c + r * s.c_stride + v * kLanes, s.last ? Finish::finish(sums[r][v]) : sums[r][v]);
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

// c[rows, b's columns] = finish(a[rows, depth] b + bias), with c's columns padded to whole vectors.
template <class Finish = Plain>
void multiply(const float* a, size_t a_stride, int rows, const Right& b, const float* bias, float* c,
              size_t c_stride) {
  const int step = b.stride ? b.depth : kDepth;
  for (int k = 0; k < b.depth; k += step) {
    const int depth = b.depth - k < step ? b.depth - k : step;
    for (int done = 0; done < b.vector_count;) {
      const int v = next_panel(b.vector_count - done);
      const size_t column = size_t(done) * kLanes;
      const size_t b_stride = b.stride ? b.stride : size_t(v) * kLanes;
      const float* start = b.data + (b.stride ? column : column * b.depth) + k * b_stride;
      panel<Finish>(v,
                    {a + k, a_stride, start, b_stride, depth, bias ? bias + column : nullptr, c + column,
                     c_stride, k == 0, k + depth == b.depth},
                    rows);
      done += v;
    }
  }
}

template <class Finish = Plain>
inline void multiply(const float* a, size_t a_stride, int rows, const Panels& b, float* c, size_t c_stride) {
  multiply<Finish>(a, a_stride, rows, Right{b.weight, 0, b.depth, b.width / kLanes}, b.bias, c, c_stride);
}

// Writes output `column` of a layer, `scale` times its weights, into panels of `width` columns in all.
inline void pack_column(float* panels, int width, int column, const float* weights, int depth, float scale) {
  int start = 0, v = 0;
  for (; start + v * kLanes <= column; v = next_panel((width - start) / kLanes)) start += v * kLanes;
  float* to = panels + size_t(depth) * start + (column - start);
  for (int k = 0; k < depth; ++k) to[size_t(k) * v * kLanes] = weights[k] * scale;
}

}  // namespace femto::FEMTO_KERNEL
