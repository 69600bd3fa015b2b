// femtosearch._core: check, borrow, drop the GIL, call. What each function means is said in encoder.py, maxsim.py
// and codes.py; what it computes, in reference.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "bert/encoder.h"
#include "bind/check.h"
#include "bind/fde_bind.h"
#include "bind/lemur_bind.h"
#include "bind/returned.h"
#include "bind/text_bind.h"
#include "cpu/dispatch.h"
#include "scan/codes.h"
#include "scan/scan.h"

namespace femto {
namespace {

using namespace nb::literals;

template <class T>
Returned<T> zeros(std::initializer_list<size_t> shape) {
  auto array = fresh<T>(shape);
  std::fill_n(array.data(), array.size(), T{});
  return array;
}

// The array to write `rows` rows to: the caller's, or a new one.
Returned<float> output(nb::handle out, size_t rows, size_t dims) {
  if (out.is_none()) return fresh<float>({rows, dims});
  nb::ndarray<nb::numpy, float, nb::c_contig, nb::device::cpu> given;
  const bool fits =
      nb::try_cast(out, given, false) && given.ndim() == 2 && given.shape(0) == rows && given.shape(1) == dims;
  if (!fits) {
    fail("out", "a writable C-ordered float32 array [" + std::to_string(rows) + ", " + std::to_string(dims) + "]",
         "another");
  }
  return Returned<float>(given);
}

void make_encoder(Encoder* place, int vocab, int hidden, int layers, int heads, int inner, int positions, int types,
                  std::optional<int> code_width, float epsilon, const nb::dict& arrays, const nb::list& dense,
                  bool int8) {
  Weights weights{};
  Bert& bert = weights.bert;
  bert.vocab = vocab, bert.hidden = hidden, bert.layer_count = layers, bert.heads = heads, bert.inner = inner;
  bert.positions = positions, bert.code_width = code_width.value_or(0), bert.epsilon = epsilon;
  borrow_weights(arrays, dense, types, weights);
  new (place) Encoder(bert, int8 ? Precision::kInt8 : Precision::kFloat32);
}

Returned<float> encode(const Encoder& encoder, nb::handle ids, nb::handle starts, nb::handle attended, nb::handle keep,
                       nb::handle threads, nb::handle out) {
  const int cores = threads_of(threads);
  const auto id = borrow<int32_t>(ids, "ids", {kAny});
  const auto start = borrow_starts(starts, int64_t(id.shape(0)), true);
  const auto count = int64_t(start.shape(0)) - 1;
  const auto reach = borrow<int32_t>(attended, "attended", {count});
  const auto kept = borrow<bool>(keep, "keep", {int64_t(id.shape(0))});
  const Texts texts{id.data(), start.data(), reach.data(), reinterpret_cast<const uint8_t*>(kept.data()), count};
  check_texts(texts, encoder.vocab(), encoder.positions());
  size_t rows = 0;
  for (size_t t = 0; t < id.shape(0); ++t) rows += texts.keep[t] != 0;
  auto result = output(out, rows, size_t(encoder.dims()));
  nb::gil_scoped_release unlocked;
  encoder.encode(texts, cores, result.data());
  return result;
}

Borrowed<float> borrow_rows(nb::handle array, const char* name, int64_t dims) {
  auto rows = borrow<float>(array, name, {kAny, dims});
  require(rows.shape(1) >= 1 && int64_t(rows.shape(1)) <= kMost, std::string("dims of ") + name, "1 to 65536",
          int64_t(rows.shape(1)));
  return rows;
}

Borrowed<float> borrow_query(nb::handle array) {
  auto query = borrow_rows(array, "query", kAny);
  require(int64_t(query.shape(0)) <= kMost, "rows of query", "at most 65536", int64_t(query.shape(0)));
  return query;
}

Returned<float> score(nb::handle query, nb::handle rows, nb::handle starts, nb::handle threads) {
  const int cores = threads_of(threads);
  const auto q = borrow_query(query);
  const auto r = borrow_rows(rows, "rows", int64_t(q.shape(1)));
  const auto s = borrow_starts(starts, int64_t(r.shape(0)), true);
  auto scores = fresh<float>({s.shape(0) - 1});
  nb::gil_scoped_release unlocked;
  maxsim(q.data(), int(q.shape(0)), int(q.shape(1)), r.data(), s.data(), int64_t(s.shape(0)) - 1, cores, scores.data());
  return scores;
}

// Numbers of passages whose rows are there; of the others the starts are not even looked at, for there may be millions.
Borrowed<int64_t> borrow_which(nb::handle array, const int64_t* starts, int64_t passages, int64_t rows) {
  auto which = borrow<int64_t>(array, "which", {kAny});
  for (size_t i = 0; i < which.shape(0); ++i) {
    const int64_t n = which.data()[i];
    if (n < 0 || n >= passages) {
      fail("which", "numbers of the " + std::to_string(passages) + " passages", std::to_string(n));
    }
    if (starts[n] < 0 || starts[n] > starts[n + 1] || starts[n + 1] > rows) {
      fail("starts of passage " + std::to_string(n), "two rising numbers of the " + std::to_string(rows) + " rows",
           std::to_string(starts[n]) + " and " + std::to_string(starts[n + 1]));
    }
  }
  return which;
}

// Passages of a Python tuple (blocks, scales, starts, which or None, bits), and what keeps its arrays alive.
struct BorrowedPassages {
  Borrowed<int8_t> blocks;
  Borrowed<float> scales;
  Borrowed<int64_t> starts, which;
  CodedPassages passages;

