// The binding of wordpiece.h.
#pragma once
#include <nanobind/nanobind.h>

namespace femto {

void bind_text(nanobind::module_& m);

}  // namespace femto
