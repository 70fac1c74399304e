/// @file
/// A matrix for each task between the down projection and the mix.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/gate/task_runs.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// `transform::PerTask`: v = Lambda_t u for the tokens of task t. Parameters are
/// `<layer>.lora_Lambda.<t>`, V::rank x V::rank, the identity at first; they come with
/// `begin_task`.
template <Backend B, class V>
class TaskTransform {
 public:
  using T = typename B::Scalar;

  TaskTransform(ParameterSet<B>& parameters, std::string name)
      : parameters_(&parameters), name_(std::move(name)) {}

  /// Adds the matrix of the next task, to be trained.
  void begin_task() {
    auto& lambda = parameters_->add(
        numbered(name_ + ".lora_Lambda", static_cast<Index>(lambdas_.size())), V::rank, V::rank);
    nn::fill(*parameters_, lambda, Random(0),
             [](const Random&, std::size_t i) { return i % (V::rank + 1) == 0 ? 1.0 : 0.0; });
    parameters_->set_trainable(lambda, true);
    lambdas_.push_back(&lambda);
  }

  /// Freezes the matrices of all tasks so far.
  void end_task() {
    for (Parameter<T>* lambda : lambdas_) parameters_->set_trainable(*lambda, false);
  }

  /// Makes those that are missing of `tasks` finished tasks.
  void restore(Index tasks) {
    while (std::ssize(lambdas_) < tasks) begin_task();
    end_task();
  }

  /// v of every token.
  template <class Gates>
  MatrixView<T> forward(Tape<B>& tape, const Gates& g, MatrixView<T> u) const {
    const auto v = tape.scratch(u.rows, u.cols);
    for_runs(g, [&](Parameter<T>& lambda, Index first, Index count) {
      tape.backend().skinny_dot(u.middle_rows(first, count), lambda.value, T(1),
                                v.middle_rows(first, count), false, Chosen{});
    });
    return v;
  }

  /// From the gradient of v to that of u, which is returned, and of the matrices that train.
  template <class Gates>
  MatrixView<T> backward(Tape<B>& tape, const Gates& g, MatrixView<T> u, MatrixView<T> dv) const {
    const auto du = tape.scratch(u.rows, u.cols);
    for_runs(g, [&](Parameter<T>& lambda, Index first, Index count) {
      const auto rows = dv.middle_rows(first, count);
      tape.backend().skinny_axpy(rows, lambda.value, T(1), du.middle_rows(first, count), false,
                                 Chosen{});
      if (!lambda.trainable) return;
      const auto to = lambda.sink();
      tape.backend().skinny_outer(rows, u.middle_rows(first, count), T(1), to.view, to.add,
                                  Chosen{});
    });
    return du;
  }

 private:
  /// Calls f(matrix, first token, count) for each run of sequences of one task.
  template <class Gates, class F>
  void for_runs(const Gates& g, F f) const {
    gate::for_task_runs(g.tasks, std::ssize(lambdas_), name_,
                        [&](std::size_t task, Index first, Index last) {
                          const auto at = [&](Index s) {
                            return g.sequences->offsets[static_cast<std::size_t>(s)];
                          };
                          f(*lambdas_[task], at(first), at(last) - at(first));
                        });
  }

  ParameterSet<B>* parameters_;
  std::string name_;
  std::vector<Parameter<T>*> lambdas_;
};

}  // namespace branchlora
