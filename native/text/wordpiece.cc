#include "text/wordpiece.h"

#include <algorithm>
#include <cstring>

#include "text/compose.h"

namespace femto {
namespace {

// What becomes of an ASCII character: a byte to keep, one that is a word of its own (with this bit), or these two,
// which are no punctuation.
constexpr uint8_t kStandsAlone = 0x80, kGone = kStandsAlone, kEndsWord = kStandsAlone | ' ';

constexpr uint32_t kWordStart = 2166136261u, kWordGoesOn = 709607u;

uint32_t hashed(uint32_t hash, char byte) { return (hash ^ uint8_t(byte)) * 16777619u; }

uint32_t mixed(uint32_t hash) {
  hash = (hash ^ hash >> 16) * 0x7feb352du;
  return hash ^ hash >> 15;
}

bool begins_character(char byte) { return (byte & 0xc0) != 0x80; }

// The character at p, which moves beyond it.
uint32_t next_code(const char*& p) {
  const auto byte = [&] { return uint32_t(uint8_t(*p++)); };
  const uint32_t a = byte();
  if (a < 0x80) return a;
  const uint32_t b = byte() & 0x3f;
  if (a < 0xe0) return (a & 0x1f) << 6 | b;
  const uint32_t c = byte() & 0x3f;
  if (a < 0xf0) return (a & 0x0f) << 12 | b << 6 | c;
  return (a & 0x07) << 18 | b << 12 | c << 6 | (byte() & 0x3f);
}

// Where the run of ASCII at a byte ends, but for its last character if one follows that is none: it may join that.
size_t end_of_plain(std::string_view text, size_t at) {
  constexpr uint64_t kHigh = 0x8080808080808080u;
  uint64_t eight;
  for (; at + 8 <= text.size(); at += 8) {
    memcpy(&eight, text.data() + at, 8);
    if (eight & kHigh) break;
  }
  while (at < text.size() && uint8_t(text[at]) < 0x80) ++at;
  return at == text.size() ? at : at - 1;
}

}  // namespace

// Collects a word, and divides it where it ends.
class WordPiece::Sink {
 public:
  Sink(const WordPiece& model, bool places, Pieces& pieces) : model_(model), places_(places), pieces_(pieces) {}

  void add(uint32_t code, int32_t origin) {
    if (code < 0x80) return put(char(code), origin);
    if (code >= 0x10000) {
      put(char(0xf0 | code >> 18), origin), put(char(0x80 | (code >> 12 & 0x3f)), origin);
    } else if (code >= 0x800) {
      put(char(0xe0 | code >> 12), origin);
    } else {
      return put(char(0xc0 | code >> 6), origin), put(char(0x80 | (code & 0x3f)), origin);
    }
    put(char(0x80 | (code >> 6 & 0x3f)), origin), put(char(0x80 | (code & 0x3f)), origin);
  }

  void put(char byte, int32_t origin) {
    word_.push_back(byte);
    origins_.push_back(origin);
  }

  void end() {
    if (word_.empty()) return;
    divide();
    word_.clear();
    origins_.clear();
    ++number_;
  }

  void token(int32_t id, int32_t begin, int32_t end) {
    push(id, begin, end, number_);
    ++number_;
  }

  void push(int32_t id, int32_t begin, int32_t end, int32_t word) {
    pieces_.ids.push_back(id);
    if (!places_) return;
    pieces_.begins.push_back(begin), pieces_.ends.push_back(end), pieces_.words.push_back(word);
  }

 private:
  void divide() {
    const size_t before = pieces_.ids.size();
    size_t at = 0;
    while (at < word_.size()) {
      const Slot* slot = is_long() ? nullptr : longest(at);
      if (!slot) {
        unknown(before);
        return;
      }
      push(slot->id, origins_[at], origins_[at + slot->size - 1] + 1, number_);
      at += slot->size;
    }
  }

  bool is_long() const {
    const size_t longest = size_t(model_.settings_.longest);
    return word_.size() > longest && size_t(std::count_if(word_.begin(), word_.end(), begins_character)) > longest;
  }

  // The longest piece of the vocabulary with which the word goes on at a byte.
  const Slot* longest(size_t at) {
    const size_t most = std::min<size_t>(word_.size() - at, model_.longest_piece_);
    hashes_.resize(most + 1);
    hashes_[0] = at ? kWordGoesOn : kWordStart;
    for (size_t n = 0; n < most; ++n) hashes_[n + 1] = hashed(hashes_[n], word_[at + n]);
    for (size_t n = most; n; --n) {
      if (at + n < word_.size() && !begins_character(word_[at + n])) continue;
      if (const Slot* slot = model_.find(word_.data() + at, uint32_t(n), hashes_[n])) return slot;
    }
    return nullptr;
  }

  void unknown(size_t before) {
    for (auto* numbers : {&pieces_.ids, &pieces_.begins, &pieces_.ends, &pieces_.words}) {
      if (numbers->size() > before) numbers->resize(before);
    }
    push(model_.settings_.unknown, origins_.front(), origins_.back() + 1, number_);
  }

