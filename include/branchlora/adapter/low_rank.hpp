/// @file
/// The stacked factors A and B of an adapter, for every layer that has any.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The factors of the branches beside one linear layer, where branch i adds
///
///     y += s B_i A_i x
///
/// with A_i of rank x d_in and B_i of d_out x rank, which is stored transposed. The A's lie one
/// below the other in memory and so do the B's, so that the products of all branches in use are one
/// down and one up, and each stack has one gradient. All branches may share one A, a trunk. The
/// rows of a router may lie right below A, so that one product makes A x and the scores.
///
/// Parameters are `<layer>.lora_A` and `<layer>.lora_B`, numbered (`.lora_B.3`) where there are
/// several, and `<layer>.router`.
template <Backend B>
class LowRank {
 public:
  using T = typename B::Scalar;

  /// How many factors there are, and of what size.
  struct Shape {
    Index d_in, d_out;
    Index rank;             ///< Rows of A and B of one branch.
    Index branches = 1;     ///< At most `max_branches`.
    bool shared = false;    ///< Whether all branches have the same A.
    Index router_rows = 0;  ///< Rows of a router below A.
  };

  /// Adds the factors of the layer `name`, all in use and frozen: A starts as the policy `Init`
  /// draws it, B at zero. The rows of a router are zero too: whoever owns it starts it.
  template <InitPolicy Init = init::KaimingUniform>
  LowRank(ParameterSet<B>& parameters, const std::string& name, const Shape& shape,
          const Random& random, Init /*init*/ = {})
      : parameters_(&parameters), shape_(shape), used_(shape.branches) {
    using Entry = typename ParameterSet<B>::Entry;
    const auto entries = [&](const std::string& factor, Index count) {
      std::vector<Entry> rows;
      for (Index i = 0; i < count; ++i) {
        rows.push_back({count > 1 ? numbered(factor, i) : factor, shape.rank});
      }
      return rows;
    };
    auto below = entries(name + ".lora_A", shape.shared ? 1 : shape.branches);
    if (shape.router_rows > 0) below.push_back({name + ".router", shape.router_rows});
    a_ = parameters.add_stack(below, shape.d_in);
    if (shape.router_rows > 0) {
      router_ = a_.back();
      a_.pop_back();
    }
    b_ = parameters.add_stack(entries(name + ".lora_B", shape.branches), shape.d_out);
    for (Parameter<T>* a : a_) {
      nn::fill(parameters, *a, random, [d_in = shape.d_in](const Random& r, std::size_t i) {
        return Init::draw(r, i, d_in);
      });
    }
  }

  /// Puts the first `used` branches in use, of which those from `first` on train. Only theirs are
  /// the rows that `a_gradient` and `b_gradient` give.
  void use(Index used, Index first) {
    used_ = used;
    first_ = first;
    const BranchSet training =
        first_branches(static_cast<int>(used)) & ~first_branches(static_cast<int>(first));
    train_a(training);
    train_b(training);
  }

  /// Trains the A's of `branches` and freezes the others. A shared A trains if there are any.
  void train_a(BranchSet branches) { train(a_, shape_.shared && branches != 0 ? 1 : branches); }
  /// Trains the B's of `branches` and freezes the others.
  void train_b(BranchSet branches) { train(b_, branches); }

  /// Gives branch `to` the values of branch `from`: B, and A where it is no trunk.
  void copy_branch(Index from, Index to) {
    backend().copy(b(from).value, b(to).value);
    if (!shape_.shared) backend().copy(a(from).value, a(to).value);
  }

  B& backend() const { return parameters_->backend(); }
  /// The number of branches in use.
  Index used() const { return used_; }
  /// The factor A of a branch, or the one of all.
  Parameter<T>& a(Index branch = 0) const {
    return *a_[shape_.shared ? 0 : static_cast<std::size_t>(branch)];
  }
  /// The factor B of a branch.
  Parameter<T>& b(Index branch = 0) const { return *b_[static_cast<std::size_t>(branch)]; }
  /// The router whose rows lie below A, or null.
  Parameter<T>* router() const { return router_; }

  /// A of all branches in use: rows x d_in.
  MatrixView<T> down() const { return {a().value.data, a_rows(0), shape_.d_in}; }
  /// A and below it the router, if all branches are in use.
  MatrixView<T> down_and_router() const {
    return {a().value.data, a_rows(0) + shape_.router_rows, shape_.d_in};
  }
  /// B of all branches in use, transposed: rows x d_out.
  MatrixView<T> up() const { return {b().value.data, used_ * shape_.rank, shape_.d_out}; }

