// Multiply-adds a second of one core: chains in registers, more than any processor needs to keep its units busy.
#include <cstdio>
#include <ctime>

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Floats __attribute__((vector_size(kLanes * 4)));

#if defined(__aarch64__)
#define KEPT "+w"
#else
#define KEPT "+v"
#endif

constexpr int kChains = 12;
constexpr long kRounds = 20000000;

static double seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

int main() {
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    Floats sums[kChains] = {}, half = Floats{} + 0.5f;
    const double start = seconds();
    for (long i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) sums[c] = sums[c] * half + half;
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) asm volatile("" : KEPT(sums[c]));
    }
    const double rate = double(kRounds) * kChains * kLanes / (seconds() - start);
    if (rate > best) best = rate;
  }
  std::printf("%.6e\n", best);
}