  const WordPiece& model_;
  const bool places_;
  Pieces& pieces_;
  std::string word_;
  std::vector<int32_t> origins_;  // of each byte of the word
  std::vector<uint32_t> hashes_;
  int32_t number_ = 0;  // of the word
};

WordPiece::WordPiece(WordPieceSettings settings, const Vocabulary& vocabulary,
                     const std::vector<std::pair<std::string, int32_t>>& added)
    : settings_(std::move(settings)) {
  size_t size = 64;
  while (size < 4 * vocabulary.size()) size *= 2;
  slots_.resize(size);
  const std::string& prefix = settings_.prefix;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const std::string_view token = vocabulary.token(i);
    insert(token, false, vocabulary.id(i));
    if (token.compare(0, prefix.size(), prefix) == 0) insert(token.substr(prefix.size()), true, vocabulary.id(i));
  }
  for (const auto& [text, id] : added) {
    added_.push_back({text, id});
    begins_added_[uint8_t(text[0])] = true;
  }
  std::stable_sort(added_.begin(), added_.end(),
                   [](const Added& a, const Added& b) { return a.text.size() > b.text.size(); });
  for (uint32_t code = 0; code < 128; ++code) {
    const uint8_t flags = flags_of(code);
    const bool gone = settings_.steps.clean && flags & kDropped;
    const uint32_t letter = settings_.steps.lower && flags & kLowers ? uint32_t(*lowered(code).codes) : code;
    ascii_[code] = gone ? kGone : flags & kSpace ? kEndsWord : flags & kPunctuation ? kStandsAlone | code : letter;
  }
}

// Pieces that begin a word and those that go on with it are told apart by their hashes: they begin differently, and no
// two beginnings lead to one hash over the same bytes.
void WordPiece::insert(std::string_view piece, bool continues, int32_t id) {
  if (piece.empty()) return;
  uint32_t hash = continues ? kWordGoesOn : kWordStart;
  for (char byte : piece) hash = hashed(hash, byte);
  const Slot slot{hash, uint32_t(spelled_.size()), uint32_t(piece.size()), id};
  spelled_.append(piece);
  longest_piece_ = std::max(longest_piece_, slot.size);
  size_t at = mixed(hash) & (slots_.size() - 1);
  while (slots_[at].size) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = slot;
}

const WordPiece::Slot* WordPiece::find(const char* piece, uint32_t size, uint32_t hash) const {
  for (size_t at = mixed(hash) & (slots_.size() - 1); slots_[at].size; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && slot.size == size && memcmp(spelled_.data() + slot.offset, piece, size) == 0) return &slot;
  }
  return nullptr;
}

const WordPiece::Added* WordPiece::added_at(std::string_view text, size_t at) const {
  if (!begins_added_[uint8_t(text[at])]) return nullptr;
  for (const Added& token : added_) {
    if (text.compare(at, token.text.size(), token.text) == 0) return &token;
  }
  return nullptr;
}

// Encodes from a byte to the next added token, or the end; returns where that is. number: of the character there.
size_t WordPiece::encode_rest(std::string_view text, size_t at, int32_t& number, Sink& sink) const {
  Normaliser<Sink> normaliser(settings_.steps, sink);
  Composer composer;
  const auto compose = [&] {
    for (const Composer::Character& c : composer.take()) normaliser.feed(c.code, c.origin);
  };
  const bool composes = settings_.steps.nfkc;
  size_t plain = composes ? at : text.size();  // up to here ASCII stands for itself
  bool ascii = true;
  for (; at < text.size(); ++number) {
    if (added_at(text, at)) break;
    const auto byte = uint8_t(text[at]);
    if (byte < 0x80 && at >= plain) plain = end_of_plain(text, at);
    if (byte < 0x80 && at < plain) {
      const uint8_t becomes = ascii_[byte];
      ++at;
      if (becomes == kGone) continue;
      if (!ascii) compose(), normaliser.flush(), ascii = true;
      if (becomes & kStandsAlone) sink.end();
      if (becomes == kEndsWord) continue;
      sink.put(char(becomes & 0x7f), number);
      if (becomes & kStandsAlone) sink.end();
      continue;
    }
    const char* p = text.data() + at;
    const uint32_t code = next_code(p);
    if (composes) {
      if (composer.is_full(code)) compose();
      composer.feed(code, number);
    } else {
      normaliser.feed(code, number);
    }
    at = size_t(p - text.data()), ascii = false;
  }
  compose();
  normaliser.end();
  return at;
}

void WordPiece::encode(std::string_view text, bool places, Pieces& pieces) const {
  Sink sink(*this, places, pieces);
  const size_t before = pieces.ids.size();
  for (int32_t id : settings_.first) sink.push(id, 0, 0, -1);
  int32_t number = 0;
  for (size_t at = 0; at < text.size();) {
    at = encode_rest(text, at, number, sink);
    if (at == text.size()) break;
    const Added* token = added_at(text, at);
    const auto characters = int32_t(std::count_if(token->text.begin(), token->text.end(), begins_character));
    sink.token(token->id, number, number + characters);
    at += token->text.size(), number += characters;
  }
  for (int32_t id : settings_.last) sink.push(id, 0, 0, -1);
  pieces.sizes.push_back(int64_t(pieces.ids.size() - before));
}

}  // namespace femto
