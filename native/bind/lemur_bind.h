// The binding of lemur.h.
#pragma once
#include <nanobind/nanobind.h>

namespace femto {

void bind_lemur(nanobind::module_& m);

}  // namespace femto
