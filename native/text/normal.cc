#include "text/normal.h"

#include <algorithm>
#include <iterator>

namespace femto {
namespace {

#include "text/unicode.inc"

constexpr uint32_t kNear = 0x20000;  // characters whose flags lie in an array: all but rare ones

// The tables of unicode.inc, where each character is found soon.
struct Tables {
  std::vector<uint8_t> flags = std::vector<uint8_t>(kNear);
  std::vector<const int32_t*> decompositions = entries_of(kDecomposed, std::size(kDecomposed));
  std::vector<const int32_t*> lowers = entries_of(kLowered, std::size(kLowered));
  std::vector<uint8_t> forms = std::vector<uint8_t>(kNear);  // no character beyond has any
  std::vector<const int32_t*> compatibles = entries_of(kCompatibles, std::size(kCompatibles));

  Tables() {
    for (const int32_t* entry : compatibles) forms[size_t(*entry)] |= kCompatible;
    for (size_t i = 0; i < std::size(kComposed); i += 3) forms[size_t(kComposed[i + 1])] |= kJoins;
    for (size_t code = 0x1161; code < 0x1176; ++code) forms[code] |= kJoins;  // vowels and endings of Hangul
    for (size_t code = 0x11a8; code < 0x11c3; ++code) forms[code] |= kJoins;
    for (size_t i = 0; i < std::size(kFlags) && uint32_t(kFlags[i]) < kNear; i += 2) {
      const uint32_t next = i + 2 < std::size(kFlags) ? uint32_t(kFlags[i + 2]) : kCodes;
      std::fill(flags.begin() + kFlags[i], flags.begin() + std::min(next, kNear), uint8_t(kFlags[i + 1]));
    }
  }

  static std::vector<const int32_t*> entries_of(const int32_t* table, size_t size) {
    std::vector<const int32_t*> entries;
    for (size_t i = 0; i < size; i += 2 + table[i + 1]) entries.push_back(table + i);
    return entries;
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

// The entry of a character that has one: entries rise.
Characters find(const std::vector<const int32_t*>& entries, uint32_t code) {
  const auto before = [](const int32_t* entry, uint32_t wanted) { return uint32_t(*entry) < wanted; };
  const int32_t* entry = *std::lower_bound(entries.begin(), entries.end(), code, before);
  return {entry + 2, entry[1]};
}

}  // namespace

uint8_t flags_of(uint32_t code) {
  if (code < kNear) return tables().flags[code];
  size_t low = 0, high = std::size(kFlags) / 2;  // the last run that begins at the character or before it
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    (uint32_t(kFlags[2 * middle]) <= code ? low : high) = middle;
  }
  return uint8_t(kFlags[2 * low + 1]);
}

Characters decomposed(uint32_t code) { return find(tables().decompositions, code); }

Characters lowered(uint32_t code) { return find(tables().lowers, code); }

uint8_t forms_of(uint32_t code) { return code < kNear ? tables().forms[code] : 0; }

Characters compatible(uint32_t code) { return find(tables().compatibles, code); }

uint32_t composed(uint32_t a, uint32_t b) {
  if (!(forms_of(b) & kJoins)) return 0;
  size_t low = 0, high = std::size(kComposed) / 3;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const int32_t* entry = kComposed + 3 * middle;
    if (uint32_t(entry[0]) == a && uint32_t(entry[1]) == b) return uint32_t(entry[2]);
    const bool is_before = uint32_t(entry[0]) < a || (uint32_t(entry[0]) == a && uint32_t(entry[1]) < b);
    (is_before ? low : high) = is_before ? middle + 1 : middle;
  }
  return 0;
}

int class_of(uint32_t code) {
  size_t low = 0, high = std::size(kClasses) / 2;
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    (uint32_t(kClasses[2 * middle]) <= code ? low : high) = middle;
  }
  return kClasses[2 * low + 1];
}

}  // namespace femto
