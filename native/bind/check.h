// The boundary: arrays from Python, borrowed without a copy once they are what they must be.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bert/bert.h"
#include "bert/encoder.h"

namespace femto {

namespace nb = nanobind;

// Becomes femtosearch.errors.ShapeError.
struct ShapeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr int64_t kAny = -1;        // any size, in an expected shape
constexpr int64_t kMost = 1 << 16;  // the most dims or query rows: sums of products stay within int32

template <class T>
using Borrowed = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;

// The array as C-ordered T of this shape, or ShapeError.
template <class T>
Borrowed<T> borrow(nb::handle array, const std::string& name, const std::vector<int64_t>& shape);

extern template Borrowed<float> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
extern template Borrowed<bool> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
extern template Borrowed<int8_t> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
extern template Borrowed<int32_t> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);
extern template Borrowed<int64_t> borrow(nb::handle, const std::string&, const std::vector<int64_t>&);

// Raises ShapeError: "name: expected ..., found ...".
[[noreturn]] void fail(const std::string& name, const std::string& expected, const std::string& found);
void require(bool good, const std::string& name, const std::string& expected, int64_t found);

// starts [N+1], N >= 0, rising within 0..rows; `all`: from 0 to rows.
Borrowed<int64_t> borrow_starts(nb::handle starts, int64_t rows, bool all);

void check_texts(const Texts& texts, int vocab, int positions);
// The number of threads that a caller asks for; 0 is every core that this process may use.
int threads_of(nb::handle threads);

// A tuple of so many items, or ShapeError that lists their names.
nb::tuple items_of(nb::handle part, size_t count, const char* names);

void check_bits(int bits);  // of a coded number

// A Bert, and what keeps its arrays alive.
struct Weights {
  Bert bert;
  std::vector<Layer> layers;
  std::vector<Linear> dense;
  std::vector<Borrowed<float>> arrays;
};

// Fills `weights`, whose `bert` has the sizes, from arrays by Hugging Face's names and [(weight, bias or None)].
void borrow_weights(const nb::dict& source, const nb::list& dense, int types, Weights& weights);

}  // namespace femto
