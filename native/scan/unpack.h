// Rows in 4 bits as 8-bit codes: the levels that the two halves of each byte stand for.
#pragma once
#include "scan/dot.h"
#include "scan/levels.h"

namespace femto::FEMTO_KERNEL {

#if defined(__AVX512BW__)

using Bytes = __m512i;
inline Bytes load_bytes(const int8_t* p) { return _mm512_loadu_si512(p); }
inline Bytes high_halves(Bytes v) { return _mm512_srli_epi16(v, 4); }
inline void store_levels(int8_t* p, Bytes v) {
  const __m512i levels = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)kLevels));
  _mm512_storeu_si512(p, _mm512_shuffle_epi8(levels, _mm512_and_si512(v, _mm512_set1_epi8(15))));
}

#elif defined(__AVX2__)

using Bytes = __m256i;
inline Bytes load_bytes(const int8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
inline Bytes high_halves(Bytes v) { return _mm256_srli_epi16(v, 4); }
inline void store_levels(int8_t* p, Bytes v) {
  const __m256i levels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)kLevels));
  _mm256_storeu_si256((__m256i*)p, _mm256_shuffle_epi8(levels, _mm256_and_si256(v, _mm256_set1_epi8(15))));
}

#elif defined(__ARM_FEATURE_DOTPROD)

using Bytes = uint8x16_t;
inline Bytes load_bytes(const int8_t* p) { return vld1q_u8((const uint8_t*)p); }
inline Bytes high_halves(Bytes v) { return vshrq_n_u8(v, 4); }
inline void store_levels(int8_t* p, Bytes v) {
  vst1q_s8(p, vqtbl1q_s8(vld1q_s8(kLevels), vandq_u8(v, vdupq_n_u8(15))));
}

#elif defined(__wasm_simd128__)

using Bytes = v128_t;
inline Bytes load_bytes(const int8_t* p) { return wasm_v128_load(p); }
inline Bytes high_halves(Bytes v) { return wasm_u8x16_shr(v, 4); }
inline void store_levels(int8_t* p, Bytes v) {
  wasm_v128_store(p, wasm_i8x16_swizzle(wasm_v128_load(kLevels), wasm_v128_and(v, wasm_i8x16_splat(15))));
}

#else

struct Bytes {
  uint8_t bytes[16];
};
inline Bytes load_bytes(const int8_t* p) {
  Bytes v;
  memcpy(v.bytes, p, sizeof v.bytes);
  return v;
}
inline Bytes high_halves(Bytes v) {
  for (uint8_t& byte : v.bytes) byte >>= 4;
  return v;
}
inline void store_levels(int8_t* p, Bytes v) {
  for (int i = 0; i < 16; ++i) p[i] = kLevels[v.bytes[i] & 15];
}

#endif

// out[2 g] and out[2 g + 1] = the two groups that lie in group g of a block of `groups`.
inline void unpack(const int8_t* block, int groups, int8_t* out) {
  constexpr size_t kBytes = kBlockRows * kGroup;
  for (int g = 0; g < groups; ++g, block += kBytes, out += 2 * kBytes) {
    for (size_t at = 0; at < kBytes; at += sizeof(Bytes)) {
      const Bytes bytes = load_bytes(block + at);
      store_levels(out + at, bytes);
      store_levels(out + kBytes + at, high_halves(bytes));
    }
  }
}

}  // namespace femto::FEMTO_KERNEL
