// One number as a code: what codes.py says, of 8 bits, and of fewer.
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

// Groups of four bytes that so many numbers need.
inline int groups_of(int64_t dims, int bits) { return int((dims * bits + 31) / 32); }

// The step between the values of 4- or 2-bit codes that is best for numbers of a normal distribution, by their root
// mean square (J. Max, Quantizing for minimum distortion, 1960).
inline float step_of(const float* row, int dims, int bits) {
  double squares = 0;
  for (int d = 0; d < dims; ++d) squares += double(row[d]) * row[d];
  return float((bits == 4 ? 0.3352 : 0.9957) * std::sqrt(squares / dims));
}

// The whole number u of 0..2^bits - 1 for which (u - (2^bits - 1) / 2) step is next to x.
inline uint8_t low_code_of(float x, float step, int bits) {
  const float most = float((1 << bits) - 1);
  return uint8_t(std::clamp(std::floor(x / step + (most + 1) / 2), 0.0f, most));
}

}  // namespace femto
