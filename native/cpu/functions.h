// The functions that each instruction set has in its own namespace; kernel.h says what they do.
#pragma once
#include "cpu/kernel.h"

namespace femto::FEMTO_KERNEL {

void pack(const Bert& bert, Arena& arena, PackedBert& packed);
size_t scratch(const PackedBert& bert, int rows, int longest);
void encode(const PackedBert& bert, const Group& group, float* memory);
void pack_dense(const Linear& linear, Arena& arena, Panels& packed);
size_t dense_scratch(const Panels& packed, int rows, int in);
void dense(const Panels& packed, const float* from, int rows, int in, float* memory, float* out);

namespace int8 {
void pack(const Bert& bert, Arena& arena, PackedBert& packed);
size_t scratch(const PackedBert& bert, int rows, int longest);
void encode(const PackedBert& bert, const Group& group, float* memory);
void pack_dense(const Linear& linear, Arena& arena, Panels& packed);
size_t dense_scratch(const Panels& packed, int rows, int in);
void dense(const Panels& packed, const float* from, int rows, int in, float* memory, float* out);
}  // namespace int8

void pack_query(const float* query, int count, int dims, Arena& arena, Panels& packed);
float maxsim(const Panels& query, const float* rows, int64_t count, float* best);
float maxsim_codes(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                   BlockProducts& scratch);
void maxima_codes(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                  BlockProducts& scratch, float* maxima);
void distinct(const float* rows, int64_t count, int dims, const Distinct& rule, uint8_t* keep, float* panels);
void pack_muvera(const Muvera& muvera, Arena& arena, Panels* projection, PackedMuvera& packed);
size_t muvera_scratch(const PackedMuvera& muvera, int64_t length);
void muvera(const PackedMuvera& muvera, const float* rows, int64_t length, bool document, float* out, float* scratch);
void inner_products(const CodedVector& vector, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                    float* products);
void rest_products(const CodedVector& vector, const int8_t* blocks, const float* scales, const int64_t* which,
                   int64_t count, float* products);

}  // namespace femto::FEMTO_KERNEL
