// Vectors of the widest registers that this compilation may use, in the compiler's own vector types.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace femto::FEMTO_KERNEL {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kLanes = 4, kRegisters = 32;
#else
constexpr int kLanes = 4, kRegisters = 16;
#endif

template <int N>
struct Vector {
  typedef float Floats __attribute__((vector_size(N * 4)));
  typedef int32_t Ints __attribute__((vector_size(N * 4)));
  typedef uint32_t Words __attribute__((vector_size(N * 4)));
};
using Floats = Vector<kLanes>::Floats;
using Ints = Vector<kLanes>::Ints;
using Words = Vector<kLanes>::Words;  // of bits: their sums may wrap

constexpr int vectors(int floats) { return (floats + kLanes - 1) / kLanes; }
constexpr int padded(int floats) { return vectors(floats) * kLanes; }

inline Floats load(const float* p) {
  Floats v;
  memcpy(&v, p, sizeof v);
  return v;
}

inline void store(float* p, Floats v) { memcpy(p, &v, sizeof v); }

inline Floats broadcast(float x) { return x - Floats{}; }

inline Floats max(Floats a, Floats b) { return a > b ? a : b; }
inline Floats min(Floats a, Floats b) { return a < b ? a : b; }

inline Words bits(Floats v) {
  Words i;
  memcpy(&i, &v, sizeof i);
  return i;
}

inline Floats from_bits(Words i) {
  Floats v;
  memcpy(&v, &i, sizeof v);
  return v;
}

inline Ints lane_numbers() {
  Ints v{};
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// v in lanes begin..end, `other` elsewhere.
inline Floats between(int begin, int end, Floats v, Floats other) {
  const Ints lane = lane_numbers();
  return ((lane >= begin) & (lane < end)) ? v : other;
}

// Folds a vector by halves, so that the order of the operations is fixed.
template <int N, class Op>
inline float reduce(typename Vector<N>::Floats v, Op op) {
  if constexpr (N == 2) {
    return op(v[0], v[1]);
  } else {
    typename Vector<N / 2>::Floats half[2];
    memcpy(half, &v, sizeof v);
    return reduce<N / 2>(op(half[0], half[1]), op);
  }
}

inline float sum(Floats v) {
  return reduce<kLanes>(v, [](auto a, auto b) { return a + b; });
}

inline float maximum(Floats v) {
  return reduce<kLanes>(v, [](auto a, auto b) { return a > b ? a : b; });
}

}  // namespace femto::FEMTO_KERNEL
