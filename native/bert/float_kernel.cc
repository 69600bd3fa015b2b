// The float32 kernels of one instruction set: texts through BERT, and MaxSim.
#include "bert/attention.h"
#include "bert/pack.h"
#include "bert/texts.h"
#include "cpu/functions.h"

namespace femto::FEMTO_KERNEL {
namespace {

Panels pack_in_blocks(const Linear* const* parts, int count, float scale, Arena& arena) {
  return pack_side_by_side(parts, count, scale, in_blocks(parts[0]->in, outputs(parts, count)), arena);
}

void pack_words(const Bert& bert, Arena& arena, PackedBert& packed) {
  packed.table = bert.table, packed.table_stride = bert.code_width;
  float* projection = arena.take(size_t(bert.code_width) * packed.stride);
  for (int p = 0; projection && p < bert.code_width; ++p) {
    float* row = projection + size_t(p) * packed.stride;
    memset(row, 0, packed.stride * sizeof(float));
    for (int h = 0; h < bert.hidden; ++h) row[h] = bert.projection.weight[size_t(h) * bert.code_width + p];
  }
  packed.projection = projection;
}

// The working memory of some texts.
struct Scratch {
  float *state, *update, *qkv, *context, *transposed, *scores, *inner;
  int qkv_stride, inner_stride;
};

Scratch carve(const PackedBert& bert, int rows, int longest, Arena& arena) {
  Scratch s;
  const int head = bert.hidden / bert.heads;
  s.inner_stride = 0;
  for (int i = 0; i < bert.layer_count; ++i) s.inner_stride = larger(s.inner_stride, bert.layers[i].up.width_block);
  s.qkv_stride = padded(3 * bert.hidden);
  s.state = arena.take(size_t(rows) * bert.stride);
  s.update = arena.take(size_t(rows) * bert.stride);
  s.qkv = arena.take(size_t(rows) * s.qkv_stride + padded(head));  // the last head reads a little beyond
  s.context = arena.take(size_t(rows) * bert.stride);
  s.transposed = arena.take(size_t(head) * padded(longest));
  s.scores = arena.take(size_t(kScoreRows) * padded(longest));
  s.inner = arena.take(size_t(rows) * s.inner_stride);
  return s;
}

// row = norm(row + update) over the first `count` floats; the padding of both is finite, and is left zero.
void add_norm(float* row, const float* update, int count, const Norm& norm, float epsilon) {
  const int width = padded(count);
  Floats total{};
  for (int i = 0; i < width; i += kLanes) {
    Floats x = load(row + i);
    if (update) x += load(update + i);
    x = between(0, count - i, x, Floats{});
    store(row + i, x);
    total += x;
  }
  const Floats mean = broadcast(sum(total) / count);
  Floats squares{};
  for (int i = 0; i < width; i += kLanes) {
    const Floats x = between(0, count - i, load(row + i) - mean, Floats{});
    squares += x * x;
  }
  const float scale = 1 / __builtin_sqrtf(sum(squares) / count + epsilon);
  for (int i = 0; i < width; i += kLanes) {
    store(row + i, (load(row + i) - mean) * scale * load(norm.weight + i) + load(norm.bias + i));
  }
}

void add_norm(const PackedBert& bert, float* state, const float* update, int rows, const Norm& norm) {
  for (int r = 0; r < rows; ++r) {
    add_norm(state + size_t(r) * bert.stride, update + size_t(r) * bert.stride, bert.hidden, norm, bert.epsilon);
  }
}

void embed(const PackedBert& bert, int32_t id, int position, float* row) {
  const float* word = bert.table + id * bert.table_stride;
  const float* place = bert.position + size_t(position) * bert.stride;
  for (int i = 0; i < padded(bert.hidden); i += kLanes) {
    Floats x = load(place + i);
    if (bert.code_width == 0) x += load(word + i);
    for (int p = 0; p < bert.code_width; ++p) x += word[p] * load(bert.projection + p * bert.stride + i);
    store(row + i, x);
  }
  add_norm(row, nullptr, bert.hidden, bert.norm, bert.epsilon);
}

void embed(const PackedBert& bert, const Group& group, float* row) {
  for (const Text* text = group.texts; text < group.texts + group.count; ++text) {
    for (int t = 0; t < text->length; ++t, row += bert.stride) embed(bert, text->ids[t], t, row);
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
            s.transposed, s.scores, context, size_t(bert.stride)});
    queries += rows * stride;
    keys += text->length * stride;
    context += size_t(rows) * bert.stride;
  }
}

// A block of the inner numbers is made and used at once, so that it stays in the second cache.
void feed_forward(const PackedBert& bert, const PackedLayer& layer, const Scratch& s, int rows) {
  for (int begin = 0; begin < layer.up.width; begin += layer.up.width_block) {
    multiply_columns<Gelu>(s.state, bert.stride, rows, layer.up, begin, s.inner, s.inner_stride);
    multiply_depth(s.inner, s.inner_stride, rows, layer.down, begin, s.update, bert.stride);
  }
  add_norm(bert, s.state, s.update, rows, layer.norm);
}

