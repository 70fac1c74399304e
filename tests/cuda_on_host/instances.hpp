/// @file
/// What several tests of the CUDA backend run and whose code weighs most, compiled once for all of
/// them: `prefix` is `extern` in the precompiled header and empty in `instances/`.
#pragma once

#include <memory>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/cuda/backend.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/model/instances.hpp"
#include "branchlora/optim/adamw.hpp"
#include "cuda/cases.hpp"
#include "cuda/model_cases.hpp"

/// The adapter of the variant that is named last on backend `B`, in namespace `branchlora`.
#define BRANCHLORA_ADAPTER_INSTANCE(prefix, B, ...)                            \
  prefix template std::unique_ptr<AnyAdapter<B>> make_adapter<B, __VA_ARGS__>( \
      ParameterSet<B>&, const Place&, MatrixView<const B::Scalar>, const Hyper&, const Random&);

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

/// What models and adapters have in common on backend `B`: the variants of `model_cases`, and all
/// primitives.
#define BRANCHLORA_CASE_INSTANCES(prefix, B, T)                                         \
  namespace branchlora {                                                                \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, B, BranchLora<3, 4, 2>)                           \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, B, MoeLora<3, 4>::with<TopK<2>, balance::Switch>) \
  }                                                                                     \
  namespace branchlora::test {                                                          \
  prefix template std::vector<Case<B>> primitive_cases<B>();                            \
  }                                                                                     \
  BRANCHLORA_OP_INSTANCES(prefix, B, T)

/// The same on the CUDA backend `B`, with its own classes and the parts of the model.
#define BRANCHLORA_ON_HOST_INSTANCES(prefix, B, T)           \
  namespace branchlora {                                     \
  prefix template class ParameterSet<B>;                     \
  prefix template class Tape<B>;                             \
  prefix template class AdamW<B>;                            \
  prefix template class AdaptedLinear<B>;                    \
  prefix template class nn::Linear<B>;                       \
  prefix template class test::Matrix<B>;                     \
  prefix template double gradient_norm<B>(ParameterSet<B>&); \
  }                                                          \
  BRANCHLORA_CASE_INSTANCES(prefix, B, T)                    \
  BRANCHLORA_MODEL_INSTANCES(prefix, B)

/// All that is compiled in `instances/float.cpp`: single precision is what most tests run.
#define BRANCHLORA_FLOAT_INSTANCES(prefix)                                                \
  namespace branchlora::cuda {                                                            \
  prefix template class Backend<float>;                                                   \
  }                                                                                       \
  BRANCHLORA_ON_HOST_INSTANCES(prefix, cuda::Backend<float>, float)                       \
  namespace branchlora {                                                                  \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, Lora<4>)                      \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, MoeLora<3, 4>)                \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, MoeLora<3, 4>::with<TopK<2>>) \
  BRANCHLORA_ADAPTER_INSTANCE(prefix, cuda::Backend<float>, HydraLora<3, 4>)              \
  BRANCHLORA_ADAPTER_INSTANCE(                                                            \
      prefix, cuda::Backend<float>,                                                       \
      BranchLora<3, 4, 2>::with<router::PerTask<router::Linear<per::Token>>>)             \
  }                                                                                       \
  namespace branchlora::test {                                                            \
  prefix template struct cases::TinyModel<BranchLora<3, 4, 2>, cuda::Backend<float>>;     \
  }

/// All that is compiled in `instances/double.cpp`.
#define BRANCHLORA_DOUBLE_INSTANCES(prefix)                           \
  namespace branchlora::cuda {                                        \
  prefix template class Backend<double>;                              \
  }                                                                   \
  BRANCHLORA_ON_HOST_INSTANCES(prefix, cuda::Backend<double>, double) \
  BRANCHLORA_CASE_INSTANCES(prefix, eigen::Backend<double>, double)
