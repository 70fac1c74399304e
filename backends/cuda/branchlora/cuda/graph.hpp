/// @file
/// A step that is recorded once and then replayed as one launch.
#pragma once

#include <cstdint>
#include <utility>

#include "branchlora/cuda/memory.hpp"

namespace branchlora::cuda {

/// What `Backend::capture` recorded, for `Backend::replay`, with the host data that it uploads.
/// Must go before its backend.
class Graph {
 public:
  /// Records what `step()` queues on the stream, without doing it.
  template <class F>
  Graph(cudaStream_t stream, Pool& pool, Staging& staging, F step)
      : stream_(stream), pool_(&pool), uploads_(stream), released_(pool.released()) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a step");
    cudaGraph_t recorded = nullptr;
    try {
      const Recording recording(pool, staging, uploads_);
      step();
    } catch (...) {
      cudaStreamEndCapture(stream, &recorded);
      cudaGetLastError();
      if (recorded != nullptr) cudaGraphDestroy(recorded);
      throw;
    }
    check(cudaStreamEndCapture(stream, &recorded), "recording a step");
    const GraphSource source(recorded);
    cudaGraphExec_t program = nullptr;
    check(cudaGraphInstantiate(&program, recorded, 0), "preparing a recorded step");
    program_.reset(program);
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

  cudaStream_t stream_;
  Pool* pool_;
  Staging uploads_;
  std::uint64_t released_;
  GraphProgram program_;
};

}  // namespace branchlora::cuda
