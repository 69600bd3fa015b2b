#include "bind/lemur_bind.h"

#include "bind/check.h"
#include "bind/returned.h"
#include "fde/lemur.h"
#include "scan/scan.h"

namespace femto {
namespace {

// Matrix [rows, columns], each 1 to 65536, of finite numbers.
Borrowed<float> borrow_matrix(nb::handle array, const char* name) {
  auto matrix = borrow<float>(array, name, {kAny, kAny});
  for (int i = 0; i < 2; ++i) {
    const auto size = int64_t(matrix.shape(i));
    require(size >= 1 && size <= kMost, std::string("shape of ") + name, "1 to 65536", size);
  }
  if (!finite(matrix.data(), int64_t(matrix.size()))) fail(name, "finite numbers", "NaN or infinity");
  return matrix;
}

void make_dense(DenseLayer* self, nb::handle weight, nb::handle bias, bool int8) {
  const auto w = borrow_matrix(weight, "weight");
  const auto out = int64_t(w.shape(0));
  Borrowed<float> b;
  if (!bias.is_none()) b = borrow<float>(bias, "bias", {out});
  const Linear linear{w.data(), bias.is_none() ? nullptr : b.data(), int(out), int(w.shape(1))};
  new (self) DenseLayer(linear, int8 ? Precision::kInt8 : Precision::kFloat32);
}

Returned<float> apply(const DenseLayer& self, nb::handle rows, nb::handle threads) {
  const int cores = threads_of(threads);
  const auto r = borrow<float>(rows, "rows", {kAny, self.in()});
  auto out = fresh<float>({r.shape(0), size_t(self.out())});
  nb::gil_scoped_release unlocked;
  self.apply(r.data(), int64_t(r.shape(0)), cores, out.data());
  return out;
}

void make_anchors(Anchors* self, nb::handle anchors) {
  const auto a = borrow_matrix(anchors, "anchors");
  new (self) Anchors(a.data(), int(a.shape(0)), int(a.shape(1)));
}

Returned<float> maxima(const Anchors& self, nb::handle rows, nb::handle starts, nb::handle threads) {
  const int cores = threads_of(threads);
  const auto r = borrow<float>(rows, "rows", {kAny, self.dims()});
  const auto s = borrow_starts(starts, int64_t(r.shape(0)), true);
  if (!finite(r.data(), int64_t(r.size()))) fail("rows", "finite numbers", "NaN or infinity");
  const size_t texts = s.shape(0) - 1;
  auto out = fresh<float>({texts, size_t(self.count())});
  nb::gil_scoped_release unlocked;
  self.maxima(r.data(), s.data(), int64_t(texts), cores, out.data());
  return out;
}

}  // namespace

void bind_lemur(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<DenseLayer>(m, "Dense")
      .def("__init__", &make_dense, "weight"_a.none(), "bias"_a.none() = nb::none(), "int8"_a = false)
      .def("apply", &apply, "rows"_a.none(), "threads"_a = 0);
  nb::class_<Anchors>(m, "Anchors")
      .def("__init__", &make_anchors, "anchors"_a.none())
      .def("maxima", &maxima, "rows"_a.none(), "starts"_a.none(), "threads"_a = 0);
}

}  // namespace femto
