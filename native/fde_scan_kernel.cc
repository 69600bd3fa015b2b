// Inner products of one coded vector with coded rows, for one instruction set. The integers are exact, and the two
// float multiplications that follow have one order, so all instruction sets give the same bits.
#include "dot.h"
#include "functions.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr int kParts = kBlockRows / kLanes;      // registers that hold one number of each row of a block
constexpr int kChains = kParts == 1 ? 4 : 2;     // sums that do not wait for each other

}  // namespace

void inner_products(const CodedVector& vector, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                    float* products) {
  constexpr size_t kGroupBytes = size_t(kBlockRows) * kGroup;
  const size_t block_bytes = vector.group_count * kGroupBytes;
  for (int64_t n = begin; n < end; ++n) {
    const int8_t* block = blocks + n * block_bytes;
    Ints totals[kChains][kParts] = {};
    for (int p = 0; kRaised && p < kParts; ++p) totals[0][p] = Ints{} - 128 * vector.sum;
    const auto add = [&](int chain, int i) {
      const int8_t* group = block + vector.places[i] * kGroupBytes;
      __builtin_prefetch(group + block_bytes);
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        totals[chain][p] = dot(totals[chain][p], load_document(group + p * kLanes * kGroup), vector.groups[i]);
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
      const size_t row = n * kBlockRows + p * kLanes;
      store(products + row, __builtin_convertvector(total, Floats) * load(scales + row) * vector.scale);
    }
  }
}

}  // namespace femto::FEMTO_KERNEL
