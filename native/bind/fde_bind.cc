#include "bind/fde_bind.h"

#include <nanobind/stl/optional.h>

#include "bind/check.h"
#include "bind/returned.h"
#include "fde/fde.h"
#include "scan/codes.h"
#include "scan/scan.h"

namespace femto {
namespace {

constexpr int64_t kMostNumbers = 1 << 20;  // of a vector before the count-sketch
constexpr int kMostBits = 16;

// Throws unless each of the `values` is in 0..size-1.
void check_places(const Borrowed<int32_t>& values, const char* name, int64_t size) {
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t place = values.data()[i];
    if (place < 0 || place >= size) fail(name, "0 to " + std::to_string(size - 1), std::to_string(place));
  }
}

Sketch borrow_sketch(int size, nb::handle places, nb::handle signs, int64_t numbers) {
  if (size == 0) return {0, {}, {}};
  require(size > 0 && size <= numbers, "final", "0 to the " + std::to_string(numbers) + " numbers before it", size);
  const auto place = borrow<int32_t>(places, "places", {numbers});
  const auto sign = borrow<float>(signs, "signs", {numbers});
  check_places(place, "places", size);
  return {size, {place.data(), place.data() + numbers}, {sign.data(), sign.data() + numbers}};
}

void make_muvera(MuveraEncoder* self, nb::handle planes, nb::handle projection, nb::handle order, int fill, float scale,
                 int final, nb::handle places, nb::handle signs) {
  const auto plane = borrow<float>(planes, "planes", {kAny, kAny, kAny});
  const auto bits = int64_t(plane.shape(0)), repetitions = int64_t(plane.shape(1)), dims = int64_t(plane.shape(2));
  require(bits <= kMostBits, "bits", "0 to 16", bits);
  require(dims >= 1 && dims <= kMost, "dims", "1 to 65536", dims);
  require(repetitions >= 1 && repetitions <= kMost, "repetitions", "1 to 65536", repetitions);
  require(fill >= 0 && fill <= int(Fill::first), "fill", "0, 1 or 2", fill);
  int64_t width = dims;
  Borrowed<float> matrices;
  if (!projection.is_none()) {
    matrices = borrow<float>(projection, "projection", {repetitions, kAny, dims});
    width = int64_t(matrices.shape(1));
    require(width >= 1 && width <= dims, "projection", "1 to the " + std::to_string(dims) + " dims", width);
  }
  const int64_t buckets = int64_t(1) << bits, numbers = repetitions * buckets * width;
  require(numbers <= kMostNumbers, "numbers before the count-sketch", "at most 1048576", numbers);
  const auto place = borrow<int32_t>(order, "order", {buckets});
  check_places(place, "order", buckets);
  const Muvera muvera{int(dims),    int(repetitions), int(bits),
                      int(width),   plane.data(),     projection.is_none() ? nullptr : matrices.data(),
                      place.data(), Fill(fill),       scale};
  new (self) MuveraEncoder(muvera, borrow_sketch(final, places, signs, numbers));
}

Returned<float> encode(const MuveraEncoder& self, nb::handle rows, nb::handle starts, bool documents,
                       nb::handle threads) {
  const int cores = threads_of(threads);
  const auto r = borrow<float>(rows, "rows", {kAny, self.dims()});
  const auto s = borrow_starts(starts, int64_t(r.shape(0)), true);
  if (!finite(r.data(), int64_t(r.size()))) fail("rows", "finite numbers", "NaN or infinity");
  auto out = fresh<float>({s.shape(0) - 1, size_t(self.size())});
  nb::gil_scoped_release unlocked;
  self.encode(r.data(), s.data(), int64_t(s.shape(0)) - 1, documents, cores, out.data());
  return out;
}

Order order_of(int64_t order) {
  require(order >= 0 && order <= int(Order::kSplit), "order", "0, 1 or 2", order);
  return Order(order);
}

Returned<float> multiply(nb::handle vector, nb::handle blocks, nb::handle scales, int bits, int order,
                         nb::handle threads) {
  const int cores = threads_of(threads);
  check_bits(bits);
  const auto v = borrow<float>(vector, "vector", {kAny});
  const auto dims = int64_t(v.shape(0));
  require(dims >= 1 && dims <= kMost, "dims of vector", "1 to 65536", dims);
  if (!finite(v.data(), dims)) fail("vector", "finite numbers", "NaN or infinity");
  const auto b = borrow<int8_t>(blocks, "blocks", {kAny, groups_of(dims, bits), kBlockRows, kGroup});
  const auto scale = borrow<float>(scales, "scales", {int64_t(b.shape(0)) * kBlockRows});
  auto products = fresh<float>({scale.shape(0)});
  nb::gil_scoped_release unlocked;
  const Layout layout{bits, groups_of(dims, bits), order_of(order)};
  inner_products(v.data(), int(dims), layout, b.data(), scale.data(), int64_t(b.shape(0)), cores, products.data());
  return products;
}

// A whole number in a tuple.
int64_t whole_of(nb::handle item, const char* name) {
  int64_t number = -1;
  if (!nb::try_cast(item, number, false)) fail(name, "a whole number", nb::repr(item).c_str());
  return number;
}

// Parts (blocks, scales, count, alive or None, order) of so many groups, and what keeps their arrays alive.
struct Parts {
  std::vector<Borrowed<int8_t>> blocks;
  std::vector<Borrowed<float>> scales;
  std::vector<Borrowed<bool>> alive;
  std::vector<CodedVectors> vectors;

