// One number as an int8 code: what codes.py calls row ≈ code · scale.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace femto {

inline float scale_of(const float* row, int dims) {
  float most = 0;
  for (int d = 0; d < dims; ++d) most = std::max(most, std::fabs(row[d]));
  return most / 127;
}

// round(x / scale), halves to even, by adding and taking off 1.5 * 2^23: within ±127 even where a tiny scale lost
// its digits.
inline int8_t code_of(float x, float scale) {
  const float code = (x / scale + 12582912.0f) - 12582912.0f;
  return int8_t(std::clamp(code, -127.0f, 127.0f));
}

}  // namespace femto
