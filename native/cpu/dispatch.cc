#include "cpu/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(FEMTO_X86)
#include <cpuid.h>
#endif
#if defined(FEMTO_DOTPROD) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(FEMTO_DOTPROD) && defined(_WIN32)
#include <windows.h>
#endif

namespace femto {

#if defined(FEMTO_DOTPROD)
namespace dotprod {
extern const Kernel kKernel;
}
#endif
#if defined(FEMTO_X86)
namespace avx512 {
extern const Kernel kKernel;
}
namespace avx2 {
extern const Kernel kKernel;
}
#endif
namespace baseline {
extern const Kernel kKernel;
}

namespace {

#if defined(FEMTO_DOTPROD)
bool has_dotprod() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(_WIN32)
  return IsProcessorFeaturePresent(43);  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, which older headers do not name
#else
  return true;  // of Apple's, all have it
#endif
}
#endif

#if defined(FEMTO_X86)
// What the processor says of itself, and which registers the system keeps when it changes threads. GCC's and Clang's
// own __builtin_cpu_supports needs a library that a build for MSVC's has not got.
struct Features {
  bool avx2 = false, avx512 = false;

  Features() {
    constexpr unsigned kFma = 1u << 12, kSavesRegisters = 1u << 27;  // leaf 1, ecx
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & (kFma | kSavesRegisters)) != (kFma | kSavesRegisters)) return;
    unsigned saved, high;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return;
    constexpr unsigned kAvx2 = 1u << 5;                                                        // leaf 7, ebx
    constexpr unsigned kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, kVnni = 1u << 11;  // F, DQ, BW, VL; in ecx
    constexpr unsigned kYmm = 0x06, kZmm = 0xe6;
    avx2 = (saved & kYmm) == kYmm && (ebx & kAvx2);
    avx512 = avx2 && (saved & kZmm) == kZmm && (ebx & kAvx512) == kAvx512 && (ecx & kVnni);
  }
};
#endif

struct Usable {
  const Kernel* list[4] = {};

  Usable() {
    int count = 0;
#if defined(FEMTO_X86)
    const Features processor;
    if (processor.avx512) list[count++] = &avx512::kKernel;
    if (processor.avx2) list[count++] = &avx2::kKernel;
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
