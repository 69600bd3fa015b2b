// Which rows of a text say something that none before them said, for one instruction set. A lane is a row that is
// kept, and its sum goes through the dims in their order, so all instruction sets give the same bits.
#include <algorithm>

#include "cpu/functions.h"
#include "cpu/vec.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr int kAbreast = 64 / kLanes;  // registers of products: sums that do not wait for each other

// The greatest product of the row with the 64 rows of a panel, [dims, 64].
float greatest(const float* row, const float* panel, int dims) {
  Floats products[kAbreast] = {};
  for (int d = 0; d < dims; ++d) {
    const Floats number = broadcast(row[d]);
#pragma GCC unroll 16
    for (int p = 0; p < kAbreast; ++p) products[p] += number * load(panel + d * kPanelRows + p * kLanes);
  }
  for (int p = 1; p < kAbreast; ++p) products[0] = max(products[0], products[p]);
  return maximum(products[0]);
}

}  // namespace

void distinct(const float* rows, int64_t count, int dims, const Distinct& rule, uint8_t* keep, float* panels) {
  int64_t kept = 0;
  std::fill_n(keep, count, uint8_t{1});
  for (int64_t t = rule.first; t < count - rule.last; ++t) {
    const float* row = rows + t * dims;
    bool near = false;
    for (int64_t first = 0; first < kept && !near; first += kPanelRows) {
      near = greatest(row, panels + first * dims, dims) > rule.most;
    }
    keep[t] = !near;
    if (near) continue;
    float* panel = panels + kept / kPanelRows * kPanelRows * dims;
    if (kept % kPanelRows == 0) std::fill_n(panel, kPanelRows * dims, 0.0f);
    for (int d = 0; d < dims; ++d) panel[d * kPanelRows + kept % kPanelRows] = row[d];
    ++kept;
  }
}

}  // namespace femto::FEMTO_KERNEL
