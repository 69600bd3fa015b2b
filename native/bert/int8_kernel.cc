// BERT in int8 for one instruction set. What is computed, in which order, is the same for all.
#include <vector>

#include "bert/int8_attention.h"
#include "bert/texts.h"
#include "cpu/functions.h"

namespace femto::FEMTO_KERNEL::int8 {
namespace {

// The table of words as codes of 16 bits, a scale for each, and the projection.
void pack_words(const Bert& bert, Arena& arena, PackedBert& packed) {
  const int width = bert.code_width;
  packed.table_stride = words<Pairs>(width);
  float *table = arena.take(bert.vocab * packed.table_stride), *scales = arena.take(bert.vocab);
  std::vector<float> row(padded(width));
  for (int id = 0; table && id < bert.vocab; ++id) {
    fill(row.data(), bert.table + size_t(id) * width, width);
    scales[id] =
        quantise(row.data(), width, most_of_pairs(width), reinterpret_cast<int32_t*>(table + id * packed.table_stride));
  }
  packed.table = table, packed.table_scale = scales;
  const Linear unbiased{bert.projection.weight, nullptr, bert.projection.out, bert.projection.in};
  const Linear* part = &unbiased;
  packed.coded_projection = pack_side_by_side<Pairs>(&part, 1, 1, arena);
}

// The working memory of some texts.
struct Scratch {
  float *state, *update, *qkv, *context, *inner;
  float *scales, *middles, *inner_scales, *inner_middles;
  int32_t *codes, *inner_codes;
  AttentionMemory attention;
  int qkv_stride, inner_width, code_stride;
};

Scratch carve(const PackedBert& bert, int rows, int longest, Arena& arena) {
  Scratch s;
  const int head = bert.hidden / bert.heads;
  s.inner_width = 0;
  for (int i = 0; i < bert.layer_count; ++i) s.inner_width = larger(s.inner_width, bert.layers[i].up.width);
  s.qkv_stride = padded(3 * bert.hidden);
  s.code_stride = larger(words<Quads>(bert.stride), words<Pairs>(bert.code_width));
  s.state = arena.take(size_t(rows) * bert.stride);
  s.update = arena.take(size_t(rows) * bert.stride);
  s.qkv = arena.take(size_t(rows) * s.qkv_stride + padded(head));  // the last head reads a little beyond
  s.context = arena.take(size_t(rows) * bert.stride);
  s.inner = arena.take(size_t(kRowBlock) * s.inner_width);
  s.scales = arena.take(rows);
  s.middles = arena.take(rows);
  s.inner_scales = arena.take(kRowBlock);
  s.inner_middles = arena.take(kRowBlock);
  s.codes = reinterpret_cast<int32_t*>(arena.take(size_t(rows) * s.code_stride));
  s.inner_codes = reinterpret_cast<int32_t*>(arena.take(size_t(kRowBlock) * words<Quads>(s.inner_width)));
  s.attention = carve_attention(longest, head, arena);
  return s;
}

// The codes of `rows` rows of `count` floats.
Codes coded(const float* from, size_t stride, int rows, int count, const Scratch& s) {
  for (int r = 0; r < rows; ++r) {
    quantise_between(from + r * stride, count, s.codes + size_t(r) * s.code_stride, s.scales[r], s.middles[r]);
  }
  return {s.codes, size_t(s.code_stride), s.scales, s.middles};
}

// The sum of vector(i) over `count` numbers in one order on every instruction set: 16 sums, folded by halves.
template <class Vector>
float ordered_sum(int count, Vector vector) {
  constexpr int kParts = 16 / kLanes;
  Floats parts[kParts]{};
  int i = 0;
  for (; i + 16 <= count; i += 16) {
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) parts[p] += vector(i + p * kLanes);
  }
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) {
    const int at = i + p * kLanes;
    if (at < count) parts[p] += between(0, count - at, vector(at), Floats{});
  }
  for (int n = kParts / 2; n; n /= 2) {
    for (int p = 0; p < n; ++p) parts[p] += parts[p + n];
  }
  return sum(parts[0]);
}

