// Attention of one text in whole numbers of 16 bits: 12 for queries and keys, 15 for the shares, 8 for values.
#pragma once
#include "bert/int8_gemm.h"

namespace femto::FEMTO_KERNEL::int8 {

constexpr int kMostShare = 32767;
constexpr float kLog2E = 1.44269504f;

// round(most * 2^x) for x <= 0, to 8e-5 of most, by a minimax polynomial over half an octave to either side.
inline Ints power_codes(Floats x, float most) {
  const Floats shift = broadcast(12582912.0f);
  x = max(x, broadcast(-126.0f));
  const Floats shifted = x + shift, r = x - (shifted - shift);
  const Floats curve =
      ((r * (0.0551716685f * most) + 0.24261114f * most) * r + 0.693260968f * most) * r + 0.999928057f * most;
  return nearest(from_bits(bits(curve) + (bits(shifted) << 23)));
}

// What attention works with, for texts of up to `longest` tokens and heads of `size` numbers.
struct AttentionMemory {
  int32_t *keys, *values, *queries, *scores, *shares, *context;
  float *value_scales, *value_middles;
};

inline AttentionMemory carve_attention(int longest, int size, Arena& arena) {
  const auto take = [&](size_t words) { return reinterpret_cast<int32_t*>(arena.take(words)); };
  AttentionMemory m;
  m.keys = take(size_t(words<Pairs>(size)) * padded(longest));
  m.values = take(size_t(words<Pairs>(longest)) * padded(size));
  m.queries = take(size_t(kRowBlock) * words<Pairs>(size));
  m.scores = take(size_t(kRowBlock) * padded(longest));
  m.shares = take(size_t(kRowBlock) * words<Pairs>(longest));
  m.context = take(size_t(kRowBlock) * padded(size));
  m.value_scales = arena.take(padded(size));
  m.value_middles = arena.take(padded(size));
  return m;
}

struct Attention {
  const float* queries;  // [rows, stride], scaled by 1 / sqrt(size)
  const float* keys;     // [attended, stride]
  const float* values;   // [attended, stride]
  size_t stride;
  int rows, attended, heads, size;
  AttentionMemory memory;
  float* context;  // [rows, context_stride]
  size_t context_stride;
};

// The keys of one head, a column each: keys[word][key]. Returns what a code's one stands for.
inline float code_keys(const Attention& a, const float* keys) {
  const AttentionMemory& m = a.memory;
  const int width = padded(a.attended), depth = words<Pairs>(a.size);
  const float most = most_of_pairs(a.size);
  float top = 0;
  for (int t = 0; t < a.attended; ++t) top = __builtin_fmaxf(top, largest(keys + t * a.stride, a.size));
  int32_t* row = m.queries;  // not in use yet
  for (int t = 0; t < a.attended; ++t) {
    code_row<Pairs>(keys + t * a.stride, a.size, 0, top > 0 ? most / top : 0, row);
    for (int w = 0; w < depth; ++w) m.keys[w * width + t] = row[w];
  }
  for (int w = 0; w < depth; ++w) {
    for (int t = a.attended; t < width; ++t) m.keys[w * width + t] = 0;
  }
  return top / most;
}

// The values of one head, two keys to a word: values[pair of keys][dim].
inline void code_values(const Attention& a, const float* values) {
  const AttentionMemory& m = a.memory;
  const int width = padded(a.size);
  for (int d = 0; d < width; d += kLanes) {
    Floats low = load(values + d), high = low;
    for (int t = 1; t < a.attended; ++t) {
      const Floats x = load(values + t * a.stride + d);
      low = min(low, x), high = max(high, x);
    }
    const Floats half = (high - low) * 0.5f, middle = low + half;
    const Floats inverse = half > Floats{} ? float(kMost) / half : Floats{};
    store(m.value_scales + d, half / float(kMost));
    store(m.value_middles + d, middle);
    for (int t = 0; t < a.attended; t += 2) {
      const Words even = (Words)nearest((load(values + t * a.stride + d) - middle) * inverse);
      Words odd{};
      if (t + 1 < a.attended) odd = (Words)nearest((load(values + (t + 1) * a.stride + d) - middle) * inverse);
      store_words(m.values + size_t(t / 2) * width + d, (Ints)((even & 0xffff) | odd << 16));
    }
  }
}

// Turns the sums of one query's products with `count` keys into codes of e^(score - best), the best one's `most`;
// returns 1 / their sum. scale: of a sum's one, for powers of two.
inline float code_shares(const int32_t* sums, int count, float scale, float most, int32_t* shares) {
  Ints top = load_words(sums) * 0 - 0x7fffffff;
  each_vector(count, [&](int t, int n) {
    const Ints s = load_words(sums + t);
    const Ints inside = n == kLanes ? s : lane_numbers() < n ? s : top;
    top = inside > top ? inside : top;
  });
  int32_t best = top[0], total = 0;
  for (int i = 1; i < kLanes; ++i) best = top[i] > best ? top[i] : best;
  Ints totals{};
  each_vector(count, [&](int t, int n) {
    Ints codes = power_codes(__builtin_convertvector(load_words(sums + t) - best, Floats) * scale, most);
    if (n < kLanes) codes = lane_numbers() < n ? codes : Ints{};
    store_codes<int16_t>(shares, t, codes);
    totals += codes;
  });
  for (int i = 0; i < kLanes; ++i) total += totals[i];
  return 1 / float(total);
}

inline void attend_head(const Attention& a, int head) {
  const AttentionMemory& m = a.memory;
  const size_t offset = size_t(head) * a.size;
  const int width = padded(a.attended), size = padded(a.size), depth = words<Pairs>(a.size);
  const size_t share_stride = words<Pairs>(a.attended);
  const float key_scale = code_keys(a, a.keys + offset) * kLog2E;
  const int most_share = smaller(kMostShare, INT32_MAX / kMost / a.attended);
  code_values(a, a.values + offset);
  for (int begin = 0; begin < a.rows; begin += kRowBlock) {
    const int rows = smaller(kRowBlock, a.rows - begin);
    float scales[kRowBlock], inverse[kRowBlock];
    for (int r = 0; r < rows; ++r) {
      scales[r] =
          quantise(a.queries + (begin + r) * a.stride + offset, a.size, most_of_pairs(a.size), m.queries + r * depth);
    }
    multiply_words<Pairs>({m.queries, size_t(depth), m.keys, size_t(width), depth, nullptr, m.scores, size_t(width)},
                          rows, width / kLanes);
    for (int r = 0; r < rows; ++r) {
      inverse[r] = code_shares(m.scores + r * width, a.attended, scales[r] * key_scale, float(most_share),
                               m.shares + r * share_stride);
    }
    multiply_words<Pairs>(
        {m.shares, share_stride, m.values, size_t(size), (a.attended + 1) / 2, nullptr, m.context, size_t(size)}, rows,
        size / kLanes);
    for (int r = 0; r < rows; ++r) {
      float* to = a.context + (begin + r) * a.context_stride + offset;
      for (int d = 0; d < a.size; ++d) {
        to[d] = float(m.context[r * size + d]) * (m.value_scales[d] * inverse[r]) + m.value_middles[d];
      }
    }
  }
}

inline void attend(const Attention& a) {
  for (int head = 0; head < a.heads; ++head) attend_head(a, head);
}

}  // namespace femto::FEMTO_KERNEL::int8
