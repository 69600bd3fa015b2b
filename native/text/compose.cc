#include "text/compose.h"

#include <algorithm>
#include <cstddef>

#include "text/normal.h"

namespace femto {
namespace {

constexpr size_t kMuch = 64;  // characters that wait
constexpr int32_t kInOrder = 0;
constexpr uint32_t kL = 0x1100, kV = 0x1161, kT = 0x11a7, kS = 0xac00, kLs = 19, kVs = 21, kTs = 28;

// What two characters become; 0 where they stay two.
uint32_t joined(uint32_t a, uint32_t b) {
  if (a - kL < kLs && b - kV < kVs) return kS + ((a - kL) * kVs + (b - kV)) * kTs;
  if (a - kS < kLs * kVs * kTs && (a - kS) % kTs == 0 && b - kT - 1 < kTs - 1) return a + (b - kT);
  return composed(a, b);
}

}  // namespace

void Composer::feed(uint32_t code, int32_t origin) {
  origins_.push_back(origin);
  const auto add = [&](uint32_t c, int32_t change) {
    waiting_.push_back({c, flags_of(c) & kOrdered ? class_of(c) : kInOrder, change});
  };
  const uint8_t forms = forms_of(code);
  if (!(forms & kCompatible) && !(flags_of(code) & kDecomposes)) return add(code, 0);
  const Characters to = forms & kCompatible ? compatible(code) : decomposed(code);
  for (int i = 0; i < to.count; ++i) add(uint32_t(to.codes[i]), i > 0);
}

bool Composer::is_full(uint32_t next) const {
  return waiting_.size() >= kMuch && !forms_of(next) && !(flags_of(next) & (kOrdered | kDecomposes));
}

const std::vector<Composer::Character>& Composer::take() {
  ready_.clear();
  if (waiting_.empty()) return ready_;
  order();
  join();
  place();
  before_ = origins_.back();
  waiting_.clear();
  origins_.clear();
  return ready_;
}

// Puts marks into canonical order.
void Composer::order() {
  const auto is_letter = [](const Waiting& c) { return c.order == kInOrder; };
  for (auto begin = waiting_.begin(); begin != waiting_.end();) {
    begin = std::find_if_not(begin, waiting_.end(), is_letter);
    const auto end = std::find_if(begin, waiting_.end(), is_letter);
    std::stable_sort(begin, end, [](const Waiting& a, const Waiting& b) { return a.order < b.order; });
    begin = end;
  }
}

// Joins each letter and what follows it and nothing blocks.
void Composer::join() {
  size_t kept = 0;
  ptrdiff_t letter = -1;
  int32_t last = -1;  // the class of the character before; -1 where nothing lies between the letter and it
  for (size_t n = 0; n < waiting_.size(); ++n) {
    const Waiting c = waiting_[n];
    if (letter >= 0 && (last < 0 || last < c.order)) {
      if (const uint32_t both = joined(waiting_[size_t(letter)].code, c.code)) {
        waiting_[size_t(letter)].code = both;
        waiting_[size_t(letter)].change += c.change - 1;
        continue;
      }
    }
    if (c.order == kInOrder)
      letter = ptrdiff_t(kept), last = -1;
    else if (letter >= 0)
      last = c.order;
    waiting_[kept++] = c;
  }
  waiting_.resize(kept);
}

// Each takes the next origin, and skips those of what has joined it; an added one has that of the one before.
void Composer::place() {
  size_t next = 0;
  for (const Waiting& c : waiting_) {
    const bool added = c.change > 0;
    ready_.push_back({c.code, added ? next ? origins_[next - 1] : before_ : origins_[next]});
    if (!added) next += size_t(1 - c.change);
  }
}

}  // namespace femto
