/// @file
/// PiSSA: Meng et al., "PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large
/// Language Models", NeurIPS 2024 (arXiv 2404.02948).
#pragma once

#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/init/singular.hpp"

namespace branchlora::init {

/// The principal part of the weight trains, the rest is frozen: with W = U S V^T,
///
///     A = (S_r / s)^(1/2) V_r^T,    B = U_r (S_r / s)^(1/2),    residual W - s B A
///
/// of the R largest singular values, so that s B A = U_r S_r V_r^T. The authors have s = 1; that s
/// divides S is PEFT's, with which this agrees up to a common sign of a row of A and its column of
/// B (`svd`). PEFT asks for no dropout with it.
struct Pissa {
  using Category = category::Init;
  static constexpr Needs needs{.weight = true};
  static constexpr bool residual = true;
  static constexpr std::string_view name() { return "init::Pissa"; }
  static Factors start(const Given& given) {
    const Svd parts = decompose(given, given.weight, given.rank, "init::Pissa");
    return {right_vectors(parts, 0, given.rank,
                          [&](Index i) { return std::sqrt(value(parts, i) / given.scale); }),
            left_vectors(parts, 0, given.rank,
                         [&](Index i) { return std::sqrt(value(parts, i) / given.scale); })};
  }
  bool operator==(const Pissa&) const = default;
};

}  // namespace branchlora::init
