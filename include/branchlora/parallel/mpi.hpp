/// @file
/// The communicator of processes that MPI started. For who has MPI and links it: no other header of
/// the library includes this one.
#pragma once

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "branchlora/parallel/communicator.hpp"

namespace branchlora::parallel {

/// MPI from here to the end of the program's `main`, for programs that call it from one thread.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv) {
    int given = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &given);
  }
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession() { MPI_Finalize(); }
};

/// The processes of an MPI communicator, a model of `Communicator`; to be used within an
/// `MpiSession`. What MPI finds wrong ends all processes with MPI's own message.
class Mpi {
 public:
  explicit Mpi(MPI_Comm communicator = MPI_COMM_WORLD) : communicator_(communicator) {
    MPI_Comm_rank(communicator_, &rank_);
    MPI_Comm_size(communicator_, &size_);
  }

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// The number of this process among those of its machine. To be called by all.
  int local_rank() const {
    MPI_Comm machine = MPI_COMM_NULL;
    MPI_Comm_split_type(communicator_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine);
    int local = 0;
    MPI_Comm_rank(machine, &local);
    MPI_Comm_free(&machine);
    return local;
  }

  /// Each rank adds one part of the values, in the order of the ranks, and hands it to all. That is
  /// the traffic of a good all-reduce, but MPI does not promise in which order that one adds.
  template <std::floating_point T>
  void sum(std::span<T> values) const {
    const auto ranks = static_cast<std::size_t>(size_);
    const auto part = (values.size() + ranks - 1) / ranks;
    std::vector<T> all(values.begin(), values.end());
    all.resize(part * ranks);
    std::vector<T> parts(part * ranks);  // this rank's part, of each rank
    MPI_Alltoall(all.data(), count(part), type<T>(), parts.data(), count(part), type<T>(),
                 communicator_);
    for (std::size_t i = part; i < parts.size(); ++i) parts[i % part] += parts[i];
    MPI_Allgather(parts.data(), count(part), type<T>(), all.data(), count(part), type<T>(),
                  communicator_);
    std::copy_n(all.begin(), values.size(), values.begin());
  }

  /// Puts the values of rank 0 in place of the others'.
  template <std::floating_point T>
  void broadcast(std::span<T> values) const {
    MPI_Bcast(values.data(), count(values.size()), type<T>(), 0, communicator_);
  }

  /// Called by every process with what went wrong in it, or with nothing: waits for all, without
  /// keeping a processor busy, and returns the same in each, which is the first process's error or
  /// nothing. A process with an error waits for `patience` only, which is for others that have the
  /// same; then it aborts.
  std::string agree(const std::string& error,
                    std::chrono::milliseconds patience = std::chrono::seconds(5)) const {
    const int length = count(error.size());
    std::vector<int> lengths(static_cast<std::size_t>(size_));
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, communicator_, &request);
    const auto start = std::chrono::steady_clock::now();
    int done = 0;
    for (MPI_Test(&request, &done, MPI_STATUS_IGNORE); done == 0;
         MPI_Test(&request, &done, MPI_STATUS_IGNORE)) {
      if (length > 0 && std::chrono::steady_clock::now() - start > patience) abort(error);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const auto first = std::ranges::find_if(lengths, [](int n) { return n > 0; });
    if (first == lengths.end()) return {};
    const auto speaker = static_cast<int>(first - lengths.begin());
    std::string message = error;
    message.resize(static_cast<std::size_t>(*first));
    MPI_Bcast(message.data(), *first, MPI_CHAR, speaker, communicator_);
    const bool everywhere = std::ranges::count(lengths, 0) == 0;
    return everywhere ? message : told(speaker, message);
  }

  /// Prints this process's error and ends all processes.
  [[noreturn]] void abort(const std::string& error) const {
    fmt::print(stderr, "{}\n", told(rank_, error));
    std::fflush(stderr);
    MPI_Abort(communicator_, EXIT_FAILURE);
    std::abort();
  }

 private:
  std::string told(int rank, const std::string& error) const {
    return fmt::format("process {} of {}: {}", rank + 1, size_, error);
  }

  static int count(std::size_t n) {
    expect(n <= static_cast<std::size_t>(std::numeric_limits<int>::max()),
           "MPI: expected at most {} items in a message, found {}", std::numeric_limits<int>::max(),
           n);
    return static_cast<int>(n);
  }

  template <class T>
  static MPI_Datatype type() {
    static_assert(std::same_as<T, float> || std::same_as<T, double>,
                  "MPI communicates numbers of type float and double");
    return std::same_as<T, float> ? MPI_FLOAT : MPI_DOUBLE;
  }

  MPI_Comm communicator_;
  int rank_ = 0;
  int size_ = 1;
};

static_assert(Communicator<Mpi>);

}  // namespace branchlora::parallel
