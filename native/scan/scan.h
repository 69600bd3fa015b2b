// One query over many passages, on many threads; and the int8 codes of rows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/kernel.h"

namespace femto {

// scores[n] = MaxSim of the query [count, dims] with rows[starts[n]:starts[n+1]], -inf where there are none.
void maxsim(const float* query, int count, int dims, const float* rows, const int64_t* starts, int64_t passages,
            int threads, float* scores);

// Coded rows of some passages; `which` [chosen] names those to score, or is null for all of them.
struct CodedPassages {
  int bits;  // 8 or 4
  const int8_t* blocks;
  const float* scales;
  const int64_t* starts;
  const int64_t* which;
  int64_t chosen;
};

// The same over codes, of a finite query, for all parts end to end.
void maxsim_codes(const float* query, int count, int dims, const std::vector<CodedPassages>& parts, int threads,
                  float* scores);

// keep[t] = 1 for the rows of each text that the rule keeps.
void distinct(const float* rows, int dims, const int64_t* starts, int64_t texts, const Distinct& rule, int threads,
              uint8_t* keep);

// Codes of finite rows [count, dims], 8, 4 or 2 bits a number; blocks and scales come zeroed.
void quantise(const float* rows, int64_t count, int dims, int bits, int8_t* blocks, float* scales);

// The same in levels of 4 bits, turned.
void quantise_levels(const float* rows, int64_t count, int dims, int8_t* blocks, float* scales);

// The rows [count, dims] that levels stand for, of their bytes row by row, `groups_of(dims, 4)` groups each.
void level_rows(const int8_t* values, const float* scales, int64_t count, int dims, float* rows);

// Whether no number is NaN or infinite: what is coded must be.
bool finite(const float* numbers, int64_t count);

}  // namespace femto
