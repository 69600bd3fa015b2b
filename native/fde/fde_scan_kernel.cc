// Inner products of one coded vector with coded rows, for one instruction set. The integers are exact, and the float
// multiplications that follow have one order, so all instruction sets give the same bits.
#include "cpu/functions.h"
#include "scan/dot.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr int kParts = kBlockRows / kLanes;   // registers that hold one number of each row of a block
constexpr int kChains = kParts == 1 ? 4 : 2;  // sums that do not wait for each other
constexpr int kBytes = 4 * kLanes;            // of a register
constexpr int64_t kAhead = 4;                 // rows

template <int Bits>
struct Width {
  static constexpr int kPer = 8 / Bits, kMask = (1 << Bits) - 1;
  static constexpr bool kLifted = Bits == 8 && kRaised;

  // Numbers `turn`, turn + kPer, ... of a register's bytes.
  static Document load(const int8_t* codes, int turn) {
    return Bits == 8 ? load_document(codes) : load_bits(codes, turn * Bits, kMask);
  }

  // The sum of the products of all codes as that of what they stand for; twice it in fewer bits, whose numbers are
  // codes - kMask / 2.
  template <class Number>
  static Number of_values(Number total, const CodedVector& vector) {
    return Bits < 8 ? 2 * total - kMask * vector.sum : total;
  }
};

// Σ of the codes of the vector's rest times a row's.
template <int Bits>
inline int32_t rest_total(const CodedRest& rest, const int8_t* row) {
  using W = Width<Bits>;
  Ints totals[2] = {};
  int64_t byte = 0;
  for (; byte + kBytes <= rest.bytes; byte += kBytes) {
#pragma GCC unroll 4
    for (int turn = 0; turn < W::kPer; ++turn) {
      Ints& total = totals[turn % 2];
      total = dot_bytes(total, W::load(row + byte, turn), rest.planes + turn * rest.step + byte);
    }
  }
  if (byte < rest.bytes) {
    int8_t last[kBytes] = {};
    memcpy(last, row + byte, size_t(rest.bytes - byte));
    for (int turn = 0; turn < W::kPer; ++turn) {
      totals[0] = dot_bytes(totals[0], W::load(last, turn), rest.planes + turn * rest.step + byte);
    }
  }
  const Ints lanes = totals[0] + totals[1];
  int32_t total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += lanes[lane];
  return total;
}

template <int Bits>
void multiply_rest(const CodedVector& vector, const int8_t* blocks, const float* scales, const int64_t* which,
                   int64_t count, float* products) {
  using W = Width<Bits>;
  const CodedRest& rest = vector.rest;
  const int8_t* rows = blocks + rest.offset;
  for (int64_t n = 0; n < count; ++n) {
    const int8_t* soon = rows + which[n + kAhead < count ? n + kAhead : n] * rest.stride;
    for (int64_t line = 0; line < rest.bytes; line += 64) __builtin_prefetch(soon + line);
    const int32_t total = rest_total<Bits>(rest, rows + which[n] * rest.stride) - (W::kLifted ? 128 * vector.sum : 0);
    const float scale = scales[which[n]] * (Bits < 8 ? 0.5f : 1.0f);
    products[n] = float(W::of_values(total, vector)) * scale * vector.scale;
  }
}

// Numbers of so many bits: the vector's group i of four lies in 8 / kPer bits of each byte of a row's group i / kPer.
template <int Bits>
void multiply_blocks(const CodedVector& vector, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                     float* products) {
  using W = Width<Bits>;
  const CodedRest& rest = vector.rest;
  for (int64_t n = begin; n < end; ++n) {
    Ints totals[kChains][kParts] = {};
    for (int p = 0; W::kLifted && p < kParts; ++p) totals[0][p] = Ints{} - 128 * vector.sum;
    const auto add = [&](int chain, int i) {
      const int turn = vector.places[i] % W::kPer;
      const int8_t* group = blocks + vector.offsets[i] + n * vector.strides[i];
      __builtin_prefetch(group + vector.strides[i]);
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        totals[chain][p] = dot(totals[chain][p], W::load(group + p * kBytes, turn), vector.groups[i]);
      }
    };
    int i = 0;
    for (; i + kChains <= vector.count; i += kChains) {
#pragma GCC unroll 4
      for (int chain = 0; chain < kChains; ++chain) add(chain, i + chain);
    }
    for (; i < vector.count; ++i) add(0, i);
    if (rest.bytes) {
      for (int row = 0; row < kBlockRows; ++row) {
        const int8_t* codes = blocks + rest.offset + (n * kBlockRows + row) * rest.stride;
        totals[0][row / kLanes][row % kLanes] += rest_total<Bits>(rest, codes);
      }
    }
    for (int p = 0; p < kParts; ++p) {
      Ints total = totals[0][p];
      for (int chain = 1; chain < kChains; ++chain) total += totals[chain][p];
      const size_t row = n * kBlockRows + p * kLanes, out = row - begin * kBlockRows;
      const Floats scale = Bits < 8 ? load(scales + row) * 0.5f : load(scales + row);
      store(products + out, __builtin_convertvector(W::of_values(total, vector), Floats) * scale * vector.scale);
    }
  }
}

}  // namespace

void inner_products(const CodedVector& vector, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                    float* products) {
  const auto multiply = vector.bits == 8   ? multiply_blocks<8>
                        : vector.bits == 4 ? multiply_blocks<4>
                                           : multiply_blocks<2>;
  multiply(vector, blocks, scales, begin, end, products);
}

void rest_products(const CodedVector& vector, const int8_t* blocks, const float* scales, const int64_t* which,
                   int64_t count, float* products) {
  const auto multiply = vector.bits == 8 ? multiply_rest<8> : vector.bits == 4 ? multiply_rest<4> : multiply_rest<2>;
  multiply(vector, blocks, scales, which, count, products);
}

}  // namespace femto::FEMTO_KERNEL
