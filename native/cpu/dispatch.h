// Which instruction sets this processor has, and which one is in use.
#pragma once
#include <stdexcept>

#include "cpu/kernel.h"

namespace femto {

// Says what was asked for, and what there is.
struct UnknownKernel : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The instruction sets that this processor has, best first, ended by null.
const Kernel* const* kernels();

// The one in use: FEMTOSEARCH_KERNEL's, or the best. Throws UnknownKernel if this processor has none of that name.
const Kernel* kernel();

// Sets the one in use. Throws UnknownKernel if this processor has none of that name.
void use_kernel(const char* name);

}  // namespace femto
