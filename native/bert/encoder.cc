#include "bert/encoder.h"

#include "cpu/dispatch.h"
#include "cpu/parallel.h"

namespace femto {
namespace {

constexpr int64_t kGroupRows = 192;  // enough for wide layers' weights to be read seldom; whole tiles of any shape

// Longest first, so that no thread is left alone with a long text at the end; empty ones left out.
std::vector<Text> longest_first(const Texts& texts, int dims, float* rows) {
  std::vector<Text> list;
  for (int64_t n = 0; n < texts.count; ++n) {
    const int64_t start = texts.starts[n], end = texts.starts[n + 1];
    const uint8_t *keep = texts.keep + start, *keep_end = texts.keep + end;
    const int kept = int(end - start - std::count(keep, keep_end, 0));
    if (start < end) list.push_back({texts.ids + start, keep, rows, int(end - start), texts.attended[n], kept});
    rows += int64_t(kept) * dims;
  }
  std::stable_sort(list.begin(), list.end(), [](const Text& a, const Text& b) { return a.length > b.length; });
  return list;
}

// Neighbours in groups that reach kGroupRows, or a little more, so that there are as many for every thread; or, where
// that is less, each thread's share.
std::vector<Group> grouped(const std::vector<Text>& texts, int threads) {
  int64_t total = 0;
  for (const Text& text : texts) total += text.length;
  const int64_t count = threads * std::max<int64_t>(1, total / (threads * kGroupRows));
  std::vector<Group> groups;
  Group group{texts.data(), 0, 0, 0, 0};
  for (const Text& text : texts) {
    ++group.count;
    group.rows += text.length;
    group.kept += text.kept;
    group.longest = std::max(group.longest, text.length);
    if (group.rows * count < total && &text != &texts.back()) continue;
    groups.push_back(group);
    group = {&text + 1, 0, 0, 0, 0};
  }
  return groups;
}

}  // namespace

Encoder::Encoder(const Bert& bert, Precision precision)
    : kernel_(femto::kernel()),
      bert_(&kernel_->bert[int(precision)]),
      layers_(bert.layer_count),
      dense_(bert.dense_count),
      packed_() {
  packed_.layers = layers_.data();
  packed_.dense = dense_.data();
  Arena counter{nullptr, 0};
  bert_->pack(bert, counter, packed_);
  storage_.resize(counter.used + kLine);
  Arena arena{aligned(storage_.data()), 0};
  bert_->pack(bert, arena, packed_);
}

void Encoder::encode(const Texts& texts, int threads, float* rows) const {
  const std::vector<Text> list = longest_first(texts, packed_.dims, rows);
  if (list.empty()) return;
  threads = thread_count(threads, int64_t(list.size()));
  const std::vector<Group> groups = grouped(list, threads);
  int most = 0;
  for (const Group& group : groups) most = std::max(most, group.rows);
  PerThread scratch(threads, bert_->scratch(packed_, most, groups[0].longest));
  share(threads, int64_t(groups.size()),
        [&](int thread, int64_t g) { bert_->encode(packed_, groups[g], scratch.of(thread)); });
}

}  // namespace femto
