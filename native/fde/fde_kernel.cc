// MUVERA for one instruction set: one text's rows into buckets, and the buckets into a vector.
#include "bert/pack.h"
#include "cpu/functions.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr int kChunk = 64;  // rows whose products with the planes are held at a time

// The working memory of one text. A slot is a bucket that has rows, in the order in which they came.
struct Slots {
  float* rows;       // [length, row_stride] the text's rows, padded
  float* products;   // [kChunk, planes]
  int32_t* codes;    // [length, code_stride] the sign code of a row in each repetition
  float* sums;       // [slots, row_stride]
  float* firsts;     // [slots, row_stride] the first row of each
  float* projected;  // [slots, width, padded]
  float* first_projected;
  int32_t* slot;     // [1 << bits] the slot of a code, or -1
  int32_t* held;     // [slots] the code of a slot
  int32_t* sizes;    // [slots] its rows
  int32_t* nearest;  // [slots]
  int count, code_stride, product_stride, projected_stride;
};

int32_t* take_ints(Arena& arena, size_t count) { return reinterpret_cast<int32_t*>(arena.take(count)); }

Slots carve(const PackedMuvera& m, int64_t length, Arena& arena) {
  Slots s;
  const int64_t buckets = int64_t(1) << m.bits, slots = length < buckets ? length : buckets;
  s.count = 0;
  s.code_stride = padded(m.repetitions);
  s.product_stride = m.planes.width + padded(m.repetitions);
  s.projected_stride = m.projection ? padded(m.width) : m.row_stride;
  s.rows = arena.take(length * m.row_stride);
  s.products = arena.take(size_t(kChunk) * s.product_stride);
  s.codes = take_ints(arena, length * s.code_stride);
  s.sums = arena.take(slots * m.row_stride);
  s.projected = m.projection ? arena.take(slots * s.projected_stride) : s.sums;
  s.firsts = s.first_projected = nullptr;
  if (m.fill == Fill::first) {
    s.firsts = arena.take(slots * m.row_stride);
    s.first_projected = m.projection ? arena.take(slots * s.projected_stride) : s.firsts;
  }
  s.slot = take_ints(arena, buckets);
  s.held = take_ints(arena, slots);
  s.sizes = take_ints(arena, slots);
  s.nearest = take_ints(arena, slots);
  return s;
}

void pad_rows(const PackedMuvera& m, const float* rows, int64_t length, float* to) {
  memset(to, 0, length * m.row_stride * sizeof(float));
  for (int64_t t = 0; t < length; ++t) memcpy(to + t * m.row_stride, rows + t * m.dims, m.dims * sizeof(float));
}

// codes[t][r]: bit b is set where row t lies above plane b of repetition r. Lanes are repetitions.
void code_rows(const PackedMuvera& m, int64_t length, Slots& s) {
  for (int64_t start = 0; start < length; start += kChunk) {
    const int rows = int(length - start < kChunk ? length - start : kChunk);
    multiply(s.rows + start * m.row_stride, m.row_stride, rows, m.planes, s.products, s.product_stride);
    for (int t = 0; t < rows; ++t) {
      const float* products = s.products + size_t(t) * s.product_stride;
      int32_t* codes = s.codes + (start + t) * s.code_stride;
      for (int r = 0; r < m.repetitions; r += kLanes) {
        Ints code{};
        for (int b = 0; b < m.bits; ++b) {
          code |= (load(products + size_t(b) * m.repetitions + r) > 0.0f) & (Ints{} + (1 << b));
        }
        memcpy(codes + r, &code, sizeof code);
      }
    }
  }
}

// The slot of a code, a new one if it has none.
int find_slot(const PackedMuvera& m, int32_t code, const float* row, Slots& s) {
  int at = s.slot[code];
  if (at >= 0) return at;
  at = s.slot[code] = s.count++;
  s.held[at] = code;
  s.sizes[at] = 0;
  memset(s.sums + size_t(at) * m.row_stride, 0, m.row_stride * sizeof(float));
  if (s.firsts) memcpy(s.firsts + size_t(at) * m.row_stride, row, m.row_stride * sizeof(float));
  return at;
}

