// MaxSim over codes of 8 or 4 bits for one instruction set.
//
// The integers are exact and every float operation is written out in its order (this file is compiled without
// contraction into fused multiply-adds), so all instruction sets give the same bits.
#include "cpu/functions.h"
#include "scan/dot.h"
#include "scan/unpack.h"

namespace femto::FEMTO_KERNEL {
namespace {

constexpr size_t kAhead = 8;                      // blocks
constexpr int kTile = kRegisters == 32 ? 24 : 8;  // the most query rows whose sums stay in registers

// What becomes of a block's products: they are kept for the passages that share the block, or, where the whole block
// is one passage's, they only raise its best.
struct Keep {
  static void finish(float* kept, Floats products) { store(kept, products); }
};
struct Raise {
  static void finish(float* best, Floats products) { store(best, max(load(best), products)); }
};

// <query q, row> * scale[row], finished into out[q][row], for query rows q..q+R and kLanes rows of a block.
template <class Finish, int R>
inline void multiply_rows(const CodedQuery& query, int q, const int8_t* block, const float* scales, float* out) {
  Ints totals[R];
#pragma GCC unroll 24
  for (int r = 0; r < R; ++r) totals[r] = (kRaised ? -128 * query.sums[q + r] : 0) + Ints{};
  const int32_t* groups = query.groups + q;
  for (int g = 0; g < query.group_count; ++g, groups += query.padded, block += kBlockRows * kGroup) {
    const Document document = load_document(block);
#pragma GCC unroll 24
    for (int r = 0; r < R; ++r) totals[r] = dot(totals[r], document, groups[r]);
  }
  const Floats scale = load(scales);
#pragma GCC unroll 24
  for (int r = 0; r < R; ++r) {
    Finish::finish(out + size_t(q + r) * kBlockRows, __builtin_convertvector(totals[r], Floats) * scale);
  }
}

// The same for `count` rows, a multiple of 4 up to R.
template <class Finish, int R>
inline void multiply_some(int count, const CodedQuery& query, int q, const int8_t* block, const float* scales,
                          float* out) {
  if (count == R) return multiply_rows<Finish, R>(query, q, block, scales, out);
  if constexpr (R > 4) multiply_some<Finish, R - 4>(count, query, q, block, scales, out);
}

// Rows in the next tile, where `left` are left: as even as can be, for few sums at a time wait for each other.
inline int next_tile(int left) {
  const int tiles = (left + kTile - 1) / kTile;
  return ((left + tiles - 1) / tiles + 3) / 4 * 4;
}

template <class Finish>
void multiply_block(const CodedQuery& query, const int8_t* block, const float* scales, float* out) {
  for (int row = 0; row < kBlockRows; row += kLanes) {
    for (int q = 0; q < query.padded;) {
      const int count = next_tile(query.padded - q);
      multiply_some<Finish, kTile>(count, query, q, block + row * kGroup, scales + row, out + row);
      q += count;
    }
  }
}

// best = max(best, products), over rows begin..end of the block.
void raise(const CodedQuery& query, int begin, int end, BlockProducts& scratch) {
  const Floats none = broadcast(-__builtin_inff());
  for (int q = 0; q < query.count; ++q) {
    const float* products = scratch.products + q * kBlockRows;
    float* best = scratch.best + q * kBlockRows;
    for (int row = 0; row < kBlockRows; row += kLanes) {
      const Floats inside = between(begin - row, end - row, load(products + row), none);
      store(best + row, max(load(best + row), inside));
    }
  }
}

// Asks for a block that is scanned soon: the processor's own look-ahead stops at the end of every page. An address past
// the last block is asked for in vain, and never read.
inline void fetch_ahead(const int8_t* codes, size_t block_bytes) {
  for (size_t line = 0; line < block_bytes; line += 64) {
    __builtin_prefetch(codes + kAhead * block_bytes + line);
  }
}

// scratch.best[q] = the largest products of query row q with rows begin..end, one for each row of a block.
void raise_all(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
               BlockProducts& scratch) {
  const int groups = query.bits == 4 ? (query.group_count + 1) / 2 : query.group_count;
  const size_t block_bytes = size_t(groups) * kBlockRows * kGroup;
  for (int i = 0; i < query.padded * kBlockRows; ++i) scratch.best[i] = -__builtin_inff();
  for (int64_t block = begin / kBlockRows; block * kBlockRows < end; ++block) {
    const int64_t first = block * kBlockRows, last = first + kBlockRows;
    const int8_t* codes = blocks + block * block_bytes;
    const bool whole = begin <= first && last <= end;
    fetch_ahead(codes, block_bytes);
    if (query.bits == 4 && (whole || scratch.block != block)) {
      unpack(codes, groups, scratch.levels);
      codes = scratch.levels;
    }
    if (whole) {
      multiply_block<Raise>(query, codes, scales + first, scratch.best);
      continue;
    }
    if (scratch.block != block) multiply_block<Keep>(query, codes, scales + first, scratch.products);
    scratch.block = block;
    raise(query, begin > first ? int(begin - first) : 0, end < last ? int(end - first) : kBlockRows, scratch);
  }
}

// The largest product of query row q.
float best_of(const CodedQuery& query, int q, const BlockProducts& scratch) {
  const float* rows = scratch.best + q * kBlockRows;
  Floats best = load(rows);
  for (int row = kLanes; row < kBlockRows; row += kLanes) best = max(best, load(rows + row));
  return maximum(best) * query.scales[q];
}

}  // namespace

float maxsim_codes(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                   BlockProducts& scratch) {
  raise_all(query, blocks, scales, begin, end, scratch);
  float score = 0;
  for (int q = 0; q < query.count; ++q) score += best_of(query, q, scratch);
  return score;
}

void maxima_codes(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                  BlockProducts& scratch, float* maxima) {
  raise_all(query, blocks, scales, begin, end, scratch);
  for (int q = 0; q < query.count; ++q) maxima[q] = best_of(query, q, scratch);
}

}  // namespace femto::FEMTO_KERNEL
