#include "bind/text_bind.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind/check.h"
#include "bind/returned.h"
#include "cpu/parallel.h"
#include "text/wordpiece.h"

namespace femto {
namespace {

constexpr size_t kChunk = 16;  // texts that a thread takes at a time

// The texts of a list, and what keeps them alive.
struct BorrowedTexts {
  std::vector<nb::object> owners;
  std::vector<std::string_view> views;

  explicit BorrowedTexts(const nb::list& texts) {
    for (nb::handle text : texts) {
      Py_ssize_t size;
      const char* start = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
      if (!start) throw nb::python_error();
      owners.push_back(nb::borrow(text));
      views.emplace_back(start, size_t(size));
    }
  }
};

void make_vocabulary(Vocabulary* self, const std::vector<std::string>& tokens, nb::handle ids) {
  const auto numbers = borrow<int32_t>(ids, "ids", {int64_t(tokens.size())});
  Vocabulary vocabulary;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!vocabulary.add(tokens[i], numbers.data()[i])) fail("tokens", "each once", "'" + tokens[i] + "' twice");
  }
  new (self) Vocabulary(std::move(vocabulary));
}

nb::object read(const nb::bytes& json, size_t at, int32_t highest) {
  Vocabulary vocabulary;
  const size_t end = read_vocabulary({json.c_str(), json.size()}, at, highest, vocabulary);
  return end ? nb::make_tuple(std::move(vocabulary), end) : nb::object(nb::none());
}

nb::list tokens_of(const Vocabulary& self) {
  nb::list tokens;
  for (size_t n = 0; n < self.size(); ++n) {
    const std::string_view token = self.token(n);
    tokens.append(nb::str(token.data(), token.size()));
  }
  return tokens;
}

Returned<int32_t> ids_of(const Vocabulary& self) {
  auto ids = fresh<int32_t>({self.size()});
  for (size_t n = 0; n < self.size(); ++n) ids.data()[n] = self.id(n);
  return ids;
}

void make(WordPiece* self, const Vocabulary& vocabulary, const std::vector<std::pair<std::string, int32_t>>& added,
          int32_t unknown, const std::string& prefix, int longest, bool nfkc, bool clean, bool chinese, bool strip,
          bool lower, const std::vector<int32_t>& first, const std::vector<int32_t>& last) {
  for (const auto& [text, id] : added) {
    if (text.empty()) fail("added", "texts of at least one character", "an empty one");
  }
  require(longest >= 1, "longest", "at least 1", longest);
  new (self)
      WordPiece({{nfkc, clean, chinese, strip, lower}, unknown, prefix, longest, first, last}, vocabulary, added);
}

std::vector<Pieces> encode_all(const WordPiece& model, const std::vector<std::string_view>& texts, bool places,
                               int threads) {
  std::vector<Pieces> chunks((texts.size() + kChunk - 1) / kChunk);
  share(thread_count(threads, int64_t(chunks.size())), int64_t(chunks.size()), [&](int, int64_t c) {
    const size_t end = std::min(texts.size(), (size_t(c) + 1) * kChunk);
    for (size_t n = size_t(c) * kChunk; n < end; ++n) model.encode(texts[n], places, chunks[c]);
  });
  return chunks;
}

// One array of what `part` says of every chunk, end to end.
Returned<int32_t> joined(const std::vector<Pieces>& chunks, std::vector<int32_t> Pieces::* part) {
  size_t size = 0;
  for (const Pieces& chunk : chunks) size += (chunk.*part).size();
  auto array = fresh<int32_t>({size});
  int32_t* to = array.data();
  for (const Pieces& chunk : chunks) to = std::copy((chunk.*part).begin(), (chunk.*part).end(), to);
  return array;
}

Returned<int64_t> starts_of(const std::vector<Pieces>& chunks, size_t texts) {
  auto array = fresh<int64_t>({texts + 1});
  int64_t* to = array.data();
  *to = 0;
  for (const Pieces& chunk : chunks) {
    for (int64_t size : chunk.sizes) to[1] = to[0] + size, ++to;
  }
  return array;
}

nb::tuple encode(const WordPiece& self, const nb::list& texts, bool places, nb::handle threads) {
  const int cores = threads_of(threads);
  const BorrowedTexts borrowed(texts);
  std::vector<Pieces> chunks;
  {
    nb::gil_scoped_release unlocked;
    chunks = encode_all(self, borrowed.views, places, cores);
  }
  const auto ids = joined(chunks, &Pieces::ids);
  const auto starts = starts_of(chunks, borrowed.views.size());
  return nb::make_tuple(ids, starts, joined(chunks, &Pieces::begins), joined(chunks, &Pieces::ends),
                        joined(chunks, &Pieces::words));
}

}  // namespace

void bind_text(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<Vocabulary>(m, "Vocabulary")
      .def("__init__", &make_vocabulary, "tokens"_a, "ids"_a.none())
      .def("__len__", &Vocabulary::size)
      .def(
          "id_of", [](const Vocabulary& self, const std::string& token) { return self.id_of(token); }, "token"_a)
      .def("tokens", &tokens_of)
      .def("ids", &ids_of);
  m.def("read_vocabulary", &read, "json"_a, "at"_a, "highest"_a);
  nb::class_<WordPiece>(m, "WordPiece")
      .def("__init__", &make, "vocabulary"_a, "added"_a, "unknown"_a, "prefix"_a, "longest"_a, "nfkc"_a, "clean"_a,
           "chinese"_a, "strip"_a, "lower"_a, "first"_a, "last"_a)
      .def("encode", &encode, "texts"_a, "places"_a = false, "threads"_a = 0);
}

}  // namespace femto
