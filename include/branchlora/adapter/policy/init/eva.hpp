/// @file
/// EVA: Paischer et al., "Parameter Efficient Fine-tuning via Explained Variance Adaptation",
/// NeurIPS 2025 (arXiv 2410.07170).
#pragma once

#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/init/singular.hpp"

namespace branchlora::init {

/// A explains the most variance of the inputs: with X, tokens x d_in, less its mean row,
///
///     X = U S V^T,    A = V_r^T,    B = 0
///
/// of the R largest singular values, in their order; V is found as the eigenvectors of the
/// covariance X^T X. That the mean is taken off is the released code's and PEFT's, whose
/// incremental PCA this is without its truncation.
///
/// Our reading: ranks are not redistributed among layers (PEFT's rho = 1), there is no whitening,
/// and every token of the samples counts, prompts too; PEFT counts those of answers by default.
struct Eva {
  using Category = category::Init;
  static constexpr Needs needs{.inputs = true};
  static constexpr bool residual = false;
  static constexpr std::string_view name() { return "init::Eva"; }
  static Factors start(const Given& given) {
    HostMatrix<double> covariance = given.moment;
    for (Index r = 0; r < covariance.rows; ++r) {
      for (Index c = 0; c < covariance.cols; ++c) {
        covariance.values[static_cast<std::size_t>(r * covariance.cols + c)] -=
            given.mean.values[static_cast<std::size_t>(r)] *
            given.mean.values[static_cast<std::size_t>(c)];
      }
    }
    const Svd parts = decompose(given, covariance, given.rank, name());
    return {right_vectors(parts, 0, given.rank, [](Index) { return 1.0; }), {}};
  }
  bool operator==(const Eva&) const = default;
};

}  // namespace branchlora::init
