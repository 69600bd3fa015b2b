// What one instruction set offers. Each kernel file is compiled once per instruction set, in a namespace of its own,
// and is reached only through this table, so no code for one processor can leak into another's.
#pragma once
#include "bert/bert.h"
#include "fde/muvera.h"

namespace femto {

constexpr int kBlockRows = 16;  // rows in a block of codes
constexpr int kGroup = 4;       // dims that lie together in a block of codes
constexpr int kPanelRows = 64;  // rows in a panel that `distinct` compares with

// A query as int8: groups[g * padded + q] holds dims 4g..4g+3 of row q in its four bytes.
struct CodedQuery {
  const int32_t* groups;
  const int32_t* sums;  // [padded] sum of a row's codes
  const float* scales;  // [padded]
  int count, padded;    // padded: a multiple of 4, with zero rows
  int group_count;
  int bits;  // of the rows that it is multiplied with; for those of 4 it is turned
};

// The products of the query with one block of codes: a passage that starts where the last one ended finds them done.
struct BlockProducts {
  float* products;  // [padded, 16]
  float* best;      // [padded, 16]
  int64_t block;    // the block that products holds; -1: none
  int8_t* levels;   // [groups, 16, 4] a block of 4 bits, unpacked; a group more where their count is odd
};

// A text and where its unit rows go. length >= 1.
struct Text {
  const int32_t* ids;   // [length]
  const uint8_t* keep;  // [length], 0 or 1
  float* rows;          // [kept, dims]
  int length, attended, kept;
};

// Texts that go through the layers together: their rows lie end to end.
struct Group {
  const Text* texts;
  int count;
  int rows, kept, longest;  // tokens, tokens to keep, and tokens of the longest text
};

// A row of a text goes if its product with a row before it that is kept is above `most` >= 0. The first and the last
// ones stay, and are compared with none.
struct Distinct {
  float most;
  int first, last;
};

// BERT in one precision.
struct BertKernel {
  // Transposes and pads the weights into the arena; `packed` has layers and dense to fill.
  void (*pack)(const Bert& bert, Arena& arena, PackedBert& packed);
  // Floats of scratch that `encode` needs for a group of so many rows, and the longest text of so many tokens.
  size_t (*scratch)(const PackedBert& bert, int rows, int longest);
  // Writes the unit rows of a group, each as if its text were alone.
  void (*encode)(const PackedBert& bert, const Group& group, float* scratch);
};

// A layer by itself, in one precision.
struct DenseKernel {
  // Transposes and pads the layer into the arena.
  void (*pack)(const Linear& linear, Arena& arena, Panels& packed);
  // Floats of scratch that `apply` needs for so many rows of so many numbers.
  size_t (*scratch)(const Panels& packed, int rows, int in);
  // out[rows, width] = from[rows, in] weight + bias, each row as if it were alone.
  void (*apply)(const Panels& packed, const float* from, int rows, int in, float* scratch, float* out);
};

enum class Precision { kFloat32, kInt8 };

struct Kernel {
  const char* name;
  BertKernel bert[2];    // by Precision
  DenseKernel dense[2];  // likewise

  // Transposes and pads a query [count, dims] into the arena.
  void (*pack_query)(const float* query, int count, int dims, Arena& arena, Panels& packed);
  // Σ_q max_t <query[q], rows[t]>. count >= 1; best: [query.width] scratch.
  float (*maxsim)(const Panels& query, const float* rows, int64_t count, float* best);
  // The same over the coded rows begin..end, begin < end.
  float (*maxsim_codes)(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                        BlockProducts& scratch);
  // maxima[q] = max_t <query[q], rows[t]> over the coded rows begin..end, begin < end.
  void (*maxima_codes)(const CodedQuery& query, const int8_t* blocks, const float* scales, int64_t begin, int64_t end,
                       BlockProducts& scratch, float* maxima);

  // keep[t] = 1 for the rows [count, dims] of a text that the rule keeps. panels: [whole panels of count rows, dims]
  // scratch.
  void (*distinct)(const float* rows, int64_t count, int dims, const Distinct& rule, uint8_t* keep, float* panels);

  // Transposes and pads the matrices into the arena; `projection` has a place for each repetition.
  void (*pack_muvera)(const Muvera& muvera, Arena& arena, Panels* projection, PackedMuvera& packed);
  // Floats of scratch that `muvera` needs for a text of this length.
  size_t (*muvera_scratch)(const PackedMuvera& muvera, int64_t length);
  // Writes the vector of one text's rows [length, dims], length >= 1, before the count-sketch.
  void (*muvera)(const PackedMuvera& muvera, const float* rows, int64_t length, bool document, float* out,
                 float* scratch);
  // products[n] = <vector, row n> for the coded rows of the blocks begin..end.
  void (*inner_products)(const CodedVector& vector, const int8_t* blocks, const float* scales, int64_t begin,
                         int64_t end, float* products);
  // products[n] = <vector's rest, row which[n]>.
  void (*rest_products)(const CodedVector& vector, const int8_t* blocks, const float* scales, const int64_t* which,
                        int64_t count, float* products);
};

}  // namespace femto
