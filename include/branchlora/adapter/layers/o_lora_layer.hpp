/// @file
/// The layer of O-LoRA: the sum of one low-rank pair a task.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/plain_adapter.hpp"

namespace branchlora {

/// The adapter of `OLora`, `V`: y + s sum over the pairs in use of B_i A_i x. Pair i is branch i,
/// `lora_A.i` and `lora_B.i`, and comes into use with task i.
template <Backend B, class V>
class OLoraLayer final : public PlainAdapter<B> {
 public:
  using T = typename B::Scalar;

  /// `weight` is the frozen linear's, of which the shape is asked.
  OLoraLayer(ParameterSet<B>& parameters, const std::string& name, MatrixView<const T> weight,
             const Hyper& hyper, const Random& random)
      : PlainAdapter<B>(name),
        parameters_(&parameters),
        dropout_(hyper.dropout),
        scale_(static_cast<T>(V::scale(hyper))),
        pairs_(parameters, name,
               {.d_in = weight.cols, .d_out = weight.rows, .rank = V::rank, .branches = V::tasks},
               random) {
    pairs_.use(0, 0);
  }

  /// Adds to the memory of y. Throws `Error` before the first task has begun.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const RoutingContext& context) override {
    expect_begun();
    expect_shape(y.value(), x.rows(), pairs_.up().cols, this->name().c_str());
    x = input_dropout(tape, x, dropout_, context, this->name());
    Operation step{this, x, y, {}, pairs_.forward(tape, x.value(), scale_, y.value())};
    return tape.finish(step, y.value(), x.needs_grad() || y.needs_grad() || pairs_.trained() != 0);
  }

  /// Puts the pair of `task` in use, the only one that trains. Throws `Error` if there is none
  /// left.
  void begin_task(Index task) override {
    expect(task == pairs_.used(), "{}: expected task {} to begin, found {}", this->name(),
           pairs_.used(), task);
    expect(task < V::tasks, "{}: task {} begins, but {} has pairs for {} tasks", this->name(), task,
           V::describe(), V::tasks);
    pairs_.use(task + 1, task);
  }
  /// Freezes the pair of the task.
  void end_task() override { pairs_.use(pairs_.used(), pairs_.used()); }

  /// The number of pairs in use.
  std::vector<std::uint64_t> state() const override {
    return {static_cast<std::uint64_t>(pairs_.used())};
  }
  void restore(std::span<const std::uint64_t> state) override {
    expect(state.size() == 1 && state[0] <= static_cast<std::uint64_t>(V::tasks),
           "{}: expected one number of at most {} as saved state, found [{}]", this->name(),
           V::tasks, fmt::join(state, ", "));
    const auto used = static_cast<Index>(state[0]);
    pairs_.use(used, used);
  }

  /// W += s sum of B_i A_i over the pairs in use. Throws `Error` before the first task has begun.
  void merge_into(MatrixView<T> weight) const override {
    expect_begun();
    parameters_->backend().gemm(Op::transpose, Op::none, scale_, pairs_.up(), pairs_.down(), T(1),
                                weight);
  }

  std::vector<double> activity() const override {
    return std::vector<double>(static_cast<std::size_t>(V::tasks));
  }
  BranchSet active() const override { return first_branches(static_cast<int>(pairs_.used())); }
  BranchSet frozen() const override { return active() & ~pairs_.trained(); }

 private:
  void expect_begun() const {
    expect(pairs_.used() > 0,
           "{}: expected begin_task(0) before O-LoRA is applied, found that no task has begun",
           this->name());
  }

  /// The layer on the tape.
  struct Operation {
    OLoraLayer* layer;
    Var<T> x, y, out;
    MatrixView<T> u;

    void backward(Tape<B>& tape) const {
      tape.share_gradient(out, y);
      layer->pairs_.backward(tape, x, u, out.grad(), layer->scale_);
    }
  };

  ParameterSet<B>* parameters_;
  double dropout_;
  T scale_;
  LowRank<B> pairs_;
};

}  // namespace branchlora
