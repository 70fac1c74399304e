/// @file
/// The orthogonality loss of O-LoRA (Wang et al., arXiv 2310.14152).
#pragma once

#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual::strategy {

template <Backend B>
class OrthogonalOn;

/// O-LoRA's loss, which keeps the rows of a new A out of the space of those before:
///
///     loss += lambda1 sum over layers, old and new of sum |A_old A_new^T|
///           + lambda2 sum over new A and B of ||.||_2
///
/// An adapter's A blocks (`<layer>.lora_A.<branch>`) are old where they are frozen and new where
/// they train, and so are its B blocks for the second term; a branch that is not in use yet is
/// neither. Each norm is that of a whole block, not squared, as in the released code, and its
/// gradient at zero is zero. An adapter whose A is one block has nothing to be orthogonal to.
struct Orthogonal {
  template <Backend B>
  using On = OrthogonalOn<B>;

  double lambda1 = 0.5;
  double lambda2 = 0.0;
};

/// `Orthogonal` on a backend.
template <Backend B>
class OrthogonalOn final : public Strategy<B> {
 public:
  using T = typename B::Scalar;

  OrthogonalOn(B& /*backend*/, const Orthogonal& settings) : settings_(settings) {
    expect(settings.lambda1 >= 0 && settings.lambda2 >= 0,
           "orthogonal: expected weights of at least 0, found {} and {}", settings.lambda1,
           settings.lambda2);
  }

  RunConfig config() const override {
    return nlohmann::json{
        {"name", "Orthogonal"}, {"lambda1", settings_.lambda1}, {"lambda2", settings_.lambda2}};
  }

  void change_gradient(Tape<B>& tape, model::Multimodal<B>& model) override {
    const Blocks blocks = blocks_of(model);
    for (auto* p : blocks.shrinking) add_norm(tape, *p);
    for (const auto& [old, fresh] : blocks.pairs) add_product(tape, *old, *fresh);
  }

  /// The loss that the model's parameters have now, of which `change_gradient` adds the gradient.
  double loss(Tape<B>& tape, model::Multimodal<B>& model) const {
    const Blocks blocks = blocks_of(model);
    double sum = 0;
    for (const auto* p : blocks.shrinking) sum += settings_.lambda2 * norm(tape.backend(), *p);
    for (const auto& [old, fresh] : blocks.pairs) {
      sum += settings_.lambda1 * sum_of_products(tape, *old, *fresh);
    }
    return sum;
  }

  /// gradient of new += lambda1 sign(new old^T) old. Public, as the next ones, since nvcc takes
  /// device lambdas from public functions only.
  void add_product(Tape<B>& tape, const Parameter<T>& old, Parameter<T>& fresh) const {
    B& backend = tape.backend();
    open_gradient(backend, fresh);
    const auto signs = products(tape, old, fresh);
    backend.for_each(signs.size(), [s = signs.data] BRANCHLORA_BODY(Index i) {
      s[i] = static_cast<T>(s[i] > T(0)) - static_cast<T>(s[i] < T(0));
    });
    backend.gemm(Op::none, Op::none, static_cast<T>(settings_.lambda1), signs, old.value, T(1),
                 fresh.grad);
  }

  /// gradient += lambda2 w / ||w||.
  void add_norm(Tape<B>& tape, Parameter<T>& p) const {
    B& backend = tape.backend();
    const double length = norm(backend, p);
    if (length == 0) return;
    open_gradient(backend, p);
    backend.for_each(p.value.size(),
                     [w = p.value.data, g = p.grad.data,
                      scale = static_cast<T>(settings_.lambda2 / length)] BRANCHLORA_BODY(Index i) {
                       g[i] += scale * w[i];
                     });
  }

  /// ||w||.
  static double norm(B& backend, const Parameter<T>& p) {
    return std::sqrt(backend.sum(p.value.size(), [w = p.value.data] BRANCHLORA_BODY(Index i) {
      return static_cast<double>(w[i]) * static_cast<double>(w[i]);
    }));
  }

  /// sum |new old^T|.
  static double sum_of_products(Tape<B>& tape, const Parameter<T>& old, const Parameter<T>& fresh) {
    const auto all = products(tape, old, fresh);
    return tape.backend().sum(all.size(), [p = all.data] BRANCHLORA_BODY(Index i) {
      return static_cast<double>(p[i] > T(0) ? p[i] : -p[i]);
    });
  }

 private:
  /// What the loss is of: the pairs of an old A and a new one, unless lambda1 is 0, and the new
  /// blocks whose norm counts, unless lambda2 is.
  struct Blocks {
    std::vector<std::pair<const Parameter<T>*, Parameter<T>*>> pairs;
    std::vector<Parameter<T>*> shrinking;
  };

  Blocks blocks_of(model::Multimodal<B>& model) const {
    std::map<std::string, BranchSet> active;
    model.for_each_adapter([&](auto& adapter) { active[adapter.name()] = adapter.active(); });
    struct Layer {
      std::vector<Parameter<T>*> old, fresh;
    };
    std::map<std::string, Layer> layers;
    Blocks blocks;
    for (auto& p : model.parameters()) {
      const bool is_a = p.name.find(".lora_A") != std::string::npos;
      const auto at = p.name.find(is_a ? ".lora_A" : ".lora_B");
      if (at == std::string::npos) continue;
      const std::string layer = p.name.substr(0, at);
      const auto found = active.find(layer);
      if (found == active.end() || !in_use(found->second, branch_of(p.name, at))) continue;
      if (p.trainable && settings_.lambda2 > 0) blocks.shrinking.push_back(&p);
      if (is_a) (p.trainable ? layers[layer].fresh : layers[layer].old).push_back(&p);
    }
    if (settings_.lambda1 == 0) return blocks;
    for (const auto& [name, layer] : layers) {
      for (auto* fresh : layer.fresh) {
        for (const auto* old : layer.old) blocks.pairs.emplace_back(old, fresh);
      }
    }
    return blocks;
  }

  /// new old^T, in memory of the tape.
  static MatrixView<T> products(Tape<B>& tape, const Parameter<T>& old, const Parameter<T>& fresh) {
    const auto all = tape.scratch(fresh.value.rows, old.value.rows);
    tape.backend().gemm(Op::none, Op::transpose, T(1), fresh.value, old.value, T(0), all);
    return all;
  }

  static bool in_use(BranchSet active, Index branch) { return (active >> branch & 1U) != 0; }

  /// The number at the end of `<layer>.lora_A.<branch>`; 0 where there is none.
  static Index branch_of(const std::string& name, std::size_t factor) {
    Index branch = 0;
    const auto number = factor + std::string_view(".lora_A.").size();
    if (number < name.size()) {
      std::from_chars(name.data() + number, name.data() + name.size(), branch);
    }
    return branch;
  }

  Orthogonal settings_;
};

}  // namespace branchlora::continual::strategy
