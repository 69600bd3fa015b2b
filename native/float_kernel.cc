// The float32 kernels of one instruction set: a text through BERT, and MaxSim.
#include "attention.h"
#include "functions.h"
#include "pack.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr int kInnerRows = 96;  // rows that pass through a feed-forward block together

// The working memory of one text.
struct Scratch {
  float *state, *update, *qkv, *context, *transposed, *scores, *inner;
  int qkv_stride, inner_stride;
};

Scratch carve(const PackedBert& bert, int length, Arena& arena) {
  Scratch s;
  int inner = 0;
  for (int i = 0; i < bert.layer_count; ++i) inner = larger(inner, bert.layers[i].up.width);
  const int head = bert.hidden / bert.heads;
  s.qkv_stride = padded(3 * bert.hidden);
  s.inner_stride = inner;
  s.state = arena.take(size_t(length) * bert.stride);
  s.update = arena.take(size_t(length) * bert.stride);
  s.qkv = arena.take(size_t(length) * s.qkv_stride + padded(head));  // the last head reads a little beyond
  s.context = arena.take(size_t(length) * bert.stride);
  s.transposed = arena.take(size_t(head) * padded(length));
  s.scores = arena.take(size_t(kScoreRows) * padded(length));
  s.inner = arena.take(size_t(kInnerRows) * inner);
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

// Moves the kept rows to the front and returns their number.
int keep_rows(float* rows, size_t stride, int width, const uint8_t* keep, int length) {
  int kept = 0;
  for (int t = 0; t < length; ++t) {
    if (!keep[t]) continue;
    if (kept != t) memcpy(rows + kept * stride, rows + t * stride, width * sizeof(float));
    ++kept;
  }
  return kept;
}

void feed_forward(const PackedBert& bert, const PackedLayer& layer, const Scratch& s, int rows) {
  for (int start = 0; start < rows; start += kInnerRows) {
    const int some = rows - start < kInnerRows ? rows - start : kInnerRows;
    float* state = s.state + size_t(start) * bert.stride;
    float* update = s.update + size_t(start) * bert.stride;
    multiply<Gelu>(state, bert.stride, some, layer.up, s.inner, s.inner_stride);
    multiply(s.inner, s.inner_stride, some, layer.down, update, bert.stride);
    add_norm(bert, state, update, some, layer.norm);
  }
}

// Runs one layer and returns the rows that are left: in the last layer only those to keep get beyond keys and values.
int run_layer(const PackedBert& bert, const PackedLayer& layer, const Scratch& s, int length, int attended,
              const uint8_t* keep) {
  int rows = length;
  multiply(s.state, bert.stride, length, layer.qkv, s.qkv, s.qkv_stride);
  if (keep) {
    keep_rows(s.qkv, s.qkv_stride, bert.hidden, keep, length);
    rows = keep_rows(s.state, bert.stride, bert.stride, keep, length);
  }
  attend({s.qkv, s.qkv + bert.hidden, s.qkv + 2 * bert.hidden, size_t(s.qkv_stride), rows, attended, bert.heads,
          bert.hidden / bert.heads, s.transposed, s.scores, s.context, size_t(bert.stride)});
  multiply(s.context, bert.stride, rows, layer.attention, s.update, bert.stride);
  add_norm(bert, s.state, s.update, rows, layer.attention_norm);
  feed_forward(bert, layer, s, rows);
  return rows;
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

void pack(const Bert& bert, Arena& arena, PackedBert& packed) { pack_bert(bert, arena, packed); }

size_t scratch(const PackedBert& bert, int length) {
  Arena arena{nullptr, 0};
  carve(bert, length, arena);
  return arena.used;
}

void encode(const PackedBert& bert, const int32_t* ids, int length, int attended, const uint8_t* keep, float* rows,
            float* memory) {
  Arena arena{memory, 0};
  Scratch s = carve(bert, length, arena);
  for (int t = 0; t < length; ++t) embed(bert, ids[t], t, s.state + size_t(t) * bert.stride);
  int count = length;
  for (int i = 0; i < bert.layer_count; ++i) {
    const bool last = i + 1 == bert.layer_count;
    count = run_layer(bert, bert.layers[i], s, length, attended, last ? keep : nullptr);
  }
  if (bert.layer_count == 0) count = keep_rows(s.state, bert.stride, bert.stride, keep, length);
  float *from = s.state, *to = s.update;
  for (int i = 0; i < bert.dense_count; ++i) {
    multiply(from, bert.stride, count, bert.dense[i], to, bert.stride);
    float* swap = from;
    from = to;
    to = swap;
  }
  for (int t = 0; t < count; ++t) write_unit(from + size_t(t) * bert.stride, bert.dims, rows + size_t(t) * bert.dims);
}

void pack_query(const float* query, int count, int dims, Arena& arena, Panels& packed) {
  packed = pack_linear({query, nullptr, count, dims}, arena);
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
