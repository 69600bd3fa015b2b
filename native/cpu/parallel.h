// Threads that share one counter of work.
#pragma once
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace femto {

constexpr size_t kLine = 16;  // floats in a cache line

// The first whole cache line in storage that has one to spare.
inline float* aligned(float* storage) {
  const size_t past = reinterpret_cast<uintptr_t>(storage) / sizeof(float) % kLine;
  return past ? storage + (kLine - past) : storage;
}

constexpr int kMostThreads = 256;

// Floats for each thread to work with, on cache lines of its own: two threads that write to one line wait for each
// other at every write.
class PerThread {
 public:
  PerThread(int threads, size_t floats)
      : stride_((floats + kLine - 1) / kLine * kLine), storage_(threads * stride_ + kLine) {}

  float* of(int thread) { return aligned(storage_.data()) + thread * stride_; }

 private:
  size_t stride_;
  std::vector<float> storage_;
};

// The cores that this process may use, where the caller says 0; never more threads than pieces of work.
inline int thread_count(int asked, int64_t pieces) {
  if (asked == 0) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) asked = CPU_COUNT(&set);
#endif
    if (asked == 0) asked = int(std::thread::hardware_concurrency());
  }
  return int(std::clamp<int64_t>(std::min<int64_t>(asked, pieces), 1, kMostThreads));
}

// Calls work(thread, piece) once for every piece, on `threads` threads, this one among them. Where the system gives
// fewer threads, those that there are do the work. What `work` throws first ends the work of all, and is thrown here
// when all have ended.
template <class Work>
void share(int threads, int64_t pieces, Work work) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  const auto run = [&](int thread) noexcept {
    try {
      for (int64_t piece; (piece = next.fetch_add(1)) < pieces;) work(thread, piece);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
      next = pieces;
    }
  };
  std::vector<std::thread> workers;
  workers.reserve(threads);
  try {
    while (int(workers.size()) < threads - 1) workers.emplace_back(run, int(workers.size()) + 1);
  } catch (const std::exception&) {  // no more threads, or no memory for one
  }
  run(0);
  for (auto& worker : workers) worker.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace femto
