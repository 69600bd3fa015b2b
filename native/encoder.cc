#include "encoder.h"

#include <numeric>

#include "parallel.h"

namespace femto {
namespace {

// Where each text's rows start in the output.
std::vector<int64_t> row_starts(const Texts& texts) {
  std::vector<int64_t> starts(texts.count + 1);
  for (int64_t n = 0; n < texts.count; ++n) {
    const uint8_t* keep = texts.keep;
    starts[n + 1] = starts[n] + std::accumulate(keep + texts.starts[n], keep + texts.starts[n + 1], int64_t(0));
  }
  return starts;
}

// Longest first, so that no thread is left alone with a long text at the end.
std::vector<int64_t> by_length(const Texts& texts) {
  std::vector<int64_t> order(texts.count);
  std::iota(order.begin(), order.end(), 0);
  const auto length = [&](int64_t n) { return texts.starts[n + 1] - texts.starts[n]; };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });
  return order;
}

}  // namespace

Encoder::Encoder(const Bert& bert)
    : kernel_(femto::kernel()), layers_(bert.layer_count), dense_(bert.dense_count), packed_() {
  packed_.layers = layers_.data();
  packed_.dense = dense_.data();
  Arena counter{nullptr, 0};
  kernel_->pack(bert, counter, packed_);
  storage_.resize(counter.used + kLine);
  Arena arena{aligned(storage_.data()), 0};
  kernel_->pack(bert, arena, packed_);
}

void Encoder::encode(const Texts& texts, int threads, float* rows) const {
  if (texts.count == 0) return;
  const auto row_start = row_starts(texts);
  const auto order = by_length(texts);
  const int longest = int(texts.starts[order[0] + 1] - texts.starts[order[0]]);
  threads = thread_count(threads, texts.count);
  PerThread scratch(threads, kernel_->scratch(packed_, longest));
  share(threads, texts.count, [&](int thread, int64_t i) {
    const int64_t n = order[i], start = texts.starts[n];
    const int length = int(texts.starts[n + 1] - start);
    if (length == 0) return;
    kernel_->encode(packed_, texts.ids + start, length, texts.attended[n], texts.keep + start,
                    rows + row_start[n] * packed_.dims, scratch.of(thread));
  });
}

}  // namespace femto
