// New numpy arrays.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace femto {

namespace nb = nanobind;

template <class T>
using Returned = nb::ndarray<nb::numpy, T>;

// A new numpy array, which owns its memory; every number of it has yet to be written.
template <class T>
Returned<T> fresh(std::initializer_list<size_t> shape) {
  size_t size = 1;
  for (size_t n : shape) size *= n;
  T* memory = new T[size + 1];
  nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return Returned<T>(memory, shape, owner);
}

}  // namespace femto
