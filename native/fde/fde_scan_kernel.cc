// Inner products of one coded vector with coded rows, for one instruction set. The integers are exact, and the float
// multiplications that follow have one order, so all instruction sets give the same bits.
#include "cpu/functions.h"
#include "scan/dot.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr int kParts = kBlockRows / kLanes;   // registers that hold one number of each row of a block
constexpr int kChains = kParts == 1 ? 4 : 2;  // sums that do not wait for each other

// Numbers of so many bits: the vector's group i of four lies in 8 / kPer bits of each byte of a row's group i / kPer.
template <int Bits>
void multiply_blocks(const CodedVector& vector, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                     float* products) {
  constexpr int kPer = 8 / Bits, kMask = (1 << Bits) - 1;
  constexpr bool kLifted = Bits == 8 && kRaised;
  for (int64_t n = begin; n < end; ++n) {
    Ints totals[kChains][kParts] = {};
    for (int p = 0; kLifted && p < kParts; ++p) totals[0][p] = Ints{} - 128 * vector.sum;
    const auto add = [&](int chain, int i) {
      const int shift = vector.places[i] % kPer * Bits;
      const int8_t* group = blocks + vector.offsets[i] + n * vector.strides[i];
      __builtin_prefetch(group + vector.strides[i]);
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        const int8_t* codes = group + p * kLanes * kGroup;
        const Document document = Bits == 8 ? load_document(codes) : load_bits(codes, shift, kMask);
        totals[chain][p] = dot(totals[chain][p], document, vector.groups[i]);
      }
    };
    int i = 0;
    for (; i + kChains <= vector.count; i += kChains) {
#pragma GCC unroll 4
      for (int chain = 0; chain < kChains; ++chain) add(chain, i + chain);
    }
    for (; i < vector.count; ++i) add(0, i);
    for (int p = 0; p < kParts; ++p) {
      Ints total = totals[0][p];
      for (int chain = 1; chain < kChains; ++chain) total += totals[chain][p];
      if (Bits < 8) total = 2 * total - kMask * vector.sum;  // of twice code - kMask / 2
      const size_t row = n * kBlockRows + p * kLanes, out = row - begin * kBlockRows;
      const Floats scale = Bits < 8 ? load(scales + row) * 0.5f : load(scales + row);
      store(products + out, __builtin_convertvector(total, Floats) * scale * vector.scale);
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

}  // namespace femto::FEMTO_KERNEL
