// What both precisions do with the rows of a group of texts.
#pragma once
#include "cpu/kernel.h"
#include "cpu/vec.h"

namespace femto::FEMTO_KERNEL {

// Moves the rows to keep to the front.
inline void keep_rows(const Group& group, float* rows, size_t stride, int width) {
  float *from = rows, *to = rows;
  for (const Text* text = group.texts; text < group.texts + group.count; ++text) {
    for (int t = 0; t < text->length; ++t, from += stride) {
      if (!text->keep[t]) continue;
      if (to != from) memcpy(to, from, width * sizeof(float));
      to += stride;
    }
  }
}

}  // namespace femto::FEMTO_KERNEL
