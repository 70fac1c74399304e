/// @file
/// LoRA-GA: Wang et al., "LoRA-GA: Low-Rank Adaptation with Gradient Approximation", NeurIPS 2024
/// (arXiv 2407.05000).
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/init/singular.hpp"

namespace branchlora::init {

/// The first step of the factors is near the one of the weight: with its gradient G = U S V^T,
///
///     A = f V_(1..R)^T,    B = f U_(R+1..2R),    f = d_out^(1/4) / gamma^(1/2),
///     residual W - s B A
///
/// The authors' form ("stable", directions "ArB2r"), with their gamma = 16. PEFT's differs in size,
/// not in directions: its A has no f, and its B has the singular values of the gradient beside f,
/// so that its size depends on that of the loss.
///
/// Our reading: f is the same whatever the scaling policy makes of s; the authors run it with
/// rsLoRA's. G is of the mean loss over the tokens of `Options::start_samples`.
template <int Gamma = 16>
struct LoraGa {
  static_assert(Gamma >= 1, "The gamma of init::LoraGa<gamma> must be at least 1.");
  using Category = category::Init;
  static constexpr Needs needs{.gradient = true};
  static constexpr bool residual = true;
  static std::string name() { return fmt::format("init::LoraGa<{}>", Gamma); }
  static Factors start(const Given& given) {
    const Svd parts = decompose(given, given.gradient, 2 * given.rank, name());
    const double f = std::pow(static_cast<double>(given.gradient.rows), 0.25) / std::sqrt(Gamma);
    const auto size = [f](Index) { return f; };
    return {right_vectors(parts, 0, given.rank, size),
            left_vectors(parts, given.rank, given.rank, size)};
  }
  bool operator==(const LoraGa&) const = default;
};

}  // namespace branchlora::init