// row = norm(row + update) over the first `count` floats; the padding of both is zero, and stays so.
void add_norm(float* row, const float* update, int count, const Norm& norm, float epsilon) {
  const float mean = ordered_sum(count,
                                 [&](int i) {
                                   const Floats x = load(row + i) + load(update + i);
                                   store(row + i, x);
                                   return x;
                                 }) /
                     count;
  const float variance = ordered_sum(count,
                                     [&](int i) {
                                       const Floats x = load(row + i) - mean;
                                       return x * x;
                                     }) /
                         count;
  const float scale = 1 / __builtin_sqrtf(variance + epsilon);
  for (int i = 0; i < count; i += kLanes) {
    store(row + i, (load(row + i) - mean) * scale * load(norm.weight + i) + load(norm.bias + i));
  }
}

void add_norm(const PackedBert& bert, float* state, const float* update, int rows, const Norm& norm) {
  for (int r = 0; r < rows; ++r) {
    add_norm(state + size_t(r) * bert.stride, update + size_t(r) * bert.stride, bert.hidden, norm, bert.epsilon);
  }
}

// The words of all tokens, end to end.
void gather_words(const PackedBert& bert, const Group& group, const Scratch& s) {
  int r = 0;
  for (const Text* text = group.texts; text < group.texts + group.count; ++text) {
    for (int t = 0; t < text->length; ++t, ++r) {
      const float* word = bert.table + text->ids[t] * bert.table_stride;
      if (bert.code_width == 0) {
        memcpy(s.state + size_t(r) * bert.stride, word, bert.stride * sizeof(float));
      } else {
        memcpy(s.codes + size_t(r) * s.code_stride, word, bert.table_stride * sizeof(int32_t));
        s.scales[r] = bert.table_scale[text->ids[t]];
      }
    }
  }
  if (bert.code_width == 0) return;
  multiply<Plain, Pairs>({s.codes, size_t(s.code_stride), s.scales, nullptr}, group.rows, bert.coded_projection,
                         s.state, bert.stride);
}

void embed(const PackedBert& bert, const Group& group, const Scratch& s) {
  gather_words(bert, group, s);
  float* row = s.state;
  for (const Text* text = group.texts; text < group.texts + group.count; ++text) {
    for (int t = 0; t < text->length; ++t, row += bert.stride) {
      add_norm(row, bert.position + size_t(t) * bert.stride, bert.hidden, bert.norm, bert.epsilon);
    }
  }
}

// Each text attends to itself alone. `last`: the queries, and the context, are only of rows to keep.
void attend_texts(const PackedBert& bert, const Group& group, const Scratch& s, bool last) {
  const size_t stride = s.qkv_stride;
  const float *queries = s.qkv, *keys = s.qkv + bert.hidden;
  float* context = s.context;
  for (const Text* text = group.texts; text < group.texts + group.count; ++text) {
    const int rows = last ? text->kept : text->length;
    attend({queries, keys, keys + bert.hidden, stride, rows, text->attended, bert.heads, bert.hidden / bert.heads,
            s.attention, context, size_t(bert.stride)});
    queries += rows * stride;
    keys += text->length * stride;
    context += size_t(rows) * bert.stride;
  }
}

// A few rows go up and down at once, so that what they hold in between stays in a near cache.
void feed_forward(const PackedBert& bert, const PackedLayer& layer, const Scratch& s, int rows) {
  const Codes state = coded(s.state, bert.stride, rows, bert.hidden, s);
  const size_t stride = words<Quads>(s.inner_width);
  for (int begin = 0; begin < rows; begin += kRowBlock) {
    const int some = smaller(kRowBlock, rows - begin);
    multiply<Gelu>({state.words + begin * state.stride, state.stride, state.scales + begin, state.middles + begin},
                   some, layer.up, s.inner, s.inner_width);
    for (int r = 0; r < some; ++r) {
      quantise_between(s.inner + size_t(r) * s.inner_width, layer.up.out, s.inner_codes + r * stride, s.inner_scales[r],
                       s.inner_middles[r]);
    }
    multiply<Plain>({s.inner_codes, stride, s.inner_scales, s.inner_middles}, some, layer.down,
                    s.update + size_t(begin) * bert.stride, bert.stride);
  }
  add_norm(bert, s.state, s.update, rows, layer.norm);
}