void gather(const PackedMuvera& m, int repetition, int64_t length, Slots& s) {
  s.count = 0;
  memset(s.slot, 0xff, (size_t(1) << m.bits) * sizeof *s.slot);
  for (int64_t t = 0; t < length; ++t) {
    const float* row = s.rows + t * m.row_stride;
    const int at = find_slot(m, s.codes[t * s.code_stride + repetition], row, s);
    float* sums = s.sums + size_t(at) * m.row_stride;
    for (int d = 0; d < m.row_stride; d += kLanes) store(sums + d, load(sums + d) + load(row + d));
    ++s.sizes[at];
  }
  if (m.projection) {
    const Panels& projection = m.projection[repetition];
    multiply(s.sums, m.row_stride, s.count, projection, s.projected, s.projected_stride);
    if (s.firsts) multiply(s.firsts, m.row_stride, s.count, projection, s.first_projected, s.projected_stride);
  }
}

// out = scale * Σ vectors[which[i]], over `width` numbers.
void add_up(const float* vectors, size_t stride, const int32_t* which, int count, float scale, int width, float* out) {
  for (int j = 0; j < width; j += kLanes) {
    Floats total{};
    for (int i = 0; i < count; ++i) total += load(vectors + which[i] * stride + j);
    total *= scale;
    memcpy(out + j, &total, (width - j < kLanes ? width - j : kLanes) * sizeof(float));
  }
}

// The slots whose codes are nearest to `code`, in `nearest`; their number.
int find_nearest(const PackedMuvera& m, int32_t code, Slots& s) {
  int count = 0, least = m.bits + 1;
  for (int at = 0; at < s.count; ++at) {
    const int distance = m.ones[code ^ s.held[at]];
    if (distance < least) least = distance, count = 0;
    if (distance == least) s.nearest[count++] = at;
  }
  return count;
}

// The mean of all rows that are nearest, or the first row of the nearest bucket, of equals that of the lowest code.
void fill_bucket(const PackedMuvera& m, int32_t code, Slots& s, float* out) {
  const int count = find_nearest(m, code, s);
  if (m.fill == Fill::mean) {
    int rows = 0;
    for (int i = 0; i < count; ++i) rows += s.sizes[s.nearest[i]];
    return add_up(s.projected, s.projected_stride, s.nearest, count, m.scale / float(rows), m.width, out);
  }
  int32_t lowest = s.nearest[0];
  for (int i = 1; i < count; ++i) lowest = s.held[s.nearest[i]] < s.held[lowest] ? s.nearest[i] : lowest;
  add_up(s.first_projected, s.projected_stride, &lowest, 1, m.scale, m.width, out);
}

void write_buckets(const PackedMuvera& m, bool document, Slots& s, float* out) {
  for (int32_t code = 0; code < 1 << m.bits; ++code) {
    float* bucket = out + size_t(m.order[code]) * m.width;
    const int32_t at = s.slot[code];
    if (at >= 0) {
      const float scale = document ? m.scale / float(s.sizes[at]) : m.scale;
      add_up(s.projected, s.projected_stride, &at, 1, scale, m.width, bucket);
    } else if (document && m.fill != Fill::none) {
      fill_bucket(m, code, s, bucket);
    } else {
      memset(bucket, 0, m.width * sizeof(float));
    }
  }
}

}  // namespace

void pack_muvera(const Muvera& muvera, Arena& arena, Panels* projection, PackedMuvera& packed) {
  packed.dims = muvera.dims;
  packed.repetitions = muvera.repetitions;
  packed.bits = muvera.bits;
  packed.width = muvera.width;
  packed.row_stride = padded(muvera.dims);
  packed.fill = muvera.fill;
  packed.scale = muvera.scale;
  packed.planes = pack_linear({muvera.planes, nullptr, muvera.bits * muvera.repetitions, muvera.dims}, arena);
  packed.projection = muvera.projection ? projection : nullptr;
  for (int r = 0; muvera.projection && r < muvera.repetitions; ++r) {
    const float* matrix = muvera.projection + size_t(r) * muvera.width * muvera.dims;
    projection[r] = pack_linear({matrix, nullptr, muvera.width, muvera.dims}, arena);
  }
}

size_t muvera_scratch(const PackedMuvera& muvera, int64_t length) {
  Arena counter{nullptr, 0};
  carve(muvera, length, counter);
  return counter.used;
}

void muvera(const PackedMuvera& m, const float* rows, int64_t length, bool document, float* out, float* memory) {
  Arena arena{memory, 0};
  Slots s = carve(m, length, arena);
  pad_rows(m, rows, length, s.rows);
  code_rows(m, length, s);
  for (int r = 0; r < m.repetitions; ++r, out += (size_t(1) << m.bits) * m.width) {
    gather(m, r, length, s);
    write_buckets(m, document, s, out);
  }
}

}  // namespace femto::FEMTO_KERNEL
