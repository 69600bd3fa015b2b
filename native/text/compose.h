// NFKC, character by character: typeset forms become what they stand for, and marks join their letters.
#pragma once
#include <cstdint>
#include <vector>

namespace femto {

// Characters and where each comes from: what the library `tokenizers` gives, origin for origin.
class Composer {
 public:
  struct Character {
    uint32_t code;
    int32_t origin;
  };

  void feed(uint32_t code, int32_t origin);

  // Whether what waits is much, and final once this character comes: nothing before it joins it.
  bool is_full(uint32_t next) const;

  bool is_empty() const { return waiting_.empty(); }

  // What waited. The reference holds until the next call.
  const std::vector<Character>& take();

 private:
  // change: how many characters more than one it stands for, as the library counts: 1 for an added one, -1 for one
  // that another has joined.
  struct Waiting {
    uint32_t code;
    int32_t order, change;
  };

  void order();
  void join();
  void place();

  std::vector<Waiting> waiting_;
  std::vector<int32_t> origins_;  // of the characters that were fed
  std::vector<Character> ready_;
  int32_t before_ = 0;  // the last origin of those that were taken
};

}  // namespace femto
