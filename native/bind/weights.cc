// Hugging Face's names for BERT's weights.
#include "bind/check.h"

namespace femto {
namespace {

struct Source {
  const nb::dict& arrays;
  Weights& weights;

  bool has(const std::string& name) const { return arrays.contains(name.c_str()); }

  const float* get(const std::string& name, const std::vector<int64_t>& shape) {
    if (!has(name)) throw ShapeError("weight " + name + " is missing");
    return take(nb::borrow(arrays[name.c_str()]), "weight " + name, shape);
  }

  const float* take(nb::handle array, const std::string& name, const std::vector<int64_t>& shape) {
    weights.arrays.push_back(borrow<float>(array, name, shape));
    return weights.arrays.back().data();
  }

  Linear linear(const std::string& name, int in, int out, bool bias = true) {
    const float* weight = get(name + ".weight", {out, in});
    return {weight, bias ? get(name + ".bias", {out}) : nullptr, out, in};
  }

  Norm norm(const std::string& name) {
    const float* weight = get(name + ".weight", {weights.bert.hidden});
    return {weight, get(name + ".bias", {weights.bert.hidden})};
  }

  Layer layer(const std::string& name) {
    const int hidden = weights.bert.hidden, inner = weights.bert.inner;
    Layer layer;
    layer.query = linear(name + ".attention.self.query", hidden, hidden);
    layer.key = linear(name + ".attention.self.key", hidden, hidden);
    layer.value = linear(name + ".attention.self.value", hidden, hidden);
    layer.attention = linear(name + ".attention.output.dense", hidden, hidden);
    layer.attention_norm = norm(name + ".attention.output.LayerNorm");
    layer.up = linear(name + ".intermediate.dense", hidden, inner);
    layer.down = linear(name + ".output.dense", inner, hidden);
    layer.norm = norm(name + ".output.LayerNorm");
    return layer;
  }

  void embeddings(int types) {
    Bert& bert = weights.bert;
    const std::string words = "embeddings.word_embeddings";
    if (bert.code_width) {
      bert.table = get(words + ".embeddings.weight", {bert.vocab, bert.code_width});
      bert.projection = linear(words + ".projections", bert.code_width, bert.hidden, has(words + ".projections.bias"));
    } else {
      bert.table = get(words + ".weight", {bert.vocab, bert.hidden});
    }
    bert.position = get("embeddings.position_embeddings.weight", {bert.positions, bert.hidden});
    bert.type = get("embeddings.token_type_embeddings.weight", {types, bert.hidden});
    bert.norm = norm("embeddings.LayerNorm");
  }

  void dense(const nb::list& modules) {
    int in = weights.bert.hidden;
    for (nb::handle module : modules) {
      const std::string name = "dense module " + std::to_string(weights.dense.size());
      if (!nb::isinstance<nb::tuple>(module) || nb::len(module) != 2) fail(name, "(weight, bias or None)", "another");
      const nb::object weight = module[0], bias = module[1];
      const float* w = take(weight, name + " weight", {kAny, in});
      const int64_t out = weights.arrays.back().shape(0);
      require(out >= 1 && out <= kMost, name + " outputs", "1 to 65536", out);
      weights.dense.push_back({w, bias.is_none() ? nullptr : take(bias, name + " bias", {out}), int(out), in});
      in = int(out);
    }
  }
};

void check_sizes(const Bert& b, int types) {
  const auto within = [](const char* name, int value, int least, int most) {
    require(value >= least && value <= most, name, std::to_string(least) + " to " + std::to_string(most), value);
  };
  within("vocab_size", b.vocab, 1, 1 << 30);
  within("hidden_size", b.hidden, 1, kMost);
  within("layers", b.layer_count, 0, 1024);
  within("heads", b.heads, 1, b.hidden);
  within("intermediate_size", b.inner, 1, 1 << 20);
  within("positions", b.positions, 1, 1 << 20);
  within("types", types, 1, 1 << 16);
  within("code_width", b.code_width, 0, kMost);
  require(b.hidden % b.heads == 0, "hidden_size", "a multiple of " + std::to_string(b.heads) + " heads", b.hidden);
}

}  // namespace

void borrow_weights(const nb::dict& source, const nb::list& dense, int types, Weights& weights) {
  Bert& bert = weights.bert;
  check_sizes(bert, types);
  Source from{source, weights};
  from.embeddings(types);
  for (int i = 0; i < bert.layer_count; ++i) {
    weights.layers.push_back(from.layer("encoder.layer." + std::to_string(i)));
  }
  from.dense(dense);
  bert.layers = weights.layers.data();
  bert.dense = weights.dense.data();
  bert.dense_count = int(weights.dense.size());
}

}  // namespace femto
