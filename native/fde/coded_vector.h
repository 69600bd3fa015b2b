// A vector as int8 codes, and where what it is multiplied with lies.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/kernel.h"
#include "fde/fde.h"
#include "scan/codes.h"

namespace femto {

constexpr int kFirstSlice = 256;  // numbers

// A vector's codes, without the groups that are zero; and those after the first 128 once more, as rows that lie row by
// row are multiplied with them.
struct Coded {
  std::vector<int32_t> groups, places;
  std::vector<int8_t> planes;
  CodedVector vector;

  // Of the numbers `first` and on, a multiple of 4.
  Coded(const float* numbers, int dims, int bits, int first = 0) {
    vector = {nullptr, nullptr, nullptr, nullptr, 0, bits, 0, scale_of(numbers + first, dims - first), {}};
    for (int g = first / kGroup; vector.scale > 0 && g * kGroup < dims; ++g) {
      int32_t group = 0;
      auto* bytes = reinterpret_cast<int8_t*>(&group);
      for (int d = g * kGroup; d < std::min(dims, (g + 1) * kGroup); ++d) {
        bytes[d % kGroup] = code_of(numbers[d], vector.scale);
        vector.sum += bytes[d % kGroup];
      }
      if (group) groups.push_back(group), places.push_back(g);
    }
    vector.groups = groups.data();
    vector.places = places.data();
    vector.count = int(groups.size());
    if (dims > kHead) add_rest(dims, bits);
  }

 private:
  void add_rest(int dims, int bits) {
    const int per = 8 / bits;
    CodedRest& rest = vector.rest;
    rest.bytes = int64_t(groups_of(dims - kHead, bits)) * kGroup;
    rest.step = (rest.bytes + 63) / 64 * 64;
    planes.resize(size_t(per) * rest.step);
    for (size_t i = 0; i < groups.size(); ++i) {
      const int group = places[i] - kHead / kGroup;
      if (group >= 0) std::memcpy(&planes[group % per * rest.step + group / per * kGroup], &groups[i], kGroup);
    }
    rest.planes = planes.data();
  }
};

// Where a vector's groups lie in some blocks of coded rows.
struct Placed {
  std::vector<int64_t> offsets, strides;
  CodedVector vector;

  Placed(const Coded& coded, const Layout& layout, int64_t block_count) : vector(coded.vector) {
    constexpr int64_t kGroupBytes = kBlockRows * kGroup;
    const int head = std::min(layout.group_count, groups_of(kHead, layout.bits));
    const int together = layout.order == Order::kSplit ? head : layout.group_count;  // groups that lie block by block
    for (const int place : coded.places) {
      const int group = place * layout.bits / 8;
      if (group >= together) break;
      int begin = 0, end = together;
      if (layout.order == Order::kSlices) {
        for (end = kFirstSlice * layout.bits / 32; group >= end; end *= 2) begin = end;
        end = std::min(end, layout.group_count);
      }
      offsets.push_back((begin * block_count + group - begin) * kGroupBytes);
      strides.push_back((end - begin) * kGroupBytes);
    }
    vector.offsets = offsets.data();
    vector.strides = strides.data();
    vector.count = int(offsets.size());
    vector.rest.offset = head * block_count * kGroupBytes;
    vector.rest.stride = int64_t(layout.group_count - head) * kGroup;
    if (layout.order != Order::kSplit) vector.rest.bytes = 0;
  }
};

}  // namespace femto
