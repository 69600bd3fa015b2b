// Sums of products of small whole numbers, exact on every instruction set: several codes to a 32-bit word.
//
// A register of weights holds one word for each of kLanes columns; the other operand is one word, the same for all.
#pragma once
#include "cpu/vec.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace femto::FEMTO_KERNEL {

inline Ints load_words(const int32_t* p) {
  Ints v;
  memcpy(&v, p, sizeof v);
  return v;
}

inline int32_t load_word(const int32_t* p) {
  int32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

inline void store_words(int32_t* p, Ints v) { memcpy(p, &v, sizeof v); }

// Two numbers of 16 bits to a word.
struct Pairs {
  using Code = int16_t;
  using Weight = int16_t;
  static constexpr int kDeep = 2, kRaised = 0;

  static Ints add(Ints total, Ints weights, int32_t codes) {
#if defined(__AVX512VNNI__)
    return (Ints)_mm512_dpwssd_epi32((__m512i)total, (__m512i)weights, _mm512_set1_epi32(codes));
#elif defined(__AVX2__)
    return total + (Ints)_mm256_madd_epi16((__m256i)weights, _mm256_set1_epi32(codes));
#elif defined(__SSE2__)
    return total + (Ints)_mm_madd_epi16((__m128i)weights, _mm_set1_epi32(codes));
#elif defined(__aarch64__)
    const int16x8_t w = vreinterpretq_s16_s32((int32x4_t)weights), c = vreinterpretq_s16_s32(vdupq_n_s32(codes));
    return total + (Ints)vpaddq_s32(vmull_s16(vget_low_s16(w), vget_low_s16(c)), vmull_high_s16(w, c));
#else
    int16_t w[2 * kLanes], c[2];
    memcpy(w, &weights, sizeof w);
    memcpy(c, &codes, sizeof c);
    for (int i = 0; i < kLanes; ++i) total[i] += w[2 * i] * c[0] + w[2 * i + 1] * c[1];
    return total;
#endif
  }
};

// Four numbers of 8 bits to a word, where an instruction adds their products without saturation.
#if defined(__AVX512VNNI__)

struct Quads {  // vpdpbusd takes unsigned times signed: codes are raised by 128
  using Code = uint8_t;
  using Weight = int8_t;
  static constexpr int kDeep = 4, kRaised = 128;

  static Ints add(Ints total, Ints weights, int32_t codes) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)total, _mm512_set1_epi32(codes), (__m512i)weights);
  }
};

#elif defined(__ARM_FEATURE_DOTPROD)

struct Quads {
  using Code = int8_t;
  using Weight = int8_t;
  static constexpr int kDeep = 4, kRaised = 0;

  static Ints add(Ints total, Ints weights, int32_t codes) {
    return (Ints)vdotq_s32((int32x4_t)total, vreinterpretq_s8_s32((int32x4_t)weights),
                           vreinterpretq_s8_s32(vdupq_n_s32(codes)));
  }
};

#else

using Quads = Pairs;

#endif

}  // namespace femto::FEMTO_KERNEL
