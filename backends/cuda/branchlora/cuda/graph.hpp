/// @file
/// Steps that are recorded and launched as one piece of work.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "branchlora/cuda/memory.hpp"

namespace branchlora::cuda {

/// While it lives, nothing is allocated, and uploads go through memory of the graph.
class Recording {
 public:
  Recording(Pool& pool, Staging& usual, Staging& own) : pool_(pool), usual_(usual), own_(own) {
    std::swap(usual_, own_);
    pool_.set_recording(true);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording() {
    std::swap(usual_, own_);
    pool_.set_recording(false);
  }

 private:
  Pool& pool_;
  Staging& usual_;
  Staging& own_;
};

/// Records what `step()` queues on the stream, without doing it. What it uploads is kept in `own`.
template <class F>
GraphSource record(cudaStream_t stream, Pool& pool, Staging& usual, Staging& own, F step) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a step");
  cudaGraph_t recorded = nullptr;
  try {
    const Recording recording(pool, usual, own);
    step();
  } catch (...) {
    cudaStreamEndCapture(stream, &recorded);
    cudaGetLastError();
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    throw;
  }
  check(cudaStreamEndCapture(stream, &recorded), "recording a step");
  return GraphSource(recorded);
}

/// What was recorded, ready to be launched.
inline GraphProgram prepare(const GraphSource& source) {
  cudaGraphExec_t program = nullptr;
  check(cudaGraphInstantiate(&program, source.get(), 0), "preparing a recorded step");
  return GraphProgram(program);
}

/// What `Backend::capture` recorded, for `Backend::replay`, with the host data that it uploads.
/// Must go before its backend.
class Graph {
 public:
  /// Records what `step()` queues on the stream, without doing it.
  template <class F>
  Graph(cudaStream_t stream, Pool& pool, Staging& staging, F step)
      : stream_(stream), pool_(&pool), uploads_(stream), released_(pool.released()) {
    program_ = prepare(record(stream, pool, staging, uploads_, step));
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  /// Waits, since a replay may still read what it uploads.
  ~Graph() { cudaStreamSynchronize(stream_); }

  /// Queues the step. Throws `Error` if memory was given back since it was recorded, which it may
  /// have used.
  void launch() const {
    expect(pool_->released() == released_,
           "CUDA: a recorded step can be replayed until memory is given back; that was done {} "
           "times since",
           pool_->released() - released_);
    check(cudaGraphLaunch(program_.get(), stream_), "replaying a step");
  }

 private:
  cudaStream_t stream_;
  Pool* pool_;
  Staging uploads_;
  std::uint64_t released_;
  GraphProgram program_;
};

/// Launches the steps of one shape as one piece of work each, whatever their data and arguments
/// are: each is recorded anew, and the program that is launched is brought up to date with it.
///
///     cuda::GraphedStep graphed;
///     for (...) backend.run(graphed, [&] { ... });
///
/// A step may neither wait nor, from the third on, allocate: the first two are run as they are,
/// which lets arenas and workspaces grow to their size. Must go before its backend.
class GraphedStep {
 public:
  GraphedStep() = default;
  GraphedStep(const GraphedStep&) = delete;
  GraphedStep& operator=(const GraphedStep&) = delete;
  /// Waits, since a launch may still read what it uploads.
  ~GraphedStep() {
    if (stream_ != nullptr) cudaStreamSynchronize(stream_);
  }

  /// Does `step()`. Throws `Error` if it can not be recorded; nothing was done then.
  template <class F>
  void operator()(cudaStream_t stream, Pool& pool, Staging& usual, F step) {
    if (plain_ < 2) {
      step();
      ++plain_;
      return;
    }
    stream_ = stream;
    // While one launch may still read its data, the next step's are put into the other memory.
    Turn& turn = turns_[launches_ % turns_.size()];
    if (turn.uploads) {
      check(cudaEventSynchronize(turn.done.get()), "waiting for a recorded step");
      turn.uploads->clear();
    } else {
      turn.done = make_event();
      turn.uploads.emplace(stream);
    }
    const GraphSource source = record(stream, pool, usual, *turn.uploads, step);
    update(source);
    check(cudaGraphLaunch(program_.get(), stream), "launching a recorded step");
    check(cudaEventRecord(turn.done.get(), stream), "marking a recorded step");
    ++launches_;
  }

  /// How many steps were launched as one.
  Index launches() const { return static_cast<Index>(launches_); }
  /// How often a step could not take over the program of the one before.
  Index rebuilds() const { return rebuilds_; }

 private:
  struct Turn {
    std::optional<Staging> uploads;
    Event done;
  };

  void update(const GraphSource& source) {
    if (program_) {
      cudaGraphExecUpdateResultInfo info{};
      if (cudaGraphExecUpdate(program_.get(), source.get(), &info) == cudaSuccess) return;
      cudaGetLastError();
      check(cudaStreamSynchronize(stream_), "waiting for a recorded step");
      ++rebuilds_;
    }
    program_ = prepare(source);
  }

  cudaStream_t stream_ = nullptr;
  std::array<Turn, 2> turns_;
  GraphProgram program_;
  std::size_t launches_ = 0;
  int plain_ = 0;
  Index rebuilds_ = 0;
};

}  // namespace branchlora::cuda
