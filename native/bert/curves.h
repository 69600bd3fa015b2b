// The curves of a transformer as polynomials, in the registers' own width.
#pragma once
#include "cpu/vec.h"

namespace femto::FEMTO_KERNEL {

template <int N>
inline Floats polynomial(const float (&c)[N], Floats x) {
  Floats y = broadcast(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i) y = y * x + c[i];
  return y;
}

// e^x for x <= 0, to 1e-7 of its value; below -87 it stays at e^-87.
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a minimax polynomial, and n is added to the exponent's bits. Adding
// 1.5 * 2^23 rounds to an integer and leaves that integer in the low bits.
inline Floats exponential(Floats x) {
  static constexpr float kCurve[] = {1.0f, 0.99999969f, 0.49998895f, 0.16667575f, 0.041915382f, 0.0082976486f};
  const Floats shift = broadcast(12582912.0f);
  x = max(x, broadcast(-87.0f));
  const Floats shifted = x * 1.44269504f + shift;
  const Floats n = shifted - shift;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  return from_bits(bits(polynomial(kCurve, r)) + (bits(shifted) << 23));
}

// x Φ(x), to 1e-6. Φ(x) - 1/2 is x times a polynomial in x², fitted (minimax) over |x| <= 5.2; Φ(5.2) = 1 - 1e-7.
struct Gelu {
  static Floats finish(Floats x) {
    static constexpr float kCurve[] = {0.135949984f,   -0.0677436218f,  0.0500256158f, -0.0399319865f,
                                       0.0319739133f,  -0.0246988367f,  0.0180387869f, -0.0126196733f,
                                       0.00836506113f, -0.00454228278f, 0.0020052169f, -0.00146880478f,
                                       0.00118867133f, -0.000388223008f};
    constexpr float kEnd = 5.2f;
    const Floats inside = min(max(x, broadcast(-kEnd)), broadcast(kEnd));
    const Floats u = inside * inside * (2 / (kEnd * kEnd)) - 1.0f;
    return x * (inside * polynomial(kCurve, u) + 0.5f);
  }
};

}  // namespace femto::FEMTO_KERNEL