  /// Whether an A in use trains.
  bool a_trains() const { return any_trains(a_); }
  /// Whether a B in use trains.
  bool b_trains() const { return any_trains(b_); }

  /// The branches in use of which a factor trains.
  BranchSet trained() const {
    BranchSet set = 0;
    for (Index i = 0; i < used_; ++i) {
      if (a(i).trainable || b(i).trainable) set |= BranchSet{1} << i;
    }
    return set;
  }

  /// Where to write the gradient of A, of which all rows must be written: of the branches from the
  /// first one that trains, and of the router below.
  GradientSink<T> a_gradient() const {
    const bool add = open(a_);
    if (router_ != nullptr) router_->has_grad = true;
    return {{first_of(a_)->grad.data, a_rows(first_) + shape_.router_rows, shape_.d_in}, add};
  }
  /// The same of B, transposed.
  GradientSink<T> b_gradient() const {
    const bool add = open(b_);
    return {{first_of(b_)->grad.data, (used_ - first_) * shape_.rank, shape_.d_out}, add};
  }

  /// y += s B A x, with the branches that `chosen` says for each row of x (blocks of `rank` rows);
  /// returns u = A x, tokens x rows. Only where no A is shared.
  MatrixView<T> forward(Tape<B>& tape, MatrixView<const T> x, T scale, MatrixView<T> y,
                        Chosen chosen = {}) const {
    const auto u = tape.scratch(x.rows, used_ * shape_.rank);
    tape.backend().skinny_dot(x, down(), T(1), u, false, chosen);
    tape.backend().skinny_axpy(u, up(), scale, y, true, chosen);
    return u;
  }

  /// The backward pass of `forward`: from the gradient of y to those of x and of the branches that
  /// train.
  void backward(Tape<B>& tape, Var<T> x, MatrixView<T> u, MatrixView<const T> dy, T scale,
                Chosen chosen = {}) const {
    auto& backend = tape.backend();
    const auto du = tape.scratch(u.rows, u.cols);
    backend.skinny_dot(dy, up(), scale, du, false, chosen);
    if (b_trains()) outer(backend, u, dy, scale, b_gradient(), chosen);
    if (a_trains()) outer(backend, du, x.value(), T(1), a_gradient(), chosen);
    if (x.needs_grad()) {
      const auto dx = tape.gradient(x);
      backend.skinny_axpy(du, down(), T(1), dx.view, dx.add, chosen);
    }
  }

 private:
  using Stack = std::vector<Parameter<T>*>;

  void train(const Stack& stack, BranchSet branches) {
    for (std::size_t i = 0; i < stack.size(); ++i) {
      parameters_->set_trainable(*stack[i], (branches >> i & 1U) != 0);
    }
  }

  /// Rows of A from branch `first` on.
  Index a_rows(Index first) const { return (shape_.shared ? 1 : used_ - first) * shape_.rank; }

  /// The factors in use from the first one that trains.
  std::span<Parameter<T>* const> in_training(const Stack& stack) const {
    if (stack.size() == 1) return stack;
    return std::span(stack).subspan(static_cast<std::size_t>(first_),
                                    static_cast<std::size_t>(used_ - first_));
  }
  Parameter<T>* first_of(const Stack& stack) const { return in_training(stack).front(); }
  bool any_trains(const Stack& stack) const {
    return std::ranges::any_of(in_training(stack), [](const auto* p) { return p->trainable; });
  }
  /// Marks a stack's gradient as written; returns whether it was already.
  bool open(const Stack& stack) const {
    const bool add = first_of(stack)->has_grad;
    for (Parameter<T>* p : in_training(stack)) p->has_grad = true;
    return add;
  }

  /// gradient (+)= factor left^T right, for the columns of `left` of the branches that train.
  /// Where a row of `left` was not chosen it holds zeros.
  void outer(B& backend, MatrixView<const T> left, MatrixView<const T> right, T factor,
             const GradientSink<T>& gradient, const Chosen& chosen) const {
    Chosen those;
    if (first_ == 0 && !chosen.everything()) those = {chosen.table, chosen.k, chosen.block, true};
    backend.skinny_outer(left.middle_cols(first_ * shape_.rank, gradient.view.rows), right, factor,
                         gradient.view, gradient.add, those);
  }

  ParameterSet<B>* parameters_;
  Shape shape_;
  Index used_;
  Index first_ = 0;  ///< Of the branches in use, from which on they train.
  Stack a_, b_;
  Parameter<T>* router_ = nullptr;
};

}  // namespace branchlora
