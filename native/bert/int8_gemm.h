// Matrix products of whole numbers: a layer's weights and the rows before it as int8, a scale for each row of either.
//
// Sums are exact, and what is done with floats is done in one order, without fused multiply-adds, so the bits are the
// same on every instruction set.
#pragma once
#include "bert/pack.h"
#include "cpu/words.h"

namespace femto::FEMTO_KERNEL::int8 {

constexpr int kMost = 127;     // of a layer's codes
constexpr int kWidest = 512;   // numbers whose products, of 12 bits each, do not overflow
constexpr int kRowBlock = 24;  // whole tiles of any shape; what they hold between two products stays in a near cache

// Of codes of 16 bits: 12 where they are few enough.
constexpr int most_of_pairs(int count) { return count <= kWidest ? 2047 : kMost; }

// The words of a row of codes, to the end of a vector of floats.
template <class Kind>
constexpr int words(int count) {
  return padded(count) * int(sizeof(typename Kind::Code)) / 4;
}

// Nearest, ties to even: adding 1.5 * 2^23 leaves the integer in the low bits. |x| <= 2^22.
inline Ints nearest(Floats x) { return (Ints)bits(x + 12582912.0f) - 0x4B400000; }

// work(i, n) for each vector at i that has n numbers; n is a constant wherever the vector is whole.
template <class Work>
inline void each_vector(int count, Work work) {
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) work(i, kLanes);
  if (i < count) work(i, count - i);
}

inline Floats first(int n, Floats x) { return n == kLanes ? x : between(0, n, x, Floats{}); }

inline Floats magnitude(Floats x) { return max(x, -x); }

template <class Code>
inline void store_codes(int32_t* to, int i, Ints codes) {
  typedef Code Narrow __attribute__((vector_size(kLanes * sizeof(Code))));
  const Narrow narrow = __builtin_convertvector(codes, Narrow);
  memcpy(reinterpret_cast<Code*>(to) + i, &narrow, sizeof narrow);
}

inline float largest(const float* row, int count) {
  Floats top{};
  each_vector(count, [&](int i, int n) { top = max(top, first(n, magnitude(load(row + i)))); });
  return maximum(top);
}

// round((x - middle) * inverse) of one row, raised where products want that.
template <class Kind>
inline void code_row(const float* row, int count, float middle, float inverse, int32_t* to) {
  each_vector(count, [&](int i, int n) {
    store_codes<typename Kind::Code>(to, i, nearest(first(n, load(row + i) - middle) * inverse) + Kind::kRaised);
  });
}

// Codes of one row by its own largest number, which becomes `most`; returns what a code's one stands for.
inline float quantise(const float* row, int count, float most, int32_t* to) {
  const float top = largest(row, count);
  code_row<Pairs>(row, count, 0, top > 0 ? most / top : 0, to);
  return top / most;
}

// Rows of codes: x = scale * code + middle.
struct Codes {
  const int32_t* words;
  size_t stride;
  const float* scales;
  const float* middles;  // null: 0
};

// Codes of one row from -127 to 127 between its least number and its largest.
inline void quantise_between(const float* row, int count, int32_t* to, float& scale, float& middle) {
  Floats low = broadcast(__builtin_inff()), high = -low;
  each_vector(count, [&](int i, int n) {
    const Floats x = load(row + i);
    low = min(low, n == kLanes ? x : between(0, n, x, low));
    high = max(high, n == kLanes ? x : between(0, n, x, high));
  });
  const float least = -maximum(-low), most = maximum(high), half = (most - least) / 2;
  middle = least + half, scale = half / kMost;
  code_row<Quads>(row, count, middle, half > 0 ? kMost / half : 0, to);
}

// c[rows, V vectors] = start + a b, over `depth` words.
struct Sums {
  const int32_t* a;
  size_t a_stride;
  const int32_t* b;
  size_t b_stride;
  int depth;
  const int32_t* start;  // null: from zero
  int32_t* c;
  size_t c_stride;
};

