// The tokens of a vocabulary, and their ids.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace femto {

class Vocabulary {
 public:
  // Whether the token is a new one.
  bool add(std::string_view token, int32_t id);

  // The tokens in the order in which they came.
  size_t size() const { return ids_.size(); }
  std::string_view token(size_t n) const {
    return std::string_view(spelled_).substr(ends_[n], ends_[n + 1] - ends_[n]);
  }
  int32_t id(size_t n) const { return ids_[n]; }

  // -1 if there is no such token.
  int32_t id_of(std::string_view token) const;

 private:
  size_t slot_of(std::string_view token) const;
  void grow();

  std::string spelled_;
  std::vector<size_t> ends_{0};
  std::vector<int32_t> ids_;
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(64);  // a token's number from 1; 0: empty
};

// Adds what the JSON object at a byte of a text has, whose keys are tokens and whose values are ids up to `highest`.
// Returns where the object ends; 0 if it is anything else, has a key twice, spells a character by its number, or is
// empty: then whoever asks reads it by other means.
size_t read_vocabulary(std::string_view json, size_t at, int32_t highest, Vocabulary& vocabulary);

}  // namespace femto
