// One query over many passages, on many threads; and the int8 codes of rows.
#pragma once
#include <cstddef>
#include <cstdint>

namespace femto {

// scores[n] = MaxSim of the query [count, dims] with rows[starts[n]:starts[n+1]], -inf where there are none.
void maxsim(const float* query, int count, int dims, const float* rows, const int64_t* starts, int64_t passages,
            int threads, float* scores);

// The same over codes, of a finite query; `which` [chosen] names the passages, or is null for all of them.
void maxsim_codes(const float* query, int count, int dims, const int8_t* blocks, const float* scales,
                  const int64_t* starts, const int64_t* which, int64_t chosen, int threads, float* scores);

// Codes of finite rows [count, dims]; blocks and scales come zeroed.
void quantise(const float* rows, int64_t count, int dims, int8_t* blocks, float* scales);

// Whether no number is NaN or infinite: what is coded must be.
bool finite(const float* numbers, int64_t count);

}  // namespace femto
