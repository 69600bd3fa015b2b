#include "bind/check.h"

namespace femto {
namespace {

std::string text(int64_t n) { return n == kAny ? "*" : std::to_string(n); }

std::string text(const std::vector<int64_t>& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + text(shape[i]);
  return s + "]";
}

template <class T>
constexpr const char* kName = nullptr;
template <>
constexpr const char* kName<float> = "float32";
template <>
constexpr const char* kName<bool> = "bool";
template <>
constexpr const char* kName<int8_t> = "int8";
template <>
constexpr const char* kName<int32_t> = "int32";
template <>
constexpr const char* kName<int64_t> = "int64";

std::string written(nb::handle object) { return nb::str(object).c_str(); }

std::string describe(nb::handle array) {
  if (!nb::hasattr(array, "dtype") || !nb::hasattr(array, "shape")) {
    return written(array.type().attr("__name__"));
  }
  std::vector<int64_t> shape;
  for (nb::handle n : array.attr("shape")) shape.push_back(nb::cast<int64_t>(n));
  return written(array.attr("dtype")) + " " + text(shape);
}

template <class Array>
bool fits(const Array& array, const std::vector<int64_t>& shape) {
  if (array.ndim() != shape.size()) return false;
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    const auto size = int64_t(array.shape(i));
    if (shape[i] != kAny && size != shape[i]) return false;
    if (array.size() && size > 1 && array.stride(i) != step) return false;
    step *= size;
  }
  return true;
}

}  // namespace

void fail(const std::string& name, const std::string& expected, const std::string& found) {
  throw ShapeError(name + ": expected " + expected + ", found " + found);
}

void require(bool good, const std::string& name, const std::string& expected, int64_t found) {
  if (!good) fail(name, expected, std::to_string(found));
}

template <class T>
Borrowed<T> borrow(nb::handle array, const std::string& name, const std::vector<int64_t>& shape) {
  nb::ndarray<nb::ro, nb::device::cpu> any;
  if (!nb::try_cast(array, any) || any.dtype() != nb::dtype<T>() || !fits(any, shape)) {
    fail(name, std::string(kName<T>) + " " + text(shape) + " in C order", describe(array));
  }
  if (reinterpret_cast<uintptr_t>(any.data()) % alignof(T)) {
    fail(name, "an aligned array", "one that begins between two numbers");
  }
  return Borrowed<T>(any);
}

template Borrowed<float> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
template Borrowed<bool> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
template Borrowed<int8_t> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
template Borrowed<int32_t> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
template Borrowed<int64_t> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);

Borrowed<int64_t> borrow_starts(nb::handle array, int64_t rows, bool all) {
  auto starts = borrow<int64_t>(array, "starts", {kAny});
  const int64_t* s = starts.data();
  const size_t size = starts.shape(0);
  require(size > 0, "starts", "at least one number", 0);
  require(all ? s[0] == 0 : s[0] >= 0, "starts[0]", all ? "0" : "at least 0", s[0]);
  for (size_t n = 1; n < size; ++n) {
    if (s[n - 1] > s[n]) {
      fail("starts[" + std::to_string(n) + "]", "at least " + std::to_string(s[n - 1]), std::to_string(s[n]));
    }
  }
  const std::string end = "the " + std::to_string(rows) + " rows";
  require(all ? s[size - 1] == rows : s[size - 1] <= rows, "the end of starts", all ? end : "at most " + end,
          s[size - 1]);
  return starts;
}

void check_texts(const Texts& texts, int vocab, int positions) {
  for (int64_t n = 0; n < texts.count; ++n) {
    const std::string of = " of text " + std::to_string(n);
    const int64_t length = texts.starts[n + 1] - texts.starts[n];
    require(length <= positions, "length" + of, "at most " + std::to_string(positions) + " positions", length);
    require(texts.attended[n] >= (length > 0) && texts.attended[n] <= length, "attended" + of,
            length ? "1 to " + std::to_string(length) : "0", texts.attended[n]);
    for (int64_t t = texts.starts[n]; t < texts.starts[n + 1]; ++t) {
      const int32_t id = texts.ids[t];
      if (id < 0 || id >= vocab) fail("an id" + of, "0 to " + std::to_string(vocab - 1), std::to_string(id));
    }
  }
}

int threads_of(nb::handle threads) {
  int count = -1;
  if (PyBool_Check(threads.ptr()) || !nb::try_cast(threads, count, false) || count < 0) {
    fail("threads", "a whole number from 0 to 2147483647", written(nb::repr(threads)));
  }
  return count;
}

nb::tuple items_of(nb::handle part, size_t count, const char* names) {
  if (!PyTuple_Check(part.ptr())) fail("part", names, describe(part));
  const auto items = nb::borrow<nb::tuple>(part);
  if (items.size() != count) fail("part", names, std::to_string(items.size()) + " items");
  return items;
}

void check_bits(int bits) { require(bits == 8 || bits == 4 || bits == 2, "bits", "8, 4 or 2", bits); }

}  // namespace femto
