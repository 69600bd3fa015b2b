// WordPiece over BERT's normaliser and pre-tokenizer. Source: Devlin et al., BERT, arXiv 1810.04805; what `tokenizers`
// gives, id for id and offset for offset.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/normal.h"
#include "text/vocabulary.h"

namespace femto {

struct WordPieceSettings {
  NormalSteps steps;
  int32_t unknown;                   // the id of a word that no pieces make up
  std::string prefix;                // of the pieces that continue a word, in the vocabulary
  int longest;                       // characters of a word: a longer one is unknown
  std::vector<int32_t> first, last;  // ids round each text
};

// Tokens of some texts, end to end. Offsets are of a text's characters; words count from 0; the ids round a text have
// no offset, and no word (-1).
struct Pieces {
  std::vector<int32_t> ids, begins, ends, words;
  std::vector<int64_t> sizes;  // of each text
};

class WordPiece {
 public:
  // added: tokens that are looked for in the text as it is, before the rest is normalised, the longest first.
  WordPiece(WordPieceSettings settings, const Vocabulary& vocabulary,
            const std::vector<std::pair<std::string, int32_t>>& added);

  // Appends a text of valid UTF-8. places: offsets and words too.
  void encode(std::string_view text, bool places, Pieces& pieces) const;

 private:
  struct Slot {
    uint32_t hash, offset, size;  // of the piece in `spelled_`; size 0: empty
    int32_t id;
  };
  struct Added {
    std::string text;
    int32_t id;
  };
  class Sink;

  void insert(std::string_view piece, bool continues, int32_t id);
  const Slot* find(const char* piece, uint32_t size, uint32_t hash) const;
  const Added* added_at(std::string_view text, size_t at) const;
  size_t encode_rest(std::string_view text, size_t at, int32_t& number, Sink& sink) const;

  WordPieceSettings settings_;
  std::string spelled_;
  std::vector<Slot> slots_;
  uint32_t longest_piece_ = 0;  // bytes
  std::vector<Added> added_;    // the longest first
  bool begins_added_[256] = {};
  uint8_t ascii_[128];  // what becomes of a character: see wordpiece.cc
};

}  // namespace femto