// Not inlined, so that the sums stay in registers: see sum_tile of gemm.h.
template <class Kind, int R, int V>
[[gnu::noinline]] void sum_words(const Sums& s) {
  Ints sums[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[r][v] = s.start ? load_words(s.start + v * kLanes) : Ints{};
  }
  for (int k = 0; k < s.depth; ++k) {
    Ints weights[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) weights[v] = load_words(s.b + k * s.b_stride + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const int32_t codes = load_word(s.a + r * s.a_stride + k);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[r][v] = Kind::add(sums[r][v], weights[v], codes);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store_words(s.c + r * s.c_stride + v * kLanes, sums[r][v]);
  }
}

template <class Kind, int R, int V>
inline void sum_tail(const Sums& s, int rows) {
  if constexpr (R > 0) {
    if (rows == R) return sum_words<Kind, R, V>(s);
    sum_tail<Kind, R - 1, V>(s, rows);
  }
}

template <class Kind, int V>
void sum_panel(Sums s, int rows) {
  constexpr int R = tile_rows(V);
  for (; rows >= R; rows -= R, s.a += R * s.a_stride, s.c += R * s.c_stride) sum_words<Kind, R, V>(s);
  sum_tail<Kind, R - 1, V>(s, rows);
}

template <class Kind>
inline void sum_panel(int v, const Sums& s, int rows) {
  if (v == 1) return sum_panel<Kind, 1>(s, rows);
  if (v == 2) return sum_panel<Kind, 2>(s, rows);
  if constexpr (kPanel == 4) {
    if (v == 3) return sum_panel<Kind, 3>(s, rows);
    sum_panel<Kind, 4>(s, rows);
  }
}

// c[rows, vector_count vectors] = a b, where b's rows of words lie b_stride apart.
template <class Kind>
void multiply_words(Sums s, int rows, int vector_count) {
  for (int done = 0; done < vector_count;) {
    const int v = next_panel(vector_count - done);
    sum_panel<Kind>(v, s, rows);
    s.b += v * kLanes, s.c += v * kLanes, done += v;
  }
}

struct Plain {
  static Floats finish(Floats x) { return x; }
};

// x Φ(x), to 2e-4, a hundredth of what its eight bits resolve. Φ(x) - 1/2 is x times a polynomial in x², fitted
// (minimax) over |x| <= 4.
struct Gelu {
  static Floats finish(Floats x) {
    static constexpr float kCurve[] = {0.175970212f,  -0.0844266191f, 0.0554101877f, -0.0354623534f,
                                       0.0240910761f, -0.0165508837f, 0.00597200962f};
    constexpr float kEnd = 4;
    const Floats inside = min(max(x, broadcast(-kEnd)), broadcast(kEnd));
    const Floats u = inside * inside * (2 / (kEnd * kEnd)) - 1.0f;
    Floats y = broadcast(kCurve[6]);
#pragma GCC unroll 6
    for (int i = 5; i >= 0; --i) y = y * u + kCurve[i];
    return x * (inside * y + 0.5f);
  }
};

// c[rows, width] = finish(a b + bias). The panels of b are [depth, columns] words each.
template <class Finish, class Kind = Quads>
void multiply(Codes a, int rows, const Panels& b, float* c, size_t c_stride) {
  int32_t sums[kRowBlock * kPanel * kLanes];
  const int32_t* panel = reinterpret_cast<const int32_t*>(b.weight);
  for (int done = 0; done < b.width;) {
    const int v = next_panel((b.width - done) / kLanes), stride = v * kLanes;
    for (int begin = 0; begin < rows; begin += kRowBlock) {
      const int some = smaller(kRowBlock, rows - begin);
      sum_panel<Kind>(
          v,
          {a.words + begin * a.stride, a.stride, panel, size_t(stride), b.depth, b.start + done, sums, size_t(stride)},
          some);
      for (int r = 0; r < some; ++r) {
        const float scale = a.scales[begin + r], middle = a.middles ? a.middles[begin + r] : 0;
        float* to = c + (begin + r) * c_stride + done;
        for (int i = 0; i < stride; i += kLanes) {
          const Floats x = __builtin_convertvector(load_words(sums + r * stride + i), Floats);
          const Floats y = x * (load(b.scale + done + i) * scale) + load(b.total + done + i) * middle;
          store(to + i, Finish::finish(y + load(b.bias + done + i)));
        }
      }
    }
    panel += size_t(b.depth) * stride;
    done += stride;
  }
}

// Writes output `column` of a layer as codes into its panel; returns their sum.
template <class Kind>
inline int32_t pack_codes(const Panels& b, char* to, int column, const float* weights, int count, float step) {
  int begin = 0, v = next_panel(b.width / kLanes);
  for (; begin + v * kLanes <= column; v = next_panel((b.width - begin) / kLanes)) begin += v * kLanes;
  char* at = to + (size_t(b.depth) * begin + (column - begin)) * sizeof(int32_t);
  int32_t total = 0;
  for (int k = 0; k < count; ++k) {
    const auto code = typename Kind::Weight(step > 0 ? __builtin_rintf(weights[k] / step) : 0);
    memcpy(at + (size_t(k / Kind::kDeep) * v * kLanes) * sizeof(int32_t) + k % Kind::kDeep * sizeof code, &code,
           sizeof code);
    total += code;
  }
  return total;
}

// Layers side by side as codes, each output with a scale; the first layer's outputs are scaled.
template <class Kind>
inline Panels pack_side_by_side(const Linear* const* parts, int count, float scale, Arena& arena) {
  Panels packed{};
  const int in = parts[0]->in;
  packed.out = outputs(parts, count);
  packed.depth = words<Kind>(in), packed.width = padded(packed.out);
  const size_t size = size_t(packed.depth) * packed.width;
  float *weight = arena.take(size), *start = arena.take(packed.width), *scales = arena.take(packed.width);
  float *bias = arena.take(packed.width), *totals = arena.take(packed.width);
  packed.weight = weight, packed.scale = scales, packed.bias = bias, packed.total = totals;
  packed.start = reinterpret_cast<int32_t*>(start);
  if (!weight) return packed;
  memset(weight, 0, size * sizeof(float));
  for (float* row : {start, scales, bias, totals}) memset(row, 0, packed.width * sizeof(float));
  for (int i = 0, column = 0; i < count; ++i, scale = 1) {
    if (parts[i]->bias) fill(bias + column, parts[i]->bias, parts[i]->out, scale);
    for (int o = 0; o < parts[i]->out; ++o, ++column) {
      const float* row = parts[i]->weight + size_t(o) * in;
      float largest = 0;
      for (int k = 0; k < in; ++k) largest = __builtin_fmaxf(largest, __builtin_fabsf(row[k]));
      const float step = largest / kMost;
      const int32_t total = pack_codes<Kind>(packed, reinterpret_cast<char*>(weight), column, row, in, step);
      const int32_t first = -Kind::kRaised * total;
      memcpy(start + column, &first, sizeof first);
      scales[column] = step * scale, totals[column] = float(total) * (step * scale);
    }
  }
  return packed;
}

}  // namespace femto::FEMTO_KERNEL::int8
