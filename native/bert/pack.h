// A model's weights, transposed and padded for this width of vectors.
#pragma once
#include "bert/gemm.h"

namespace femto::FEMTO_KERNEL {

inline void fill(float* to, const float* from, int count, float scale = 1) {
  for (int i = 0; i < count; ++i) to[i] = from[i] * scale;
}

inline int outputs(const Linear* const* parts, int count) {
  int out = 0;
  for (int i = 0; i < count; ++i) out += parts[i]->out;
  return out;
}

// Puts layers side by side: their outputs follow each other in one product. The first is scaled.
inline Panels pack_side_by_side(const Linear* const* parts, int count, float scale, Panels packed, Arena& arena) {
  const size_t size = size_t(packed.depth) * packed.width;
  float* weight = arena.take(size);
  float* bias = arena.take(packed.width);
  if (weight) {
    __builtin_memset(weight, 0, size * sizeof(float));
    __builtin_memset(bias, 0, packed.width * sizeof(float));
    for (int i = 0, column = 0; i < count; ++i, scale = 1) {
      if (parts[i]->bias) fill(bias + column, parts[i]->bias, parts[i]->out, scale);
      for (int o = 0; o < parts[i]->out; ++o, ++column) {
        pack_column(packed, weight, column, parts[i]->weight + size_t(o) * packed.depth, scale);
      }
    }
  }
  packed.weight = weight;
  packed.bias = bias;
  return packed;
}

inline Panels in_blocks(int depth, int out) {
  return {nullptr, nullptr, depth, out, padded(out), block(depth), block(padded(out)), nullptr, nullptr, nullptr};
}

inline Panels in_one_block(int depth, int out) {
  return {nullptr, nullptr, depth, out, padded(out), depth, padded(out), nullptr, nullptr, nullptr};
}

// How one precision packs what is multiplied.
struct Packer {
  // Layers of one input, their outputs one after the other; the first layer's outputs are scaled.
  Panels (*side_by_side)(const Linear* const* parts, int count, float scale, Arena& arena);
  void (*words)(const Bert& bert, Arena& arena, PackedBert& packed);  // a table and its projection

  Panels linear(const Linear& linear, Arena& arena) const {
    const Linear* part = &linear;
    return side_by_side(&part, 1, 1, arena);
  }
};

inline Panels pack_linear(const Linear& linear, Arena& arena) {
  const Linear* part = &linear;
  return pack_side_by_side(&part, 1, 1, in_blocks(linear.in, linear.out), arena);
}

// Padding is zero, so that a norm leaves zeros there.
inline const float* pack_row(const float* row, int count, int stride, Arena& arena) {
  float* to = arena.take(stride);
  if (to) {
    __builtin_memset(to, 0, stride * sizeof(float));
    fill(to, row, count);
  }
  return to;
}

inline Norm pack_norm(const Norm& norm, int count, int stride, Arena& arena) {
  const float* weight = pack_row(norm.weight, count, stride, arena);
  return {weight, pack_row(norm.bias, count, stride, arena)};
}

inline void pack_positions(const Bert& bert, Arena& arena, PackedBert& packed) {
  float* position = arena.take(size_t(bert.positions) * packed.stride);
  for (int i = 0; position && i < bert.positions; ++i) {
    float* row = position + size_t(i) * packed.stride;
    __builtin_memset(row, 0, packed.stride * sizeof(float));
    fill(row, bert.position + size_t(i) * bert.hidden, bert.hidden);
    for (int h = 0; h < bert.hidden; ++h) {
      row[h] += bert.type[h] + (bert.projection.bias ? bert.projection.bias[h] : 0);
    }
  }
  packed.position = position;
}

// A table of words without a projection, each row padded to the stride.
inline void pack_table(const Bert& bert, Arena& arena, PackedBert& packed) {
  const size_t stride = packed.stride;
  float* table = arena.take(bert.vocab * stride);
  for (int id = 0; table && id < bert.vocab; ++id) {
    float* row = table + id * stride;
    __builtin_memset(row, 0, stride * sizeof(float));
    fill(row, bert.table + size_t(id) * bert.hidden, bert.hidden);
  }
  packed.table = table, packed.table_stride = stride;
}

inline void pack_layer(const Layer& layer, int hidden, int heads, int stride, Arena& arena, PackedLayer& packed,
                       const Packer& packer) {
  const Linear* qkv[] = {&layer.query, &layer.key, &layer.value};
  packed.qkv = packer.side_by_side(qkv, 3, 1 / __builtin_sqrtf(float(hidden / heads)), arena);
  packed.attention = packer.linear(layer.attention, arena);
  packed.attention_norm = pack_norm(layer.attention_norm, hidden, stride, arena);
  packed.up = packer.linear(layer.up, arena);
  packed.down = packer.linear(layer.down, arena);
  packed.norm = pack_norm(layer.norm, hidden, stride, arena);
}

inline void pack_bert(const Bert& bert, Arena& arena, PackedBert& packed, const Packer& packer) {
  const int head = bert.hidden / bert.heads;
  int stride = padded(bert.hidden - head + padded(head));  // a head may write this far beyond its place
  for (int i = 0; i < bert.dense_count; ++i) stride = larger(stride, padded(bert.dense[i].out));
  packed.vocab = bert.vocab;
  packed.positions = bert.positions;
  packed.hidden = bert.hidden;
  packed.layer_count = bert.layer_count;
  packed.heads = bert.heads;
  packed.code_width = bert.code_width;
  packed.stride = stride;
  packed.epsilon = bert.epsilon;
  packed.dense_count = bert.dense_count;
  packed.dims = bert.dense_count ? bert.dense[bert.dense_count - 1].out : bert.hidden;
  if (bert.code_width) {
    packer.words(bert, arena, packed);
  } else {
    pack_table(bert, arena, packed);
  }
  pack_positions(bert, arena, packed);
  packed.norm = pack_norm(bert.norm, bert.hidden, stride, arena);
  for (int i = 0; i < bert.layer_count; ++i) {
    pack_layer(bert.layers[i], bert.hidden, bert.heads, stride, arena, packed.layers[i], packer);
  }
  for (int i = 0; i < bert.dense_count; ++i) packed.dense[i] = packer.linear(bert.dense[i], arena);
}

}  // namespace femto::FEMTO_KERNEL