  void add(nb::handle item, int64_t group_count, bool in_steps) {
    const auto part = items_of(item, 5, "(blocks, scales, count, alive, order)");
    const int64_t count = whole_of(part[2], "count");
    blocks.push_back(borrow<int8_t>(part[0], "blocks", {kAny, group_count, kBlockRows, kGroup}));
    const auto block_count = int64_t(blocks.back().shape(0));
    scales.push_back(borrow<float>(part[1], "scales", {block_count * kBlockRows}));
    require(count >= 0 && count <= block_count * kBlockRows, "count",
            "0 to " + std::to_string(block_count * kBlockRows), count);
    const uint8_t* living = nullptr;
    if (!part[3].is_none()) {
      alive.push_back(borrow<bool>(part[3], "alive", {count}));
      living = reinterpret_cast<const uint8_t*>(alive.back().data());
    }
    const Order order = order_of(whole_of(part[4], "order"));
    if (in_steps && order != Order::kSplit) fail("order", "2, split", std::to_string(int(order)));
    vectors.push_back({blocks.back().data(), scales.back().data(), living, count, block_count, order});
  }
};

// Parts of F numbers -> (numbers, products).
nb::tuple find_nearest(nb::handle vector, int64_t size, const nb::list& parts, int64_t most, int bits, int64_t coarse,
                       nb::handle threads) {
  const int cores = threads_of(threads);
  check_bits(bits);
  require(size >= 1 && size <= kMost, "size", "1 to 65536", size);
  require(most >= 0, "most", "0 or more", most);
  require(coarse >= 0, "coarse", "0 or more", coarse);
  const auto v = borrow<float>(vector, "vector", {kAny});
  const auto dims = int64_t(v.shape(0)), group_count = int64_t(groups_of(size, bits));
  require(dims >= 1 && dims <= size, "dims of vector", "1 to the codes' " + std::to_string(size), dims);
  if (!finite(v.data(), dims)) fail("vector", "finite numbers", "NaN or infinity");
  Parts borrowed;
  for (nb::handle item : parts) borrowed.add(item, group_count, coarse > 0);
  std::vector<Neighbour> found;
  if (most > 0) {
    nb::gil_scoped_release unlocked;
    const auto& all = borrowed.vectors;
    found = coarse > 0 ? nearest_in_steps(v.data(), int(dims), bits, int(group_count), all, coarse, most, cores)
                       : nearest(v.data(), int(dims), bits, int(group_count), all, most, cores);
  }
  auto numbers = fresh<int64_t>({found.size()});
  auto products = fresh<float>({found.size()});
  for (size_t i = 0; i < found.size(); ++i) numbers.data()[i] = found[i].number, products.data()[i] = found[i].product;
  return nb::make_tuple(numbers, products);
}

}  // namespace

void bind_fde(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<MuveraEncoder>(m, "Muvera")
      .def("__init__", &make_muvera, "planes"_a.none(), "projection"_a.none(), "order"_a.none(), "fill"_a, "scale"_a,
           "final"_a, "places"_a.none(), "signs"_a.none())
      .def_prop_ro("size", &MuveraEncoder::size)
      .def_prop_ro("kernel", &MuveraEncoder::kernel)
      .def("encode", &encode, "rows"_a.none(), "starts"_a.none(), "documents"_a, "threads"_a = 0);
  m.def("inner_products", &multiply, "vector"_a.none(), "blocks"_a.none(), "scales"_a.none(), "bits"_a = 8,
        "order"_a = 0, "threads"_a = 0);
  m.def("nearest", &find_nearest, "vector"_a.none(), "size"_a, "parts"_a, "most"_a, "bits"_a = 8, "coarse"_a = 0,
        "threads"_a = 0);
}

}  // namespace femto
