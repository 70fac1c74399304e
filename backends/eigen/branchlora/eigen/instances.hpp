/// @file
/// The functions of the Eigen backend whose code weighs most, for programs that compile them once.
///
/// A program of several sources includes this in each of them and says
/// `BRANCHLORA_EIGEN_INSTANCES(extern)`; one of its sources says `BRANCHLORA_EIGEN_INSTANCES()`.
#pragma once

#include "branchlora/eigen/backend.hpp"

/// Explicit instantiations for backends of `T`, in namespace `branchlora::eigen`.
#define BRANCHLORA_EIGEN_INSTANCES_OF(prefix, T)                                                  \
  prefix template void product<T>(Op, Op, T, MatrixView<const T>, MatrixView<const T>,            \
                                  MatrixView<T>, bool);                                           \
  prefix template void skinny_dot<T>(MatrixView<const T>, MatrixView<const T>, T, MatrixView<T>,  \
                                     bool, const Chosen&, int);                                   \
  prefix template void skinny_axpy<T>(MatrixView<const T>, MatrixView<const T>, T, MatrixView<T>, \
                                      bool, const Chosen&, int);                                  \
  prefix template void skinny_outer<T>(MatrixView<const T>, MatrixView<const T>, T,               \
                                       MatrixView<T>, bool, const Chosen&, int);                  \
  prefix template void attention_forward<T>(const Sequences&, const AttentionShape&,              \
                                            MatrixView<const T>, MatrixView<const T>,             \
                                            MatrixView<const T>, MatrixView<T>, T*, int);         \
  prefix template void attention_backward<T>(                                                     \
      const Sequences&, const AttentionShape&, MatrixView<const T>, MatrixView<const T>,          \
      MatrixView<const T>, const T*, MatrixView<const T>, MatrixView<T>, MatrixView<T>,           \
      MatrixView<T>, int);                                                                        \
  prefix template void attention_cached<T>(const KeyRange*, const AttentionShape&,                \
                                           MatrixView<const T>, MatrixView<const T>,              \
                                           MatrixView<const T>, MatrixView<T>, int);

/// The same for frozen weights packed in `S`.
#define BRANCHLORA_EIGEN_INSTANCES_IN(prefix, S)                                            \
  prefix template class PackedMatrix<S>;                                                    \
  prefix template void multiply<S>(MatrixView<const float>, const PackedMatrix<S>&, bool,   \
                                   MatrixView<float>, int, const LowRankTerms<float>&,      \
                                   TermOrder, const TokenWork<float>&);

/// All of them.
#define BRANCHLORA_EIGEN_INSTANCES(prefix)        \
  namespace branchlora::eigen {                   \
  BRANCHLORA_EIGEN_INSTANCES_OF(prefix, float)    \
  BRANCHLORA_EIGEN_INSTANCES_OF(prefix, double)   \
  BRANCHLORA_EIGEN_INSTANCES_IN(prefix, float)    \
  BRANCHLORA_EIGEN_INSTANCES_IN(prefix, bfloat16) \
  }