  BorrowedPassages(nb::handle item, int64_t dims) {
    const auto part = items_of(item, 5, "(blocks, scales, starts, which, bits)");
    const int bits = nb::cast<int>(part[4]);
    require(bits == 8 || bits == 4, "bits", "8 or 4", bits);
    blocks = borrow<int8_t>(part[0], "blocks", {kAny, groups_of(dims, bits), kBlockRows, kGroup});
    scales = borrow<float>(part[1], "scales", {int64_t(blocks.shape(0)) * kBlockRows});
    const auto rows = int64_t(scales.shape(0));
    const bool all = part[3].is_none();
    starts = all ? borrow_starts(part[2], rows, false) : borrow<int64_t>(part[2], "starts", {kAny});
    const auto count = int64_t(starts.shape(0)) - 1;
    passages = {bits, blocks.data(), scales.data(), starts.data(), nullptr, count};
    if (all) return;
    which = borrow_which(part[3], starts.data(), count, rows);
    passages.which = which.data(), passages.chosen = int64_t(which.shape(0));
  }
};

Returned<float> score_codes(nb::handle query, const nb::list& parts, nb::handle threads) {
  const int cores = threads_of(threads);
  const auto q = borrow_query(query);
  const auto dims = int64_t(q.shape(1));
  if (!finite(q.data(), int64_t(q.size()))) fail("query", "finite numbers", "NaN or infinity");
  std::vector<BorrowedPassages> borrowed;
  std::vector<CodedPassages> passages;
  int64_t chosen = 0;
  for (nb::handle part : parts) {
    borrowed.emplace_back(part, dims);
    passages.push_back(borrowed.back().passages);
    chosen += passages.back().chosen;
  }
  auto scores = fresh<float>({size_t(chosen)});
  nb::gil_scoped_release unlocked;
  maxsim_codes(q.data(), int(q.shape(0)), int(dims), passages, cores, scores.data());
  return scores;
}

Returned<bool> distinct_rows(nb::handle rows, nb::handle starts, float most, int first, int last, nb::handle threads) {
  const int cores = threads_of(threads);
  const auto r = borrow_rows(rows, "rows", kAny);
  const auto s = borrow_starts(starts, int64_t(r.shape(0)), true);
  if (!(most >= 0)) fail("most", "a product of at least 0", std::to_string(most));
  require(first >= 0 && last >= 0, "first and last", "at least 0", std::min(first, last));
  auto keep = fresh<bool>({r.shape(0)});
  nb::gil_scoped_release unlocked;
  distinct(r.data(), int(r.shape(1)), s.data(), int64_t(s.shape(0)) - 1, {most, first, last}, cores,
           reinterpret_cast<uint8_t*>(keep.data()));
  return keep;
}

nb::tuple code(nb::handle rows, int bits, bool levels) {
  check_bits(bits);
  require(!levels || bits == 4, "bits of levels", "4", bits);
  const auto r = borrow_rows(rows, "rows", kAny);
  const size_t count = r.shape(0), dims = r.shape(1), block_count = (count + kBlockRows - 1) / kBlockRows;
  if (!finite(r.data(), int64_t(r.size()))) fail("rows", "finite numbers", "NaN or infinity");
  auto blocks = zeros<int8_t>({block_count, size_t(groups_of(int64_t(dims), bits)), kBlockRows, kGroup});
  auto scales = zeros<float>({block_count * kBlockRows});
  {
    nb::gil_scoped_release unlocked;
    if (levels) {
      quantise_levels(r.data(), int64_t(count), int(dims), blocks.data(), scales.data());
    } else {
      quantise(r.data(), int64_t(count), int(dims), bits, blocks.data(), scales.data());
    }
  }
  return nb::make_tuple(blocks, scales);
}

Returned<float> decode_levels(nb::handle values, nb::handle scales, int64_t dims) {
  require(dims >= 1 && dims <= kMost, "dims", "1 to 65536", dims);
  const auto v = borrow<int8_t>(values, "values", {kAny, int64_t(groups_of(dims, 4)) * kGroup});
  const auto s = borrow<float>(scales, "scales", {int64_t(v.shape(0))});
  auto rows = fresh<float>({v.shape(0), size_t(dims)});
  nb::gil_scoped_release unlocked;
  level_rows(v.data(), s.data(), int64_t(v.shape(0)), int(dims), rows.data());
  return rows;
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernel* const* k = kernels(); *k; ++k) names.emplace_back((*k)->name);
  return names;
}

// The error classes are Python's, so that a caller catches one tree.
void raise(const char* type, const std::exception& error) {
  PyErr_SetString(nb::module_::import_("femtosearch.errors").attr(type).ptr(), error.what());
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const ShapeError& error) {
    raise("ShapeError", error);
  } catch (const UnknownKernel& error) {
    raise("FemtosearchError", error);
  }
}

}  // namespace
}  // namespace femto

