/// @file
/// O-LoRA: Wang et al., "Orthogonal Subspace Learning for Language Model Continual Learning",
/// Findings of EMNLP 2023 (arXiv 2310.14152).
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/plain_adapter.hpp"

namespace branchlora {

template <Backend B, class V>
class OLoraLayer;

/// y = W x + s sum over i <= t of B_i A_i x while task t (0, 1, ...) trains and after it: each task
/// brings a pair A_i of R x d_in, B_i of d_out x R, those of earlier tasks are frozen and applied
/// with weight 1. No router and no task identity at inference. s = alpha / R; A starts uniform in
/// +-1/sqrt(d_in), B at zero. T is the most tasks that there is memory for.
///
/// The loss that keeps a new A out of the space of the old ones is a strategy of the training loop:
/// `continual::strategy::Orthogonal`. Without it this is one LoRA a task, added up.
template <int R, int T>
struct OLora : PlainVariant {
  static_assert(R >= 1, "The R of OLora<R, T> must be at least 1.");
  static_assert(T >= 1 && T <= max_branches, "The T of OLora<R, T> must be 1 to 64 tasks.");
  static constexpr int rank = R;
  static constexpr int tasks = T;

  template <Backend B>
  using Layer = OLoraLayer<B, OLora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }
  /// Trainable parameters of a task beside a linear. After t tasks a model holds t times as many.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return {R * d_in, R * d_out, 0};
  }
  /// Operations beside a linear in task T, the last, when all pairs are applied and one trains.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t /*sequences*/ = 1) {
    const std::int64_t pair = 2 * tokens * R * (d_in + d_out);
    const std::int64_t frozen = 2 * tokens * d_in * d_out;
    return {{T * pair, (T + 1) * pair}, {frozen, frozen}};
  }
  /// Bytes of AdamW training of a task beside a linear.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return adamw_bytes * parameters(d_in, d_out).total();
  }
  static std::string describe() { return fmt::format("OLora<{}, {}>", R, T); }
  bool operator==(const OLora&) const = default;
};

/// The authors' settings at R = 8 (T5-large): s = 4.
inline constexpr Hyper o_lora_hyper{.alpha = 32.0, .dropout = 0.0};

/// The adapter of `OLora`. Pair i is branch i: `lora_A.i` and `lora_B.i`.
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

  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const Routing& routing) override {
    if (pairs_.used() == 0) return y;
    expect_shape(y.value(), x.rows(), pairs_.up().cols, this->name().c_str());
    x = input_dropout(tape, x, dropout_, routing, this->name());
    Step step{this, x, y, {}, pairs_.forward(tape, x.value(), scale_, y.value())};
    step.out = tape.view(y.value(), y);
    step.out.node()->needs_grad =
        tape.recording() && (x.needs_grad() || y.needs_grad() || pairs_.trained() != 0);
    tape.record(step.out, step);
    return step.out;
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

  /// W += s sum of B_i A_i over the pairs in use.
  void merge_into(MatrixView<T> weight) const override {
    if (pairs_.used() == 0) return;
    parameters_->backend().gemm(Op::transpose, Op::none, scale_, pairs_.up(), pairs_.down(), T(1),
                                weight);
  }

  std::vector<double> activity() const override {
    return std::vector<double>(static_cast<std::size_t>(V::tasks));
  }
  BranchSet active() const override { return first_branches(static_cast<int>(pairs_.used())); }
  BranchSet frozen() const override { return active() & ~pairs_.trained(); }

 private:
  struct Step {
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
