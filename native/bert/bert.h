// The encoder's numbers: as Hugging Face stores them (Bert), and as the kernels want them (PackedBert).
// Plain structs of pointers and sizes; whoever fills them owns the memory.
#pragma once
#include <cstddef>
#include <cstdint>

namespace femto {

struct Linear {         // y = weight x + bias; bias may be null
  const float* weight;  // [out, in]
  const float* bias;    // [out]
  int out, in;
};

struct Norm {
  const float* weight;  // [hidden]
  const float* bias;    // [hidden]
};

struct Layer {
  Linear query, key, value, attention;
  Norm attention_norm;
  Linear up, down;
  Norm norm;
};

struct Bert {
  int vocab, hidden, layer_count, heads, inner, positions;
  int code_width;  // numbers per token before the projection; 0: the table holds hidden numbers
  float epsilon;
  const float* table;     // [vocab, code_width or hidden]
  Linear projection;      // code_width -> hidden, where code_width is not 0
  const float* position;  // [positions, hidden]
  const float* type;      // [hidden], the row of type 0
  Norm norm;
  const Layer* layers;
  const Linear* dense;
  int dense_count;
};

// A Linear transposed, cut into blocks, and each block into panels of a few vectors of columns. Blocks follow each
// other as they are used, all of the depth for the first columns, then for the next; a panel is a [block's depth,
// panel's width] matrix. Columns out..width are zero. As int8 (see int8_gemm.h) weight holds words of codes, depth
// counts words, and there are no blocks.
struct Panels {
  const float* weight;
  const float* bias;  // [width]
  int depth, out, width;
  int depth_block, width_block;
  const int32_t* start;  // [width], as int8: what a column's sum begins with
  const float* scale;    // [width], as int8: of a column's codes
  const float* total;    // [width], as int8: the sum of a column's weights
};

struct PackedLayer {
  Panels qkv, attention;  // query, key and value side by side
  Norm attention_norm;
  Panels up, down;
  Norm norm;
};

struct PackedBert {
  int vocab, positions, hidden, layer_count, heads, code_width;
  int stride;  // floats from one row of a hidden state to the next
  float epsilon;
  const float* table;  // [vocab, table_stride]; before a projection as int8: words of codes
  size_t table_stride;
  const float* table_scale;  // [vocab], as int8
  const float* projection;   // [code_width, stride]
  Panels coded_projection;   // as int8
  const float* position;     // [positions, stride], with type 0 and the projection's bias added
  Norm norm;
  PackedLayer* layers;  // [layer_count]
  Panels* dense;        // [dense_count]
  int dense_count, dims;
};

// Hands out aligned pieces of one block of floats. Without a block it only counts, and every piece is null.
struct Arena {
  float* base;
  size_t used;

  float* take(size_t floats) {
    float* piece = base ? base + used : nullptr;
    used += (floats + 15) / 16 * 16;
    return piece;
  }
};

}  // namespace femto
