// The binding of fde.h.
#pragma once
#include <nanobind/nanobind.h>

namespace femto {

void bind_fde(nanobind::module_& m);

}  // namespace femto
