// BERT's normaliser and pre-tokenizer, one character at a time: what becomes of it, and where words end.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace femto {

// What the normaliser does, as BertNormalizer's settings say.
struct NormalSteps {
  bool nfkc;     // first: typeset forms become what they stand for, marks join letters (compose.h)
  bool clean;    // drop control characters
  bool chinese;  // put spaces round Chinese characters
  bool strip;    // decompose, and drop accents
  bool lower;    // make letters small
};

constexpr uint8_t kSpace = 1, kDropped = 2, kPunctuation = 4, kChinese = 8, kMark = 16, kOrdered = 32, kDecomposes = 64,
                  kLowers = 128;
constexpr uint32_t kCodes = 0x110000;  // of Unicode

uint8_t flags_of(uint32_t code);
// What a character becomes.
struct Characters {
  const int32_t* codes;
  int count;
};
Characters decomposed(uint32_t code);  // of one that has kDecomposes
Characters lowered(uint32_t code);     // of one that has kLowers
int class_of(uint32_t code);           // of combination, of one that has kOrdered

// What NFKC asks of a character: whether it stands for others, and whether it may join one before it.
constexpr uint8_t kCompatible = 1, kJoins = 2;
uint8_t forms_of(uint32_t code);
Characters compatible(uint32_t code);       // of one that has kCompatible
uint32_t composed(uint32_t a, uint32_t b);  // 0 where they are no letter together; not of Hangul

// Calls sink.add(character) for each character of words, sink.end() where a word ends, as often as one may.
template <class Sink>
class Normaliser {
 public:
  Normaliser(NormalSteps steps, Sink& sink) : steps_(steps), sink_(sink) {}

  void feed(uint32_t code, int32_t origin) {
    const uint8_t flags = flags_of(code);
    if (steps_.clean && flags & kDropped) return;
    const bool apart = steps_.chinese && flags & kChinese;
    if (apart) end();
    strip(code, flags, origin);
    if (apart) end();
  }

  // Where a run of characters ends, and with it a word.
  void end() {
    flush();
    sink_.end();
  }

  // Ends a run of characters that follow their letter, which go into canonical order.
  void flush() {
    if (run_.empty()) return;
    order();
    for (const Following& c : run_) {
      if (!(flags_of(c.code) & kMark)) lower(c.code, c.origin);
    }
    run_.clear();
  }

 private:
  // A character of a run. added: a decomposition's, but for the first.
  struct Following {
    uint32_t code;
    int32_t origin, order;
    bool added;
  };

  void strip(uint32_t code, uint8_t flags, int32_t origin) {
    if (!steps_.strip) return lower(code, origin);
    if (code >= kHangul && code < kHangulEnd) return split_hangul(code - kHangul, origin);
    if (!(flags & kDecomposes)) return place(code, flags, origin, false);
    const Characters to = decomposed(code);
    for (int i = 0; i < to.count; ++i) place(to.codes[i], flags_of(to.codes[i]), origin, i > 0);
  }

  void place(uint32_t code, uint8_t flags, int32_t origin, bool added) {
    if (flags & kOrdered) return run_.push_back({code, origin, class_of(code), added});
    flush();
    letter_ = origin;
    if (!(flags & kMark)) lower(code, origin);
  }

  void split_hangul(uint32_t index, int32_t origin) {
    flush();
    letter_ = origin;
    lower(0x1100 + index / 588, origin);
    lower(0x1161 + index % 588 / 28, origin);
    if (index % 28) lower(0x11a7 + index % 28, origin);
  }

  // As in the library origins keep their places, and an added character has that of the one before it.
  void order() {
    std::vector<int32_t> origins;
    for (const Following& c : run_) {
      if (!c.added) origins.push_back(c.origin);
    }
    std::stable_sort(run_.begin(), run_.end(),
                     [](const Following& a, const Following& b) { return a.order < b.order; });
    auto next = origins.begin();
    int32_t before = letter_;
    for (Following& c : run_) c.origin = before = c.added ? before : *next++;
  }

  void lower(uint32_t code, int32_t origin) {
    if (!steps_.lower || !(flags_of(code) & kLowers)) return emit(code, origin);
    const Characters to = lowered(code);
    for (int i = 0; i < to.count; ++i) emit(to.codes[i], origin);
  }

  void emit(uint32_t code, int32_t origin) {
    const uint8_t flags = flags_of(code);
    if (flags & kSpace) return sink_.end();
    if (flags & kPunctuation) sink_.end();
    sink_.add(code, origin);
    if (flags & kPunctuation) sink_.end();
  }

  static constexpr uint32_t kHangul = 0xac00, kHangulEnd = 0xd7a4;
  NormalSteps steps_;
  Sink& sink_;
  std::vector<Following> run_;
  int32_t letter_ = 0;  // what the run follows
};

}  // namespace femto
