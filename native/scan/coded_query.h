// A query's rows as int8 codes, in the order in which the kernels read them.
#pragma once
#include <vector>

#include "cpu/kernel.h"
#include "scan/codes.h"
#include "scan/levels.h"

namespace femto {

struct CodedRows {
  std::vector<int32_t> groups, sums;
  std::vector<float> scales;
  CodedQuery query;  // points into the vectors, which a move leaves where they are

  CodedRows(const CodedRows&) = delete;
  CodedRows(CodedRows&&) = default;

  // bits: of the rows that they are multiplied with.
  CodedRows(const float* rows, int count, int dims, int bits = 8) {
    query.bits = bits;
    query.count = count;
    query.padded = (count + 3) / 4 * 4;
    query.group_count = (dims + kGroup - 1) / kGroup;
    groups.resize(size_t(query.group_count) * query.padded);
    sums.resize(query.padded);
    scales.resize(query.padded);
    auto* bytes = reinterpret_cast<int8_t*>(groups.data());
    std::vector<float> row(dims);
    for (int q = 0; q < count; ++q) {
      std::copy_n(rows + size_t(q) * dims, dims, row.data());
      if (bits == 4) turn(row.data(), dims);
      scales[q] = scale_of(row.data(), dims);
      for (int d = 0; scales[q] > 0 && d < dims; ++d) {
        const int8_t code = code_of(row[d], scales[q]);
        bytes[(size_t(d / kGroup) * query.padded + q) * kGroup + d % kGroup] = code;
        sums[q] += code;
      }
    }
    query.groups = groups.data();
    query.sums = sums.data();
    query.scales = scales.data();
  }
};

}  // namespace femto
