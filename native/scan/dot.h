// Four int8 products at a time: Ints[row] += Σ_j document[row][j] * query[j], exactly.
//
// A document operand is one register: four dims of kLanes rows, as codes lie in memory. The query is four dims in
// the bytes of an int32; or, in `dot_bytes`, as many bytes as the document has, and only the sum of all lanes counts. A
// query's codes are within ±127; a document's may be any byte, for files can be damaged. load_document reads a byte as
// a signed number; load_bits some bits of each as an unsigned one, which needs no raising.
#pragma once
#include "cpu/vec.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

namespace femto::FEMTO_KERNEL {

#if defined(__AVX512VNNI__)

// vpdpbusd takes unsigned times signed: documents are raised by 128, and 128 Σ query is taken off at the start.
constexpr bool kRaised = true;
struct Document {
  __m512i raised;
};

inline Document load_document(const int8_t* p) {
  return {_mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128))};
}

inline Document load_bits(const int8_t* p, int shift, int mask) {
  const __m512i bytes = _mm512_srl_epi16(_mm512_loadu_si512(p), _mm_cvtsi32_si128(shift));
  return {_mm512_and_si512(bytes, _mm512_set1_epi8(char(mask)))};
}

inline Ints dot(Ints total, const Document& d, int32_t query) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)total, d.raised, _mm512_set1_epi32(query));
}

inline Ints dot_bytes(Ints total, const Document& d, const int8_t* query) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)total, d.raised, _mm512_loadu_si512(query));
}

#elif defined(__AVX2__)

// vpmaddubsw, too, takes unsigned times signed, and saturates: |document| times the query with the document's sign
// is at most 2 * 128 * 127, which fits.
constexpr bool kRaised = false;
struct Document {
  __m256i codes, magnitude;
};

inline Document load_document(const int8_t* p) {
  const __m256i codes = _mm256_loadu_si256((const __m256i*)p);
  return {codes, _mm256_abs_epi8(codes)};
}

inline Document load_bits(const int8_t* p, int shift, int mask) {
  const __m256i bytes = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i*)p), _mm_cvtsi32_si128(shift));
  const __m256i codes = _mm256_and_si256(bytes, _mm256_set1_epi8(char(mask)));
  return {codes, codes};
}

inline Ints dot(Ints total, const Document& d, __m256i query) {
  const __m256i pairs = _mm256_maddubs_epi16(d.magnitude, _mm256_sign_epi8(query, d.codes));
  return total + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

inline Ints dot(Ints total, const Document& d, int32_t query) { return dot(total, d, _mm256_set1_epi32(query)); }

inline Ints dot_bytes(Ints total, const Document& d, const int8_t* query) {
  return dot(total, d, _mm256_loadu_si256((const __m256i*)query));
}

#elif defined(__SSE2__)

// Widened to int16, two rows in each half; pmaddwd adds pairs of dims, and a shuffle brings the pairs together.
constexpr bool kRaised = false;
struct Document {
  __m128i low, high;
};

inline Document load_document(const int8_t* p) {
  const __m128i codes = _mm_loadu_si128((const __m128i*)p), sign = _mm_cmpgt_epi8(_mm_setzero_si128(), codes);
  return {_mm_unpacklo_epi8(codes, sign), _mm_unpackhi_epi8(codes, sign)};
}

inline Document load_bits(const int8_t* p, int shift, int mask) {
  const __m128i bytes = _mm_srl_epi16(_mm_loadu_si128((const __m128i*)p), _mm_cvtsi32_si128(shift));
  const __m128i codes = _mm_and_si128(bytes, _mm_set1_epi8(char(mask))), zero = _mm_setzero_si128();
  return {_mm_unpacklo_epi8(codes, zero), _mm_unpackhi_epi8(codes, zero)};
}

inline Ints dot(Ints total, const Document& d, int32_t query) {
  const __m128i bytes = _mm_set1_epi32(query);
  const __m128i wide = _mm_unpacklo_epi8(bytes, _mm_cmpgt_epi8(_mm_setzero_si128(), bytes));
  const __m128 low = _mm_castsi128_ps(_mm_madd_epi16(d.low, wide));
  const __m128 high = _mm_castsi128_ps(_mm_madd_epi16(d.high, wide));
  return total + (Ints)_mm_castps_si128(_mm_shuffle_ps(low, high, 0x88)) +
         (Ints)_mm_castps_si128(_mm_shuffle_ps(low, high, 0xdd));
}

inline Ints dot_bytes(Ints total, const Document& d, const int8_t* query) {
  const Document q = load_document(query);
  return total + (Ints)_mm_madd_epi16(d.low, q.low) + (Ints)_mm_madd_epi16(d.high, q.high);
}

#elif defined(__ARM_FEATURE_DOTPROD)

constexpr bool kRaised = false;
struct Document {
  int8x16_t codes;
};

inline Document load_document(const int8_t* p) { return {vld1q_s8(p)}; }

inline Document load_bits(const int8_t* p, int shift, int mask) {
  const uint8x16_t bytes = vshlq_u8(vreinterpretq_u8_s8(vld1q_s8(p)), vdupq_n_s8(int8_t(-shift)));
  return {vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(uint8_t(mask))))};
}

