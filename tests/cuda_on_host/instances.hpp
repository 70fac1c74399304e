/// @file
/// What several tests of the CUDA backend run and whose code weighs most, compiled once for all of
/// them: `prefix` is `extern` in the precompiled header and empty in `instances/`.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/autograd/parameter.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/cuda/backend.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/model/instances.hpp"
#include "branchlora/nn/linear.hpp"
#include "branchlora/optim/adamw.hpp"
#include "cuda/cases.hpp"
#include "cuda/groups.hpp"
#include "cuda/model_cases.hpp"
#include "cuda/operation_cases.hpp"
#include "cuda_on_host/bench.hpp"

/// The adapter of the variant that is named last on backend `B`, in namespace `branchlora`.
#define BRANCHLORA_ADAPTER_INSTANCE(prefix, B, ...) \
  prefix template Method<B> method_of<B, __VA_ARGS__>();

/// The operations of the tape on backend `B`, whose scalar is `T`.
#define BRANCHLORA_OP_INSTANCES(prefix, B, T)                                                    \
  namespace branchlora::op {                                                                     \
  prefix template Var<T> add<B>(Tape<B>&, Var<T>, Var<T>, T);                                    \
  prefix template Var<T> add_rows<B>(Tape<B>&, Var<T>, Var<T>);                                  \
  prefix template Var<T> attention<B>(Tape<B>&, const Sequences&, const AttentionShape&, Var<T>, \
                                      Var<T>, Var<T>);                                           \
  prefix template Var<T> cross_entropy<B>(Tape<B>&, Var<T>, std::span<const std::int32_t>);      \
  prefix template Var<T> dropout<B>(Tape<B>&, Var<T>, double, const Random&);                    \
  prefix template Var<T> frozen_linear<B>(Tape<B>&, Var<T>, const B::FrozenWeight&,              \
                                          MatrixView<const T>);                                  \
  prefix template Var<T> gather<B>(Tape<B>&, Var<T>, std::span<const std::int32_t>, T);          \
  prefix template Var<T> gelu<B>(Tape<B>&, Var<T>);                                              \
  prefix template Var<T> interleave<B>(Tape<B>&, Var<T>, Var<T>, std::span<const std::int32_t>); \
  prefix template Var<T> layer_norm<B>(Tape<B>&, Var<T>, Var<T>, Var<T>, double);                \
  prefix template Var<T> linear<B>(Tape<B>&, Var<T>, Var<T>);                                    \
  prefix template Var<T> linear<B>(Tape<B>&, Var<T>, Var<T>, Var<T>);                            \
  prefix template Var<T> quick_gelu<B>(Tape<B>&, Var<T>);                                        \
  prefix template Var<T> repeat_rows<B>(Tape<B>&, Var<T>, Index);                                \
  prefix template Var<T> reshape<B>(Tape<B>&, Var<T>, Index, Index);                             \
  prefix template Var<T> rms_norm<B>(Tape<B>&, Var<T>, Var<T>, double);                          \
  prefix template Var<T> rope<B>(Tape<B>&, Var<T>, const RopeTable<B>&, const std::int32_t*);    \
  prefix template Var<T> swiglu<B>(Tape<B>&, Var<T>, Var<T>);                                    \
  prefix template Var<T> weigh_rows<B>(Tape<B>&, Var<T>, Var<T>);                                \
  }

/// What models and adapters have in common on backend `B`: the operations, the cases of the
/// primitives, and the variants of `model_cases`.
#define BRANCHLORA_CASE_INSTANCES(prefix, B, T)                                         \
  namespace branchlora {                                                                \
  prefix template class ParameterSet<B>;                                                \
  prefix template class Tape<B>;                                                        \
  prefix template class AdamW<B>;                                                       \
  prefix template double gradient_norm<B>(ParameterSet<B>&);                            \
  prefix template class AdaptedLinear<B>;                                               \
  prefix template class nn::Linear<B>;                                                  \
  prefix template class op::RopeTable<B>;                                               \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, B, BranchLora<3, 4, 2>)                           \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, B, MoeLora<3, 4>::with<TopK<2>, balance::Switch>) \
  }                                                                                     \
  namespace branchlora::test {                                                          \
  prefix template class Matrix<B>;                                                      \
  prefix template Dense read<B>(B&, MatrixView<const T>);                               \
  prefix template void write<B>(B&, MatrixView<T>, const Dense&);                       \
  prefix template Entries run_cases<B>(const std::vector<Case<B>>&);                    \
  prefix template std::vector<Case<B>> primitive_cases<B>();                            \
  prefix template Results cases::adapter_of<B>(B&, const Method<B>&);                   \
  prefix template struct cases::TinyModelOf<B>;                                         \
  }                                                                                     \
  BRANCHLORA_OP_INSTANCES(prefix, B, T)

/// The same on the CUDA backend of `T`, with the backend and the parts of the model.
#define BRANCHLORA_ON_HOST_INSTANCES(prefix, T)          \
  namespace branchlora {                                 \
  prefix template class cuda::Backend<T>;                \
  prefix template class test::OnHost<T>;                 \
  }                                                      \
  BRANCHLORA_CASE_INSTANCES(prefix, cuda::Backend<T>, T) \
  BRANCHLORA_MODEL_INSTANCES(prefix, cuda::Backend<T>)

/// All that is compiled in `instances/float.cpp`: most tests are in single precision.
#define BRANCHLORA_FLOAT_INSTANCES(prefix)                                                \
  BRANCHLORA_ON_HOST_INSTANCES(prefix, float)                                             \
  namespace branchlora {                                                                  \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, Lora<4>)                      \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, MoeLora<3, 4>)                \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, MoeLora<3, 4>::with<TopK<2>>) \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, HydraLora<3, 4>)              \
  BRANCHLORA_ADAPTER_INSTANCE(                                                            \
      prefix, cuda::Backend<float>,                                                       \
      BranchLora<3, 4, 2>::with<router::PerTask<router::Linear<per::Token>>>)             \
  }

/// All that is compiled in `instances/double.cpp`: the Eigen backend is what others are compared
/// with.
#define BRANCHLORA_DOUBLE_INSTANCES(prefix)    \
  BRANCHLORA_ON_HOST_INSTANCES(prefix, double) \
  BRANCHLORA_CASE_INSTANCES(prefix, eigen::Backend<double>, double)
