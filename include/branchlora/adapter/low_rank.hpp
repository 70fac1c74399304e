/// @file
/// The low-rank products of a layer without gates: pairs of factors that are simply added up.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// Pairs of a linear layer of d_in inputs and d_out outputs,
///
///     y += s sum over i < used of B_i A_i x
///
/// with A_i of rank x d_in and B_i of d_out x rank (stored transposed). The A's lie one below the
/// other, and so do the B's: all pairs in use are one product down and one up.
template <Backend B>
class LowRank {
 public:
  using T = typename B::Scalar;

  /// Adds `pairs` frozen pairs under `name`: "lora_A" and "lora_B", numbered if there are several.
  /// A starts uniform in +-1/sqrt(d_in), B at zero.
  LowRank(ParameterSet<B>& parameters, const std::string& name, Index pairs, Index rank, Index d_in,
          Index d_out, const Random& random)
      : parameters_(&parameters), rank_(rank) {
    const auto rows = [&](const char* factor) {
      std::vector<typename ParameterSet<B>::Entry> entries;
      for (Index i = 0; i < pairs; ++i) {
        entries.push_back({name + factor + (pairs > 1 ? "." + std::to_string(i) : ""), rank});
      }
      return entries;
    };
    a_ = parameters.add_stack(rows(".lora_A"), d_in);
    b_ = parameters.add_stack(rows(".lora_B"), d_out);
    for (Parameter<T>* a : a_) {
      nn::fill(parameters, *a, random, [=](const Random& r, std::size_t i) {
        return init::KaimingUniform::draw(r, i, d_in);
      });
    }
  }

  /// Puts the first `used` pairs in use, of which those from `first` on train.
  void use(Index used, Index first) {
    used_ = used;
    first_ = first;
    for (Index i = 0; i < std::ssize(a_); ++i) {
      for (auto* p : {a_[static_cast<std::size_t>(i)], b_[static_cast<std::size_t>(i)]}) {
        parameters_->set_trainable(*p, i >= first && i < used);
      }
    }
  }

  Index used() const { return used_; }
  /// A of all pairs in use: rows x d_in.
  MatrixView<T> down() const { return stacked(a_); }
  /// B of all pairs in use, transposed: rows x d_out.
  MatrixView<T> up() const { return stacked(b_); }

  /// The pairs of which a factor trains.
  BranchSet trained() const {
    BranchSet set = 0;
    for (Index i = 0; i < used_; ++i) {
      const auto k = static_cast<std::size_t>(i);
      if (a_[k]->trainable || b_[k]->trainable) set |= BranchSet{1} << i;
    }
    return set;
  }

  /// y += s B A x, with the pairs that `chosen` says for each row of x (blocks of `rank` rows);
  /// returns A x, tokens x rows.
  MatrixView<T> forward(Tape<B>& tape, MatrixView<const T> x, T scale, MatrixView<T> y,
                        Chosen chosen = {}) const {
    const auto u = tape.scratch(x.rows, used_ * rank_);
    tape.backend().skinny_dot(x, down(), T(1), u, false, chosen);
    tape.backend().skinny_axpy(u, up(), scale, y, true, chosen);
    return u;
  }

  /// From the gradient of y to those of x and of the pairs that train, given u = A x.
  void backward(Tape<B>& tape, Var<T> x, MatrixView<T> u, MatrixView<const T> dy, T scale,
                Chosen chosen = {}) const {
    auto& backend = tape.backend();
    const auto du = tape.scratch(u.rows, u.cols);
    backend.skinny_dot(dy, up(), scale, du, false, chosen);
    outer(backend, b_, u, dy, scale, chosen);
    outer(backend, a_, du, x.value(), T(1), chosen);
    if (x.needs_grad()) {
      const auto dx = tape.gradient(x);
      backend.skinny_axpy(du, down(), T(1), dx.view, dx.add, chosen);
    }
  }

 private:
  /// The gradients of the pairs that train, which lie together, as one product: factor left^T
  /// right. Where a row of `left` was not chosen it holds zeros.
  void outer(B& backend, const std::vector<Parameter<T>*>& factors, MatrixView<const T> left,
             MatrixView<const T> right, T factor, const Chosen& chosen) const {
    const auto all = std::span(factors).subspan(static_cast<std::size_t>(first_),
                                                static_cast<std::size_t>(used_ - first_));
    if (std::ranges::none_of(all, [](const Parameter<T>* p) { return p->trainable; })) return;
    const bool add = all.front()->has_grad;
    for (Parameter<T>* p : all) p->has_grad = true;
    const MatrixView<T> first = all.front()->grad;
    const Index rows = (used_ - first_) * rank_;
    Chosen those;
    if (first_ == 0 && !chosen.everything()) those = {chosen.table, chosen.k, chosen.block, true};
    backend.skinny_outer(left.middle_cols(first_ * rank_, rows), right, factor,
                         {first.data, rows, first.cols}, add, those);
  }

  MatrixView<T> stacked(const std::vector<Parameter<T>*>& factors) const {
    const MatrixView<T> first = factors.front()->value;
    return {first.data, used_ * rank_, first.cols};
  }

  ParameterSet<B>* parameters_;
  Index rank_;
  Index used_ = 0;
  Index first_ = 0;  ///< Of the pairs in use that train.
  std::vector<Parameter<T>*> a_, b_;
};

}  // namespace branchlora