inline Ints dot(Ints total, const Document& d, int32_t query) {
  return (Ints)vdotq_s32((int32x4_t)total, d.codes, vreinterpretq_s8_s32(vdupq_n_s32(query)));
}

inline Ints dot_bytes(Ints total, const Document& d, const int8_t* query) {
  return (Ints)vdotq_s32((int32x4_t)total, d.codes, vld1q_s8(query));
}

#elif defined(__wasm_simd128__)

// As for SSE2.
constexpr bool kRaised = false;
struct Document {
  v128_t low, high;
};

inline Document load_document(const int8_t* p) {
  const v128_t codes = wasm_v128_load(p);
  return {wasm_i16x8_extend_low_i8x16(codes), wasm_i16x8_extend_high_i8x16(codes)};
}

inline Document load_bits(const int8_t* p, int shift, int mask) {
  const v128_t codes = wasm_v128_and(wasm_u8x16_shr(wasm_v128_load(p), shift), wasm_i8x16_splat(int8_t(mask)));
  return {wasm_u16x8_extend_low_u8x16(codes), wasm_u16x8_extend_high_u8x16(codes)};
}

inline Ints dot(Ints total, const Document& d, int32_t query) {
  const v128_t wide = wasm_i16x8_extend_low_i8x16(wasm_i32x4_splat(query));
  const v128_t low = wasm_i32x4_dot_i16x8(d.low, wide), high = wasm_i32x4_dot_i16x8(d.high, wide);
  return total + (Ints)wasm_i32x4_shuffle(low, high, 0, 2, 4, 6) + (Ints)wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
}

inline Ints dot_bytes(Ints total, const Document& d, const int8_t* query) {
  const Document q = load_document(query);
  return total + (Ints)wasm_i32x4_dot_i16x8(d.low, q.low) + (Ints)wasm_i32x4_dot_i16x8(d.high, q.high);
}

#else

constexpr bool kRaised = false;
struct Document {
  int8_t codes[4 * kLanes];
};

inline Document load_document(const int8_t* p) {
  Document d;
  memcpy(d.codes, p, sizeof d.codes);
  return d;
}

inline Document load_bits(const int8_t* p, int shift, int mask) {
  Document d;
  for (int i = 0; i < 4 * kLanes; ++i) d.codes[i] = int8_t(uint8_t(p[i]) >> shift & mask);
  return d;
}

inline Ints dot(Ints total, const Document& d, int32_t query) {
  int8_t q[4];
  memcpy(q, &query, sizeof q);
  for (int r = 0; r < kLanes; ++r) {
    for (int j = 0; j < 4; ++j) total[r] += d.codes[4 * r + j] * q[j];
  }
  return total;
}

inline Ints dot_bytes(Ints total, const Document& d, const int8_t* query) {
  for (int i = 0; i < 4 * kLanes; ++i) total[i / 4] += d.codes[i] * query[i];
  return total;
}

#endif

}  // namespace femto::FEMTO_KERNEL
