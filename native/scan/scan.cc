#include "scan/scan.h"

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/parallel.h"
#include "scan/coded_query.h"

namespace femto {
namespace {

constexpr int64_t kPiece = 64;  // passages that a thread takes at a time
constexpr float kEmpty = -std::numeric_limits<float>::infinity();

// Calls score(thread, begin, end) for every piece of neighbours below `count`.
template <class Score>
void share_passages(int threads, int64_t count, Score score) {
  share(threads, (count + kPiece - 1) / kPiece,
        [&](int thread, int64_t piece) { score(thread, piece * kPiece, std::min(count, (piece + 1) * kPiece)); });
}

int passage_threads(int threads, int64_t count) { return thread_count(threads, (count + kPiece - 1) / kPiece); }

}  // namespace

void maxsim(const float* query, int count, int dims, const float* rows, const int64_t* starts, int64_t passages,
            int threads, float* scores) {
  const Kernel* kernel = femto::kernel();
  Panels packed;
  Arena counter{nullptr, 0};
  kernel->pack_query(query, count, dims, counter, packed);
  std::vector<float> storage(counter.used);
  Arena arena{storage.data(), 0};
  kernel->pack_query(query, count, dims, arena, packed);
  threads = passage_threads(threads, passages);
  PerThread best(threads, packed.width);
  share_passages(threads, passages, [&](int thread, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t length = starts[n + 1] - starts[n];
      scores[n] = length == 0 ? kEmpty : kernel->maxsim(packed, rows + starts[n] * dims, length, best.of(thread));
    }
  });
}

void maxsim_codes(const float* query, int count, int dims, const std::vector<CodedPassages>& parts, int threads,
                  float* scores) {
  const Kernel* kernel = femto::kernel();
  std::optional<CodedRows> by_bits[2];  // for parts of 8 bits, and of 4
  const auto coded_for = [&](int bits) -> std::optional<CodedRows>& { return by_bits[bits == 4]; };
  for (const CodedPassages& part : parts) {
    if (auto& coded = coded_for(part.bits); !coded) coded.emplace(query, count, dims, part.bits);
  }
  if (parts.empty()) return;
  const CodedQuery& any = coded_for(parts.front().bits)->query;
  const size_t products = size_t(any.padded) * kBlockRows;
  const size_t levels = size_t(any.group_count + 1) * kBlockRows;  // of four bytes
  struct Piece {
    const CodedPassages* part;
    int64_t begin;
    float* scores;  // of the part
  };
  std::vector<Piece> pieces;
  for (const CodedPassages& part : parts) {
    for (int64_t begin = 0; begin < part.chosen; begin += kPiece) pieces.push_back({&part, begin, scores});
    scores += part.chosen;
  }
  threads = thread_count(threads, int64_t(pieces.size()));
  PerThread scratch(threads, products * 2 + levels);
  share(threads, int64_t(pieces.size()), [&](int thread, int64_t number) {
    const auto& [part, begin, out] = pieces[number];
    float* memory = scratch.of(thread);
    BlockProducts block{memory, memory + products, -1, reinterpret_cast<int8_t*>(memory + 2 * products)};
    const CodedQuery& coded = coded_for(part->bits)->query;
    for (int64_t i = begin; i < std::min(part->chosen, begin + kPiece); ++i) {
      const int64_t n = part->which ? part->which[i] : i, from = part->starts[n], to = part->starts[n + 1];
      out[i] = from == to ? kEmpty : kernel->maxsim_codes(coded, part->blocks, part->scales, from, to, block);
    }
  });
}

void distinct(const float* rows, int dims, const int64_t* starts, int64_t texts, const Distinct& rule, int threads,
              uint8_t* keep) {
  const Kernel* kernel = femto::kernel();
  int64_t longest = 0;
  for (int64_t n = 0; n < texts; ++n) longest = std::max(longest, starts[n + 1] - starts[n]);
  const int64_t whole = (longest + kPanelRows - 1) / kPanelRows * kPanelRows;
  threads = thread_count(threads, texts);
  PerThread panels(threads, size_t(whole) * dims);
  share(threads, texts, [&](int thread, int64_t n) {
    const int64_t begin = starts[n];
    kernel->distinct(rows + begin * dims, starts[n + 1] - begin, dims, rule, keep + begin, panels.of(thread));
  });
}

bool finite(const float* numbers, int64_t count) {
  bool all = true;
  for (int64_t i = 0; i < count; ++i) all &= std::fabs(numbers[i]) <= std::numeric_limits<float>::max();
  return all;
}

void quantise(const float* rows, int64_t count, int dims, int bits, int8_t* blocks, float* scales) {
  const size_t groups = groups_of(dims, bits);
  const int whole = kGroup * 8 / bits;  // numbers of a group
  for (int64_t t = 0; t < count; ++t) {
    const float* row = rows + t * dims;
    int8_t* to = blocks + (t / kBlockRows * groups * kBlockRows + t % kBlockRows) * kGroup;
    const float scale = scales[t] = bits == 8 ? scale_of(row, dims) : step_of(row, dims, bits);
    for (int d = 0; scale > 0 && d < dims; ++d) {
      int8_t& byte = to[size_t(d / whole) * kBlockRows * kGroup + d % kGroup];
      const int shift = d % whole / kGroup * bits;
      byte = bits == 8 ? code_of(row[d], scale) : int8_t(byte | low_code_of(row[d], scale, bits) << shift);
    }
  }
}

void level_rows(const int8_t* values, const float* scales, int64_t count, int dims, float* rows) {
  const int width = groups_of(dims, 4) * kGroup;
  for (int64_t t = 0; t < count; ++t, values += width, rows += dims) {
    for (int d = 0; d < dims; ++d) rows[d] = level_of(values, d) * scales[t];
    turn(rows, dims);
  }
}

void quantise_levels(const float* rows, int64_t count, int dims, int8_t* blocks, float* scales) {
  const size_t groups = groups_of(dims, 4);
  std::vector<float> row(dims);
  for (int64_t t = 0; t < count; ++t) {
    std::copy_n(rows + t * dims, dims, row.data());
    turn(row.data(), dims);
    int8_t* to = blocks + (t / kBlockRows * groups * kBlockRows + t % kBlockRows) * kGroup;
    scales[t] = place_levels(row.data(), dims, to);
  }
}

}  // namespace femto
