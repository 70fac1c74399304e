/// The backend that studies run on, by CMake's option BRANCHLORA_BACKEND.
#pragma once

#if defined(BRANCHLORA_BACKEND_CUDA)
#include "branchlora/cuda/backend.hpp"
#else
#include "branchlora/eigen/instances.hpp"
#endif

namespace study {

#if defined(BRANCHLORA_BACKEND_CUDA)
/// The first GPU, which has threads enough.
struct Backend : branchlora::cuda::Backend<float> {
  explicit Backend(int /*threads*/) {}
};
#else
using Backend = branchlora::eigen::Backend<float>;
#endif

}  // namespace study

// instances/kernels.cpp compiles the kernels for all programs.
#if !defined(BRANCHLORA_BACKEND_CUDA)
BRANCHLORA_EIGEN_INSTANCES(extern)
#endif
