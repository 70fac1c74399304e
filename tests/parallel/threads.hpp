/// @file
/// Ranks that are threads of the test, so that what several do together is tested without MPI.
#pragma once

#include <algorithm>
#include <barrier>
#include <exception>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "branchlora/parallel/communicator.hpp"

namespace branchlora::test {

/// A rank among threads, a model of `parallel::Communicator`.
class ThreadRank {
 public:
  /// Where threads meet.
  struct Meeting {
    explicit Meeting(Index n) : barrier(n), values(static_cast<std::size_t>(n)) {}
    std::barrier<> barrier;
    std::vector<const void*> values;  ///< Of each rank.
  };

  ThreadRank(Meeting& meeting, Index rank) : meeting_(&meeting), rank_(rank) {}

  Index rank() const { return rank_; }
  Index size() const { return std::ssize(meeting_->values); }

  template <class T>
  void sum(std::span<T> values) const {
    exchange(values, [&](std::size_t i) {
      T total = of<T>(0)[i];
      for (std::size_t r = 1; r < meeting_->values.size(); ++r) total += of<T>(r)[i];
      return total;
    });
  }
  template <class T>
  void broadcast(std::span<T> values) const {
    exchange(values, [&](std::size_t i) { return of<T>(0)[i]; });
  }

 private:
  template <class T>
  const T* of(std::size_t rank) const {
    return static_cast<const T*>(meeting_->values[rank]);
  }

  /// Puts f(i) in the place of each value, computed from the values of all ranks as they were.
  template <class T, class F>
  void exchange(std::span<T> values, F f) const {
    meeting_->values[static_cast<std::size_t>(rank_)] = values.data();
    meeting_->barrier.arrive_and_wait();
    std::vector<T> result;
    for (std::size_t i = 0; i < values.size(); ++i) result.push_back(f(i));
    meeting_->barrier.arrive_and_wait();
    std::ranges::copy(result, values.begin());
    meeting_->barrier.arrive_and_wait();
  }

  Meeting* meeting_;
  Index rank_;
};

static_assert(parallel::Communicator<ThreadRank>);

/// Runs f(rank) in `n` threads and returns what each found. Rethrows the first error.
template <class F>
auto on_ranks(Index n, F f) {
  ThreadRank::Meeting meeting(n);
  std::vector<std::invoke_result_t<F, ThreadRank>> results(static_cast<std::size_t>(n));
  std::vector<std::exception_ptr> errors(results.size());
  std::vector<std::jthread> threads;
  for (Index r = 0; r < n; ++r) {
    threads.emplace_back([&, r, k = static_cast<std::size_t>(r)] {
      try {
        results[k] = f(ThreadRank(meeting, r));
      } catch (...) {
        errors[k] = std::current_exception();
        meeting.barrier.arrive_and_drop();
      }
    });
  }
  threads.clear();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return results;
}

}  // namespace branchlora::test
