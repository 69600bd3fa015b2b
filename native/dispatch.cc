// Which instruction set this processor can run, and which one is in use.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernel.h"

namespace femto {

#if defined(FEMTO_X86)
namespace avx512 { extern const Kernel kKernel; }
namespace avx2 { extern const Kernel kKernel; }
#endif
namespace baseline { extern const Kernel kKernel; }

namespace {

struct Usable {
  const Kernel* list[4] = {};

  Usable() {
    int count = 0;
#if defined(FEMTO_X86)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vnni");
    if (avx2 && avx512) list[count++] = &avx512::kKernel;
    if (avx2) list[count++] = &avx2::kKernel;
#endif
    list[count] = &baseline::kKernel;
  }
};

const Kernel* find(const char* name) {
  for (const Kernel* const* k = kernels(); name && *k; ++k) {
    if (strcmp((*k)->name, name) == 0) return *k;
  }
  return nullptr;
}

std::atomic<const Kernel*>& current() {
  static std::atomic<const Kernel*> chosen = [] {
    const Kernel* asked = find(std::getenv("FEMTOSEARCH_KERNEL"));
    return asked ? asked : *kernels();
  }();
  return chosen;
}

}  // namespace

const Kernel* const* kernels() {
  static const Usable usable;
  return usable.list;
}

const Kernel* kernel() { return current(); }

bool use_kernel(const char* name) {
  const Kernel* found = find(name);
  if (found) current() = found;
  return found != nullptr;
}

}  // namespace femto
