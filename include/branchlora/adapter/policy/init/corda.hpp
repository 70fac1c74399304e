/// @file
/// CorDA: Yang et al., "CorDA: Context-Oriented Decomposition Adaptation of Large Language Models",
/// NeurIPS 2024 (arXiv 2406.05223).
#pragma once

#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/init/singular.hpp"

namespace branchlora::init {

/// The part of the weight that the task's inputs use most trains, the rest is frozen: with the
/// second moment C = X^T X of the inputs over tokens, as a mean, and W C = U S V^T,
///
///     A = (S_r / s)^(1/2) V_r^T C^-1,    B = U_r (S_r / s)^(1/2),    residual W - s B A
///
/// of the R largest singular values: the authors' instruction-previewed adaptation (IPM), which
/// learns the task; their knowledge-preserved one takes the smallest, of inputs whose knowledge is
/// to be kept. C gets 0.01 of its mean diagonal added to the diagonal, as theirs. C is not
/// inverted: V_r^T C^-1 = S_r^-1 U_r^T W, so that s B A = U_r U_r^T W.
///
/// Our reading: the authors and PEFT divide the inputs of each sample by their largest before,
/// which changes what a sample weighs in C, and how B A is shared out between B and A. That s
/// divides S is PEFT's.
struct Corda {
  using Category = category::Init;
  static constexpr Needs needs{.weight = true, .inputs = true};
  static constexpr bool residual = true;
  static constexpr std::string_view name() { return "init::Corda"; }
  static Factors start(const Given& given) {
    HostMatrix<double> moment = given.moment;
    const Index n = moment.rows;
    double trace = 0;
    for (Index i = 0; i < n; ++i) trace += moment.values[static_cast<std::size_t>(i * (n + 1))];
    for (Index i = 0; i < n; ++i) {
      moment.values[static_cast<std::size_t>(i * (n + 1))] += 0.01 * trace / static_cast<double>(n);
    }
    const Svd parts = decompose(given, times(given.weight, moment), given.rank, name());
    expect(value(parts, given.rank - 1) > 0,
           "{}: init::Corda at rank {} reads {} singular values above 0, but its weight times the "
           "moment of its inputs has fewer",
           given.layer, given.rank, given.rank);
    const auto root = [&](Index i) { return std::sqrt(value(parts, i) / given.scale); };
    const HostMatrix<double> left =
        left_vectors(parts, 0, given.rank, [&](Index i) { return root(i) / value(parts, i); });
    return {times(left, given.weight), left_vectors(parts, 0, given.rank, root)};
  }
  bool operator==(const Corda&) const = default;
};

}  // namespace branchlora::init