// In the last layer only the rows to keep get beyond keys and values.
void run_layer(const PackedBert& bert, const PackedLayer& layer, const Group& group, const Scratch& s, bool last) {
  multiply(s.state, bert.stride, group.rows, layer.qkv, s.qkv, s.qkv_stride);
  if (last) {
    keep_rows(group, s.qkv, s.qkv_stride, bert.hidden);
    keep_rows(group, s.state, bert.stride, bert.stride);
  }
  const int rows = last ? group.kept : group.rows;
  attend_texts(bert, group, s, last);
  multiply(s.context, bert.stride, rows, layer.attention, s.update, bert.stride);
  add_norm(bert, s.state, s.update, rows, layer.attention_norm);
  feed_forward(bert, layer, s, rows);
}

// Runs the rows through the Dense modules; returns where they end up.
const float* run_dense(const PackedBert& bert, const Scratch& s, int rows) {
  float *from = s.state, *to = s.update;
  for (int i = 0; i < bert.dense_count; ++i) {
    multiply(from, bert.stride, rows, bert.dense[i], to, bert.stride);
    float* swap = from;
    from = to;
    to = swap;
  }
  return from;
}

// Writes x / max(|x|, 1e-12).
void write_unit(const float* row, int dims, float* out) {
  Floats squares{};
  for (int i = 0; i < dims; i += kLanes) {
    const Floats x = between(0, dims - i, load(row + i), Floats{});
    squares += x * x;
  }
  const float length = __builtin_sqrtf(sum(squares));
  const float scale = 1 / (length > 1e-12f ? length : 1e-12f);
  for (int i = 0; i < dims; ++i) out[i] = row[i] * scale;
}

}  // namespace

void pack(const Bert& bert, Arena& arena, PackedBert& packed) {
  pack_bert(bert, arena, packed, {&pack_in_blocks, &pack_words});
}

size_t scratch(const PackedBert& bert, int rows, int longest) {
  Arena arena{nullptr, 0};
  carve(bert, rows, longest, arena);
  return arena.used;
}

void encode(const PackedBert& bert, const Group& group, float* memory) {
  Arena arena{memory, 0};
  const Scratch s = carve(bert, group.rows, group.longest, arena);
  embed(bert, group, s.state);
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

void pack_dense(const Linear& linear, Arena& arena, Panels& packed) { packed = pack_linear(linear, arena); }

size_t dense_scratch(const Panels&, int, int) { return 0; }

void dense(const Panels& packed, const float* from, int rows, int in, float*, float* out) {
  multiply(from, in, rows, packed, out, packed.width);
}

void pack_query(const float* query, int count, int dims, Arena& arena, Panels& packed) {
  const Linear linear{query, nullptr, count, dims};
  const Linear* part = &linear;
  packed = pack_side_by_side(&part, 1, 1, in_one_block(dims, count), arena);
}

namespace {

// Raises best[V vectors] to the products of `rows` rows with one panel of the query.
template <int R, int V>
inline void raise(const float* rows, int dims, const float* panel, float* best) {
  Floats products[R][V] = {};
  accumulate<R, V>(products, rows, dims, panel, V * kLanes, dims);
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    Floats top = load(best + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) top = max(top, products[r][v]);
    store(best + v * kLanes, top);
  }
}

template <int V>
void raise_all(const float* rows, int64_t count, int dims, const float* panel, float* best) {
  constexpr int R = tile_rows(V);
  for (; count >= R; count -= R, rows += R * dims) raise<R, V>(rows, dims, panel, best);
  for (; count >= R / 3; count -= R / 3, rows += R / 3 * dims) raise<R / 3, V>(rows, dims, panel, best);
  for (; count > 0; --count, rows += dims) raise<1, V>(rows, dims, panel, best);
}

}  // namespace

float maxsim(const Panels& query, const float* rows, int64_t count, float* best) {
  for (int i = 0; i < query.width; ++i) best[i] = -__builtin_inff();
  for (int done = 0; done < query.width;) {
    const int v = next_panel((query.width - done) / kLanes);
    const float* panel = query.weight + size_t(done) * query.depth;
    if (v == 1) raise_all<1>(rows, count, query.depth, panel, best + done);
    if (v == 2) raise_all<2>(rows, count, query.depth, panel, best + done);
    if constexpr (kPanel == 4) {
      if (v == 3) raise_all<3>(rows, count, query.depth, panel, best + done);
      if (v == 4) raise_all<4>(rows, count, query.depth, panel, best + done);
    }
    done += v * kLanes;
  }
  float score = 0;
  for (int q = 0; q < query.out; ++q) score += best[q];
  return score;
}

}  // namespace femto::FEMTO_KERNEL
