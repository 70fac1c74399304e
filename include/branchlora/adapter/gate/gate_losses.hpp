/// @file
/// The losses of a gate's own: what V's policies of balance, supervision and routing add.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "branchlora/adapter/auxiliary_losses.hpp"
#include "branchlora/adapter/gate/losses/balance.hpp"
#include "branchlora/adapter/gate/losses/contrast.hpp"
#include "branchlora/adapter/gate/losses/label.hpp"
#include "branchlora/adapter/gate/losses/localised.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/balance.hpp"
#include "branchlora/adapter/policy/supervision.hpp"
#include "branchlora/adapter/routing_context.hpp"

namespace branchlora {

/// Adds the losses of V's gates to the gradients of gates and logits, where V has them. Each loss
/// is in a file of its own in losses/.
template <Backend B, class V>
class GateLosses {
 public:
  using T = typename B::Scalar;
  /// Of mean probabilities (`balance::Switch`).
  static constexpr bool balanced = ProbabilityBalance<typename V::Balance>;
  /// Of the gates of each sample (`balance::Localised`).
  static constexpr bool localised = WeightBalance<typename V::Balance>;
  /// Of scores against tasks.
  static constexpr bool supervised = V::Supervision::enabled;
  /// Of task embeddings.
  static constexpr bool contrastive = requires { requires V::Router::contrastive; };
  /// Whether the gradient of a unit's logits needs the gates of other units.
  static constexpr bool of_batch = balanced || localised || supervised;

  /// The gates of a batch, with what the losses need of them.
  struct Pass : GatePass<T, V::top_k> {
    [[no_unique_address]] std::conditional_t<contrastive, gate::ContrastPass<T>, std::monostate>
        contrast;
  };

  GateLosses(const std::string& name, const Hyper& hyper) : name_(name), hyper_(hyper) {}

  /// The task of each unit, where the batch is one whose tasks are known. Throws `Error` if one has
  /// no branch to go to.
  void label(Tape<B>& tape, const RoutingContext& context, const Routers<B>& routers,
             const Stage& stage, Pass& g) const {
    if (!V::labelled || !context.supervise) return;
    thread_local std::vector<std::int32_t> host;
    host.clear();
    for (std::size_t s = 0; s < g.tasks.size(); ++s) {
      const std::int32_t task = g.tasks[s];
      if constexpr (supervised) {
        const BranchSet allowed = routers.of(0).allowed;
        expect(task >= 0 && task < V::capacity && contains(allowed, task),
               "{}: a sample of task {} has no branch to train: {} tasks were begun", name_, task,
               std::popcount(allowed));
      }
      const Index length = g.sequences->offsets[s + 1] - g.sequences->offsets[s];
      host.insert(host.end(), static_cast<std::size_t>(V::Granularity::per_sequence ? 1 : length),
                  task);
    }
    g.labels = tape.upload(std::span<const std::int32_t>(host));
    g.task_known = supervised && stage.task_known;
    g.silent = g.task_known && !stage.router;
  }

  /// Ends the forward pass of the losses: the gates of the batch are known.
  void forward(Tape<B>& tape, const RoutingContext& context, MatrixView<const T> x,
               const Routers<B>& routers, Pass& g) const {
    if constexpr (contrastive) {
      if (context.supervise && tape.recording()) {
        g.contrast = Contrast::forward(tape, x, g, routers, hyper_.contrast_weight);
      }
    }
  }

  /// Adds to the gradient of the gates, tokens x branches, which must be complete.
  void to_gates(Tape<B>& tape, const Pass& g, MatrixView<T> dgates) const {
    if constexpr (localised) {
      if (g.labels != nullptr) Localised::add_gradient(tape, g, hyper_, dgates);
    }
  }

  /// Adds to the gradient of logits.
  void to_logits(Tape<B>& tape, const Pass& g, const Routers<B>& routers, const Stage& stage,
                 MatrixView<T> dlogits) const {
    if constexpr (balanced) {
      if (!g.silent) Balance::add_gradient(tape, routers, g, hyper_.balance_weight, dlogits);
    }
    if constexpr (supervised) {
      if (g.labels != nullptr && stage.router) {
        Label::add_gradient(tape, g, routers.of(0).allowed, hyper_.routing_weight, dlogits);
      }
    }
  }

  /// Adds to the gradients of what else they depend on: task embeddings and x.
  void to_embeddings(Tape<B>& tape, const Pass& g, const Routers<B>& routers, Var<T> x) const {
    if constexpr (contrastive) {
      if (g.contrast.embeddings == nullptr) return;
      Contrast::backward(tape, g.contrast, routers);
      if (x.needs_grad()) Contrast::to_x(tape, g.contrast, x);
    }
  }

  /// Adds the values of the losses of a batch to `losses`, if it trains.
  void add_values(Tape<B>& tape, const Pass& g, const Routers<B>& routers, const Stage& stage,
                  AuxiliaryLosses& losses) const {
    if constexpr (balanced) {
      if (!g.silent) losses.balance += Balance::value(tape, routers, g, hyper_.balance_weight);
    }
    if constexpr (localised) {
      if (g.labels != nullptr) losses.balance += Localised::value(tape, g, hyper_);
    }
    if constexpr (supervised) {
      if (g.labels != nullptr && stage.router) {
        losses.routing += Label::value(tape, g, routers.of(0).allowed, hyper_.routing_weight);
      }
    }
    if constexpr (contrastive) {
      if (g.contrast.embeddings != nullptr) {
        losses.contrast += Contrast::value(tape, g.contrast, hyper_.contrast_weight);
      }
    }
  }

 private:
  using Balance = gate::BalanceLoss<B, V>;
  using Localised = gate::LocalisedLoss<B, V>;
  using Label = gate::LabelLoss<B, V>;
  using Contrast = gate::ContrastLoss<B>;

  std::string name_;
  Hyper hyper_;
};

}  // namespace branchlora