NB_MODULE(_core, m) {
  using namespace femto;
  using namespace nb::literals;
  nb::register_exception_translator(translate);
  nb::class_<Encoder>(m, "Encoder")
      .def("__init__", &make_encoder, "vocab_size"_a, "hidden_size"_a, "layers"_a, "heads"_a, "intermediate_size"_a,
           "positions"_a, "types"_a, "code_width"_a.none(), "norm_epsilon"_a, "weights"_a, "dense"_a, "int8"_a = false,
           nb::keep_alive<1, 11>())  // the weights, of which it uses one in its place
      .def_prop_ro("dims", &Encoder::dims)
      .def_prop_ro("kernel", &Encoder::kernel)
      .def("encode", &encode, "ids"_a.none(), "starts"_a.none(), "attended"_a.none(), "keep"_a.none(), "threads"_a = 0,
           "out"_a.none() = nb::none());
  m.def("maxsim", &score, "query"_a.none(), "rows"_a.none(), "starts"_a.none(), "threads"_a = 0);
  m.def("maxsim_codes", &score_codes, "query"_a.none(), "parts"_a, "threads"_a = 0);
  m.def("distinct", &distinct_rows, "rows"_a.none(), "starts"_a.none(), "most"_a, "first"_a = 0, "last"_a = 0,
        "threads"_a = 0);
  m.def("quantise", &code, "rows"_a.none(), "bits"_a = 8, "levels"_a = false);
  m.def("level_rows", &decode_levels, "values"_a.none(), "scales"_a.none(), "dims"_a);
  m.def(
      "check_starts", [](nb::handle starts, int64_t rows) { borrow_starts(starts, rows, true); }, "starts"_a.none(),
      "rows"_a);
  bind_fde(m);
  bind_lemur(m);
  bind_text(m);
  m.def("kernels", &kernel_names);
  m.def("kernel", [] { return std::string(kernel()->name); });
  m.def("use", [](const std::string& name) { use_kernel(name.c_str()); }, "name"_a);
}
