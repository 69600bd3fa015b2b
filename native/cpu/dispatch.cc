#include "cpu/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(FEMTO_DOTPROD) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace femto {

#if defined(FEMTO_DOTPROD)
namespace dotprod { extern const Kernel kKernel; }
#endif
#if defined(FEMTO_X86)
namespace avx512 { extern const Kernel kKernel; }
namespace avx2 { extern const Kernel kKernel; }
#endif
namespace baseline { extern const Kernel kKernel; }

namespace {

#if defined(FEMTO_DOTPROD)
bool has_dotprod() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return true;  // of Apple's, all have it
#endif
}
#endif

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
#if defined(FEMTO_DOTPROD)
    if (has_dotprod()) list[count++] = &dotprod::kKernel;
#endif
    list[count] = &baseline::kKernel;
  }
};

// `setting` is what the name was found in.
const Kernel* find(const std::string& setting, const char* name) {
  std::string known;
  for (const Kernel* const* k = kernels(); *k; ++k) {
    if (strcmp((*k)->name, name) == 0) return *k;
    known += (known.empty() ? "" : ", ") + std::string((*k)->name);
  }
  throw UnknownKernel(setting + ": expected one of " + known + ", found " + name);
}

std::atomic<const Kernel*>& current() {
  static std::atomic<const Kernel*> chosen = [] {
    const char* asked = std::getenv("FEMTOSEARCH_KERNEL");
    return asked && *asked ? find("FEMTOSEARCH_KERNEL", asked) : *kernels();
  }();
  return chosen;
}

}  // namespace

const Kernel* const* kernels() {
  static const Usable usable;
  return usable.list;
}

const Kernel* kernel() { return current(); }

void use_kernel(const char* name) { current() = find("kernel", name); }

}  // namespace femto
