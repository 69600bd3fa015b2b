// The search of a page alone: tokenizer, encoder and MaxSim over codes for WebAssembly, on one thread.
//
// JavaScript (web/search.js of the package) writes into memory that `reserve` gave, and hands pointers to it over. It
// has checked sizes and ids; nothing here does again.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "cpu/functions.h"
#include "scan/coded_query.h"
#include "text/wordpiece.h"

// What the C++ library calls where memory is short; its own would bring all of stdio along.
_LIBCPP_BEGIN_NAMESPACE_STD
void __libcpp_verbose_abort(const char*, ...) noexcept { __builtin_trap(); }
_LIBCPP_END_NAMESPACE_STD

#define FEMTO_EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace femto {
namespace {

namespace kernel = FEMTO_KERNEL;

std::optional<WordPiece> tokenizer;
Pieces pieces;

struct Encoder {
  std::vector<Layer> from;
  std::vector<Linear> from_dense;
  std::vector<PackedLayer> layers;
  std::vector<Panels> dense;
  std::vector<float> table, storage, scratch;
  PackedBert packed;
};
Encoder encoder;

// Texts with a zero byte after each.
std::vector<std::string> texts_of(const char* from, int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) {
    texts.emplace_back(from);
    from += texts.back().size() + 1;
  }
  return texts;
}

// Weights that lie end to end.
struct Weights {
  const float* at;

  const float* take(size_t count) {
    const float* taken = at;
    at += count;
    return taken;
  }

  Linear linear(int in, int out) {
    const float* weight = take(size_t(in) * out);
    return {weight, take(out), out, in};
  }

  Norm norm(int hidden) {
    const float* weight = take(hidden);
    return {weight, take(hidden)};
  }

  Layer layer(int hidden, int inner) {
    Layer layer;
    layer.query = linear(hidden, hidden);
    layer.key = linear(hidden, hidden);
    layer.value = linear(hidden, hidden);
    layer.attention = linear(hidden, hidden);
    layer.attention_norm = norm(hidden);
    layer.up = linear(hidden, inner);
    layer.down = linear(inner, hidden);
    layer.norm = norm(hidden);
    return layer;
  }
};

float* aligned(std::vector<float>& storage) {
  constexpr size_t kLine = 64;
  return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(storage.data()) + kLine - 1) / kLine * kLine);
}

void pack(const Bert& bert) {
  encoder.layers.resize(bert.layer_count);
  encoder.dense.resize(bert.dense_count);
  encoder.packed.layers = encoder.layers.data();
  encoder.packed.dense = encoder.dense.data();
  Arena counter{nullptr, 0};
  kernel::pack(bert, counter, encoder.packed);
  encoder.storage.resize(counter.used + 16);
  Arena arena{aligned(encoder.storage), 0};
  kernel::pack(bert, arena, encoder.packed);
}

}  // namespace

FEMTO_EXPORT(reserve) void* reserve(size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }

FEMTO_EXPORT(release) void release(void* memory) { std::free(memory); }

// tokens: of the ids 0, 1, ...; a token without characters is none. settings: NFKC, clean, Chinese, strip, lower, the
// id of unknown words, their longest, how many tokens are added, and of each added one its id. around: one id before a
// text, one after it.
FEMTO_EXPORT(set_tokenizer)
void set_tokenizer(const char* tokens, int count, const char* prefix, const char* added, const int32_t* settings,
                   const int32_t* around) {
  Vocabulary vocabulary;
  int32_t id = 0;
  for (const std::string& token : texts_of(tokens, count)) vocabulary.add(token, id++);
  std::vector<std::pair<std::string, int32_t>> whole;
  for (const std::string& text : texts_of(added, settings[7])) whole.push_back({text, settings[8 + whole.size()]});
  const int32_t* s = settings;
  const NormalSteps steps{s[0] != 0, s[1] != 0, s[2] != 0, s[3] != 0, s[4] != 0};
  tokenizer.emplace(WordPieceSettings{steps, s[5], prefix, s[6], {around[0]}, {around[1]}}, vocabulary, whole);
}

// Tokens of one text of valid UTF-8, which lie at `tokens_of` until the next call.
FEMTO_EXPORT(tokenise) int tokenise(const char* text, size_t bytes) {
  pieces = {};
  tokenizer->encode({text, bytes}, true, pieces);
  return int(pieces.ids.size());
}

