/// @file
/// What a start takes off the frozen weight.
#pragma once

#include <string>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/numbered.hpp"

namespace branchlora {

/// The constant factors A0_i and B0_i of each branch beside one linear layer, where the frozen
/// weight W is the residual W - s B0_i A0_i for a token of branch i. The weight itself stays: it
/// may be packed or rounded, and it is what all branches share. They lie in memory as `LowRank` has
/// A and B, and are zero until a branch starts.
///
/// Parameters are `<layer>.lora_start_A` and `<layer>.lora_start_B`, numbered where there are
/// several. Nothing trains them.
template <Backend B>
class StartPair {
 public:
  using T = typename B::Scalar;

  StartPair(ParameterSet<B>& parameters, const std::string& name, Index d_in, Index d_out,
            Index rank, Index branches)
      : rank_(rank) {
    const auto add = [&](const std::string& factor, Index cols) {
      std::vector<typename ParameterSet<B>::Entry> rows;
      for (Index i = 0; i < branches; ++i) {
        rows.push_back({branches > 1 ? numbered(factor, i) : factor, rank});
      }
      const auto stack = parameters.add_stack(rows, cols);
      for (auto* p : stack) p->constant = true;
      return stack;
    };
    a_ = add(name + ".lora_start_A", d_in);
    b_ = add(name + ".lora_start_B", d_out);
  }

  /// A0 of a branch: rank x d_in.
  Parameter<T>& a(Index branch) const { return *a_[static_cast<std::size_t>(branch)]; }
  /// B0 of a branch, transposed: rank x d_out.
  Parameter<T>& b(Index branch) const { return *b_[static_cast<std::size_t>(branch)]; }

  /// A0 of all branches, one below the other.
  MatrixView<T> down() const { return stacked(a_); }
  /// B0 of all branches, transposed.
  MatrixView<T> up() const { return stacked(b_); }

 private:
  using Stack = std::vector<Parameter<T>*>;

  MatrixView<T> stacked(const Stack& stack) const {
    const MatrixView<T> first = stack.front()->value;
    return {first.data, rank_ * std::ssize(stack), first.cols};
  }

  Index rank_;
  Stack a_, b_;
};

/// Where a start takes nothing off.
template <Backend B>
class NoStartPair {
 public:
  NoStartPair(ParameterSet<B>&, const std::string& /*name*/, Index /*d_in*/, Index /*d_out*/,
              Index /*rank*/, Index /*branches*/) {}
};

}  // namespace branchlora
