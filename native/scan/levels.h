// Rows in 4 bits: codes.py says what they are.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cpu/kernel.h"

namespace femto {

// The 16 values that are best for numbers of a normal distribution (J. Max, Quantizing for minimum distortion, 1960),
// the largest as 127; and the borders between those above zero, by the root mean square.
constexpr int8_t kLevels[16] = {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127};
constexpr double kBorders[7] = {0.2582, 0.5224, 0.7996, 1.0993, 1.4371, 1.8435, 2.4008};

// The row times Hadamard's matrices of the powers of two that make up `dims`, the largest first: turned twice it is as
// before. No number of a turned row is far larger than the others.
inline void turn(float* row, int dims) {
  for (int begin = 0, size; begin < dims; begin += size) {
    size = 1;
    while (begin + 2 * size <= dims) size *= 2;
    float* block = row + begin;
    for (int half = 1; half < size; half *= 2) {
      for (int at = 0; at < size; at += 2 * half) {
        for (int i = at; i < at + half; ++i) {
          const float a = block[i], b = block[i + half];
          block[i] = a + b, block[i + half] = a - b;
        }
      }
    }
    const float shrink = float(1 / std::sqrt(double(size)));
    for (int i = 0; i < size; ++i) block[i] *= shrink;
  }
}

// Writes the number 0..15 of the level of each number of a turned row into the row's place `to` of a block, and returns
// the scale for which the product of the row with what its code stands for is that with itself: a smaller error would
// make every product too small.
inline float place_levels(const float* row, int dims, int8_t* to) {
  constexpr int kNumbers = 2 * kGroup;  // of a group
  double squares = 0, products = 0;
  for (int d = 0; d < dims; ++d) squares += double(row[d]) * row[d];
  const double spread = std::sqrt(squares / dims);
  float borders[7];
  for (int i = 0; i < 7; ++i) borders[i] = float(kBorders[i] * spread);
  for (int d = 0; d < dims; ++d) {
    int above = 0;
    for (const float border : borders) above += std::fabs(row[d]) > border;
    const int code = row[d] < 0 ? 7 - above : 8 + above, shift = d % kNumbers / kGroup * 4;
    int8_t& byte = to[size_t(d / kNumbers) * kBlockRows * kGroup + d % kGroup];
    byte = int8_t((byte & ~(15 << shift)) | code << shift);
    products += double(row[d]) * kLevels[code];
  }
  return products > 0 ? float(squares / products) : 0;
}

// The level of number d of a row, of its bytes without those of other rows between.
inline float level_of(const int8_t* values, int d) {
  const auto byte = uint8_t(values[d / 8 * kGroup + d % kGroup]);
  return kLevels[byte >> (d % 8 / kGroup * 4) & 15];
}

}  // namespace femto