FEMTO_EXPORT(tokens_of) const int32_t* tokens_of(int what) {
  return (what == 0 ? pieces.ids : what == 1 ? pieces.begins : what == 2 ? pieces.ends : pieces.words).data();
}

// sizes: vocab, hidden, layers, heads, inner, positions, code width, how many Dense modules, and the outputs of each.
// weights: as packed_model.py writes them; they may go afterwards.
FEMTO_EXPORT(set_encoder) int set_encoder(const int32_t* sizes, float epsilon, const float* weights) {
  Weights from{weights};
  Bert bert{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], epsilon,
            {},       {},       {},       {},       {},       {},       {},       {}};
  const size_t numbers = size_t(bert.vocab) * (bert.code_width ? bert.code_width : bert.hidden);
  bert.table = from.take(numbers);
  if (bert.code_width) {
    encoder.table.assign(bert.table, bert.table + numbers);
    bert.table = encoder.table.data();
    bert.projection = from.linear(bert.code_width, bert.hidden);
  }
  bert.position = from.take(size_t(bert.positions) * bert.hidden);
  bert.type = from.take(bert.hidden);
  bert.norm = from.norm(bert.hidden);
  for (int i = 0; i < bert.layer_count; ++i) encoder.from.push_back(from.layer(bert.hidden, bert.inner));
  for (int i = 0, in = bert.hidden; i < sizes[7]; in = sizes[8 + i++]) {
    encoder.from_dense.push_back(from.linear(in, sizes[8 + i]));
  }
  bert.layers = encoder.from.data();
  bert.dense = encoder.from_dense.data(), bert.dense_count = sizes[7];
  pack(bert);
  return encoder.packed.dims;
}

// Unit rows of one text, of the tokens to keep.
FEMTO_EXPORT(encode)
void encode(const int32_t* ids, int length, int attended, const uint8_t* keep, float* rows) {
  const Text text{ids, keep, rows, length, attended, int(std::count(keep, keep + length, 1))};
  encoder.scratch.resize(kernel::scratch(encoder.packed, length, length) + 16);
  kernel::encode(encoder.packed, {&text, 1, length, text.kept, length}, aligned(encoder.scratch));
}

// keep[t] = 1 for the rows of a text that pruning keeps.
FEMTO_EXPORT(distinct)
void distinct(const float* rows, int count, int dims, float most, int first, int last, uint8_t* keep) {
  encoder.scratch.resize(size_t(count + kPanelRows) * dims);
  kernel::distinct(rows, count, dims, {most, first, last}, keep, encoder.scratch.data());
}

// Writes rows as codes of 8 or 4 bits in the places of the coded rows from `at` on. The rows may be turned.
FEMTO_EXPORT(quantise)
void quantise(float* rows, int count, int dims, int bits, int at, int8_t* blocks, float* scales) {
  const int groups = groups_of(dims, bits);
  for (int t = at; t < at + count; ++t, rows += dims) {
    int8_t* to = blocks + (size_t(t / kBlockRows) * groups * kBlockRows + t % kBlockRows) * kGroup;
    if (bits == 4) {
      turn(rows, dims);
      scales[t] = place_levels(rows, dims, to);
      continue;
    }
    const float scale = scales[t] = scale_of(rows, dims);
    for (int d = 0; d < dims; ++d) {
      to[size_t(d / kGroup) * kBlockRows * kGroup + d % kGroup] = scale > 0 ? code_of(rows[d], scale) : 0;
    }
  }
}

// scores[n] = MaxSim of the query with the coded rows starts[n]..starts[n + 1], -inf where there are none.
FEMTO_EXPORT(score)
void score(const float* query, int count, int dims, int bits, const int8_t* blocks, const float* scales,
           const int32_t* starts, int passages, float* scores) {
  const CodedRows coded(query, count, dims, bits);
  const size_t products = size_t(coded.query.padded) * kBlockRows;
  std::vector<float> scratch(products * 2 + size_t(coded.query.group_count + 1) * kBlockRows);
  float* memory = scratch.data();
  BlockProducts block{memory, memory + products, -1, reinterpret_cast<int8_t*>(memory + 2 * products)};
  for (int n = 0; n < passages; ++n) {
    const bool none = starts[n] == starts[n + 1];
    scores[n] =
        none ? -__builtin_inff() : kernel::maxsim_codes(coded.query, blocks, scales, starts[n], starts[n + 1], block);
  }
}

}  // namespace femto
