#include "text/vocabulary.h"

#include <cstring>

namespace femto {
namespace {

size_t hashed(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char byte : text) hash = (hash ^ uint8_t(byte)) * 0x100000001b3u;
  return size_t(hash ^ hash >> 32);
}

// JSON's characters after a backslash, and what they stand for.
constexpr char kEscaped[] = "\"\\/bfnrt", kStandsFor[] = "\"\\/\b\f\n\r\t";

class Reader {
 public:
  Reader(std::string_view json, size_t at) : json_(json), at_(at) {}

  size_t at() const { return at_; }

  // Whether a character comes next, perhaps after spaces; it is behind afterwards.
  bool takes(char character) {
    skip_spaces();
    if (at_ >= json_.size() || json_[at_] != character) return false;
    ++at_;
    return true;
  }

  // A string, whose opening quote is behind; false for what no string of JSON has, or a character's number.
  bool string(std::string& text) {
    text.clear();
    for (; at_ < json_.size(); ++at_) {
      char byte = json_[at_];
      if (byte == '"') return ++at_, true;
      if (uint8_t(byte) < 0x20) return false;
      if (byte == '\\') {
        const char* known = ++at_ < json_.size() && json_[at_] ? strchr(kEscaped, json_[at_]) : nullptr;
        if (!known) return false;
        byte = kStandsFor[known - kEscaped];
      }
      text.push_back(byte);
    }
    return false;
  }

  // A whole number from 0 to `highest`, perhaps after spaces.
  bool number(int32_t highest, int32_t& number) {
    skip_spaces();
    const size_t start = at_;
    int64_t value = 0;
    for (; at_ < json_.size() && json_[at_] >= '0' && json_[at_] <= '9' && value <= highest; ++at_) {
      value = value * 10 + (json_[at_] - '0');
    }
    const bool leads_with_zero = at_ > start + 1 && json_[start] == '0';
    number = int32_t(value);
    return at_ > start && !leads_with_zero && value <= highest;
  }

 private:
  void skip_spaces() {
    const auto is_space = [](char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; };
    while (at_ < json_.size() && is_space(json_[at_])) ++at_;
  }

  std::string_view json_;
  size_t at_;
};

}  // namespace

bool Vocabulary::add(std::string_view token, int32_t id) {
  size_t slot = slot_of(token);
  if (slots_[slot]) return false;
  spelled_.append(token);
  ends_.push_back(spelled_.size());
  ids_.push_back(id);
  slots_[slot] = uint32_t(ids_.size());
  if (4 * ids_.size() > 3 * slots_.size()) grow();
  return true;
}

int32_t Vocabulary::id_of(std::string_view token) const {
  const uint32_t number = slots_[slot_of(token)];
  return number ? ids_[number - 1] : -1;
}

// Where the token is, or else where it would be.
size_t Vocabulary::slot_of(std::string_view text) const {
  const size_t last = slots_.size() - 1;
  size_t slot = hashed(text) & last;
  while (slots_[slot] && token(slots_[slot] - 1) != text) slot = (slot + 1) & last;
  return slot;
}

void Vocabulary::grow() {
  slots_.assign(4 * slots_.size(), 0);
  for (size_t n = 0; n < ids_.size(); ++n) slots_[slot_of(token(n))] = uint32_t(n + 1);
}

size_t read_vocabulary(std::string_view json, size_t at, int32_t highest, Vocabulary& vocabulary) {
  Reader reader(json, at);
  std::string token;
  int32_t id;
  if (!reader.takes('{')) return 0;
  do {
    if (!reader.takes('"') || !reader.string(token) || !reader.takes(':') || !reader.number(highest, id)) return 0;
    if (!vocabulary.add(token, id)) return 0;
  } while (reader.takes(','));
  return reader.takes('}') ? reader.at() : 0;
}

}  // namespace femto
