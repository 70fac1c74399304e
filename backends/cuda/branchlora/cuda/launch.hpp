/// @file
/// The kernels that run any body: over elements, over rows, over rows with memory of their own.
#pragma once

#include <type_traits>

#include "branchlora/cuda/runtime.hpp"
#include "branchlora/cuda/team.hpp"

namespace branchlora::cuda {

namespace kernel {

/// body(i) for each element, a thread each.
template <class Body>
__global__ void elements(Index n, Body body) {
  const Index i = Index{blockIdx.x} * Index{blockDim.x} + Index{threadIdx.x};
  if (i < n) body(i);
}

/// body(team, i) for each row, a team each.
template <class T, int Threads, class Body>
__global__ void rows(Index n, Body body) {
  const Team<T, Threads> team;
  const Index teams = Index{blockDim.x} / Threads;
  const Index i = Index{blockIdx.x} * teams + Index{threadIdx.x} / Threads;
  if (i < n && team.takes_part()) body(team, i);
}

/// body(team, i, memory) for each row, a block each, with `Size` scalars that the block shares.
template <class T, int Threads, int Size, class Body>
__global__ void rows_with_memory(Index n, Body body) {
  __shared__ T memory[Size];
  const Team<T, Threads> team;
  const Index i = Index{blockIdx.x};
  if (i < n && team.takes_part()) body(team, i, memory);
}

}  // namespace kernel

/// Launches a kernel of one-dimensional blocks; `what` names it in an error.
template <class... Parameters>
void launch(const char* what, void (*kernel)(Parameters...), Index blocks, int threads,
            cudaStream_t stream, std::type_identity_t<Parameters>... arguments) {
  expect(blocks <= 0x7FFFFFFF, "CUDA: {}: expected at most 2^31 - 1 blocks, found {}", what,
         blocks);
  void* pointers[] = {&arguments...};
  check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)),
                         dim3(static_cast<unsigned>(threads)), pointers, 0, stream),
        what);
}

/// body(i) for i in 0 .. n - 1. Few elements are spread over small blocks, which fill more of the
/// device.
template <class Body>
void launch_elements(const char* what, Index n, const Body& body, cudaStream_t stream) {
  if (n <= 0) return;
  const int threads = n < 32768 ? 32 : 256;
  launch(what, kernel::elements<Body>, (n + threads - 1) / threads, threads, stream, n, body);
}

/// body(team, i) for i in 0 .. n - 1. Many rows take a warp each, few take a block each.
template <class T, class Body>
void launch_rows(const char* what, Index n, const Body& body, cudaStream_t stream) {
  if (n <= 0) return;
  if (n < 16384) {
    launch(what, kernel::rows<T, 256, Body>, n, 256, stream, n, body);
  } else {
    launch(what, kernel::rows<T, 32, Body>, (n + 7) / 8, 256, stream, n, body);
  }
}

}  // namespace branchlora::cuda