// In the last layer only the rows to keep get beyond keys and values.
void run_layer(const PackedBert& bert, const PackedLayer& layer, const Group& group, const Scratch& s, bool last) {
  multiply<Plain>(coded(s.state, bert.stride, group.rows, bert.hidden, s), group.rows, layer.qkv, s.qkv, s.qkv_stride);
  if (last) {
    keep_rows(group, s.qkv, s.qkv_stride, bert.hidden);
    keep_rows(group, s.state, bert.stride, bert.stride);
  }
  const int rows = last ? group.kept : group.rows;
  attend_texts(bert, group, s, last);
  multiply<Plain>(coded(s.context, bert.stride, rows, bert.hidden, s), rows, layer.attention, s.update, bert.stride);
  add_norm(bert, s.state, s.update, rows, layer.attention_norm);
  feed_forward(bert, layer, s, rows);
}

// Runs the rows through the Dense modules; returns where they end up.
const float* run_dense(const PackedBert& bert, const Scratch& s, int rows) {
  float *from = s.state, *to = s.update;
  int count = bert.hidden;
  for (int i = 0; i < bert.dense_count; ++i) {
    multiply<Plain>(coded(from, bert.stride, rows, count, s), rows, bert.dense[i], to, bert.stride);
    count = bert.dense[i].out;
    float* swap = from;
    from = to;
    to = swap;
  }
  return from;
}

// Writes x / max(|x|, 1e-12).
void write_unit(const float* row, int dims, float* out) {
  const float length = __builtin_sqrtf(ordered_sum(dims, [&](int i) { return load(row + i) * load(row + i); }));
  const float scale = 1 / (length > 1e-12f ? length : 1e-12f);
  for (int i = 0; i < dims; ++i) out[i] = row[i] * scale;
}

}  // namespace

void pack(const Bert& bert, Arena& arena, PackedBert& packed) {
  pack_bert(bert, arena, packed, {&pack_side_by_side<Quads>, &pack_words});
}

size_t scratch(const PackedBert& bert, int rows, int longest) {
  Arena arena{nullptr, 0};
  carve(bert, rows, longest, arena);
  return arena.used;
}

void encode(const PackedBert& bert, const Group& group, float* memory) {
  Arena arena{memory, 0};
  const Scratch s = carve(bert, group.rows, group.longest, arena);
  embed(bert, group, s);
  for (int i = 0; i < bert.layer_count; ++i) {
    run_layer(bert, bert.layers[i], group, s, i + 1 == bert.layer_count);
  }
  if (bert.layer_count == 0) keep_rows(group, s.state, bert.stride, bert.stride);
  const float* row = run_dense(bert, s, group.kept);
  for (const Text* text = group.texts; text < group.texts + group.count; ++text) {
    float* out = text->rows;
    for (int t = 0; t < text->kept; ++t, row += bert.stride, out += bert.dims) write_unit(row, bert.dims, out);
  }
}

void pack_dense(const Linear& linear, Arena& arena, Panels& packed) {
  const Linear* part = &linear;
  packed = pack_side_by_side<Quads>(&part, 1, 1, arena);
}

// Codes, their scales and middles, and one row that is padded.
size_t dense_scratch(const Panels& packed, int rows, int in) { return size_t(rows) * (packed.depth + 2) + padded(in); }

void dense(const Panels& packed, const float* from, int rows, int in, float* memory, float* out) {
  const size_t depth = packed.depth;
  auto* words = reinterpret_cast<int32_t*>(memory);
  float *scales = memory + rows * depth, *middles = scales + rows, *row = middles + rows;
  for (int r = 0; r < rows; ++r) {
    memcpy(row, from + size_t(r) * in, in * sizeof(float));
    quantise_between(row, in, words + r * depth, scales[r], middles[r]);
  }
  multiply<Plain>({words, depth, scales, middles}, rows, packed, out, packed.width);
}

}  // namespace femto::FEMTO_KERNEL::int8
