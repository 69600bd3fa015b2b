// Prints a digest of the rows of small models in int8, by every instruction set of the processor. The digests are the
// same on all: `make arm` compares them between this machine and aarch64 under qemu.
#include <cstdio>
#include <cstring>
#include <deque>

#include "bert/encoder.h"
#include "cpu/dispatch.h"

namespace femto {
namespace {

// A model of random weights, and what keeps them.
struct RandomBert {
  Bert bert{};
  std::vector<Layer> layers;
  Linear dense;
  std::deque<std::vector<float>> arrays;
  uint64_t state = 1;

  RandomBert(int hidden, int heads, int inner, int code_width) {
    bert.vocab = 100, bert.positions = 300, bert.hidden = hidden, bert.heads = heads, bert.inner = inner;
    bert.code_width = code_width, bert.epsilon = 1e-12f, bert.layer_count = 2, bert.dense_count = 1;
    bert.table = array(size_t(bert.vocab) * (code_width ? code_width : hidden), 1);
    if (code_width) bert.projection = linear(code_width, hidden);
    bert.position = array(size_t(bert.positions) * hidden, 0.25f);
    bert.type = array(hidden, 0.25f);
    bert.norm = norm(hidden);
    for (int i = 0; i < bert.layer_count; ++i) layers.push_back(layer(hidden, inner));
    dense = linear(hidden, 20);
    bert.layers = layers.data(), bert.dense = &dense;
  }

  const float* array(size_t size, float spread, float centre = 0) {
    std::vector<float>& numbers = arrays.emplace_back(size);
    for (float& number : numbers) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      number = float(int32_t(state >> 32)) / 2147483648.0f * spread;
      number += centre;
    }
    return numbers.data();
  }

  Linear linear(int in, int out) {
    const float* weight = array(size_t(in) * out, 0.25f);
    return {weight, array(out, 0.125f), out, in};
  }

  Norm norm(int size) {
    const float* weight = array(size, 0.125f, 1);
    return {weight, array(size, 0.125f)};
  }

  Layer layer(int hidden, int inner) {
    Layer made;
    for (Linear* each : {&made.query, &made.key, &made.value, &made.attention}) *each = linear(hidden, hidden);
    made.attention_norm = norm(hidden);
    made.up = linear(hidden, inner);
    made.down = linear(inner, hidden);
    made.norm = norm(hidden);
    return made;
  }
};

uint64_t digest(const std::vector<float>& rows) {
  uint64_t hash = 14695981039346656037u;
  for (float number : rows) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
  }
  return hash;
}

void print(const RandomBert& model) {
  std::vector<int32_t> ids, attended;
  std::vector<int64_t> starts{0};
  for (int length : {1, 5, 100, 37}) {
    for (int i = 0; i < length; ++i) ids.push_back((i * 37 + length) % model.bert.vocab);
    starts.push_back(int64_t(ids.size())), attended.push_back(length);
  }
  const std::vector<uint8_t> keep(ids.size(), 1);
  const Encoder encoder(model.bert, Precision::kInt8);
  std::vector<float> rows(ids.size() * size_t(encoder.dims()));
  encoder.encode({ids.data(), starts.data(), attended.data(), keep.data(), 4}, 1, rows.data());
  std::printf("hidden %d: %016llx\n", model.bert.hidden, static_cast<unsigned long long>(digest(rows)));
}

}  // namespace
}  // namespace femto

int main() {
  for (const femto::Kernel* const* kernel = femto::kernels(); *kernel; ++kernel) {
    std::fprintf(stderr, "%s\n", (*kernel)->name);
    femto::use_kernel((*kernel)->name);
    femto::print({50, 2, 200, 5});
    femto::print({128, 4, 512, 64});
    femto::print({33, 3, 41, 3});
    femto::print({96, 2, 130, 0});
  }
}
