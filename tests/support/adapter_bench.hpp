/// @file
/// An adapted linear layer with its surroundings, and the same layer written down token by token.
///
/// What depends on the variant is few values and two functions (`Form`), so that the rest is
/// compiled once for all variants.
#pragma once

#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "support/gradient_check.hpp"
#include "support/variants.hpp"

namespace branchlora::test {

/// The gates of one token or sequence.
struct NaiveGate : GateReference {
  std::vector<double> probabilities;  ///< Softmax over all allowed branches.
};

/// What a naive layer must know of a variant.
struct Form {
  Index rank, capacity, top_k;
  Index scores, biases;  ///< Of a router: rows, and how many of the last have a trained bias.
  bool shared, transformed, per_task_router, per_sequence, labelled, supervised, biased;
  bool balanced, localised, contrastive;
  bool own_branches;  ///< Whether each task trains a branch of its own.
  bool residual;      ///< Whether a start is taken off the frozen weight.
  Index trunk_tasks = std::numeric_limits<Index>::max();  ///< In how many tasks A trains.
  Index branches;                                         ///< At the start.
  Index gate_rows;                                        ///< Rows of a router's weight.
  std::span<const Stage> stages;
  Parameters parameters;  ///< At 10 inputs and 7 outputs.
  double (*scale)(const Hyper&);
  Index (*tokens)(Index length);  ///< Of a sequence, that its router reads.
  std::vector<double> (*router)(const UnitReference&);
  GateReference (*gating)(const std::vector<double>&, BranchSet allowed, Index k,
                          const std::vector<double>& bias);
};

/// Of a variant with a layer of its own, nothing but its counts.
template <class V>
Form form_of() {
  Form form{};
  form.parameters = V::parameters(10, 7);
  return form;
}

/// In how many tasks A trains.
template <class V>
constexpr Index trunk_tasks() {
  if constexpr (requires { V::Trunk::trained_tasks; }) return V::Trunk::trained_tasks;
  return std::numeric_limits<Index>::max();
}

/// Of an `Adapter`, all.
template <class V>
requires requires { typename V::Gating; }
Form form_of() {
  using Gating = typename V::Gating;
  using Router = typename V::Router;
  using Granularity = typename V::Granularity;
  static_assert(ReferencedGating<Gating>,
                "A gating needs a static reference(scores, allowed, k, bias) to be tested: "
                "ReferencedGating in adapter/gate/reference.hpp.");
  static_assert(ReferencedRouter<Router>,
                "A router needs a static reference(unit) to be tested: ReferencedRouter in "
                "adapter/gate/reference.hpp.");
  return {.rank = V::rank,
          .capacity = V::capacity,
          .top_k = V::top_k,
          .scores = scores_of<Gating>(V::capacity),
          .biases = V::gate_biases,
          .shared = V::Trunk::shared,
          .transformed = V::Transform::enabled,
          .per_task_router = V::per_task_router,
          .per_sequence = Granularity::per_sequence,
          .labelled = V::labelled,
          .supervised = V::Supervision::enabled,
          .biased = BiasedGating<Gating>,
          .balanced = ProbabilityBalance<typename V::Balance>,
          .localised = WeightBalance<typename V::Balance>,
          .contrastive = requires {requires Router::contrastive;
}
, .own_branches = requires { V::Freezing::own_branch; }
, .residual = V::residual, .trunk_tasks = trunk_tasks<V>(), .branches = V::branches,
  .gate_rows = V::gate_rows, .stages = V::Supervision::stages, .parameters = V::parameters(10, 7),
  .scale = [](const Hyper& hyper) { return V::scale(hyper); },
  .tokens =
      [](Index length) {
        if constexpr (requires { Granularity::tokens(length); }) {
          return Granularity::tokens(length);
        }
        return Index{1};
      },
  .router = [](const UnitReference& unit) { return Router::reference(unit); },
  .gating = [](const std::vector<double>& scores, BranchSet allowed, Index k,
               const std::vector<double>& bias) {
    return Gating::reference(scores, allowed, k, bias);
  }
};  // namespace branchlora::test
}

/// An adapted linear called "layer" on a batch of sequences. `x` is a parameter of its own, so that
/// its gradient can be checked as well.
template <std::floating_point T>
class AnyBench {
 public:
  using B = eigen::Backend<T>;

  static constexpr Hyper usual{.alpha = 6.0,
                               .dropout = 0.0,
                               .balance_weight = 0.7,
                               .temperature = 0.6,
                               .contrast_weight = 0.3,
                               .routing_weight = 0.8,
                               .balance_delta = 0.2};

  AnyBench(const Form& form_, const Method<B>& method, const std::vector<Index>& lengths,
           int threads, Index d_in_, Index d_out_, const Hyper& hyper_)
      : form(form_),
        hyper(hyper_),
        d_in(d_in_),
        backend(threads),
        parameters(backend),
        linear(parameters, "layer", d_in_, d_out_) {
    for (const Index length : lengths) sequences.push(length);
    tasks.assign(lengths.size(), 0);
    linear.base().initialize(Random(3));
    linear.base().freeze();
    linear.attach(method, hyper, Random(4));
    x = &parameters.add("x", sequences.tokens(), d_in);
    assign(x->value, random_dense(sequences.tokens(), d_in, 50));
    parameters.set_trainable(*x, true);
  }

  AnyBench(const AnyBench&) = delete;
  AnyBench& operator=(const AnyBench&) = delete;
  virtual ~AnyBench() = default;

  AnyAdapter<B>& adapter() { return *linear.adapter(); }
  /// What the engine knows of its gates: the branches that the router of `task` may choose, how
  /// many routers there are, and the bias of each branch, if the gating has any.
  virtual BranchSet allowed(Index task) = 0;
  virtual Index routers() = 0;
  virtual std::vector<double> bias() = 0;

  /// Fills everything that is the adapter's with normal numbers, B included.
  void randomise() {
    std::uint64_t stream = 100;
    for (auto& p : parameters) {
      if (is_adapter(p.name)) {
        assign(p.value, random_dense(p.value.rows, p.value.cols, stream++, 0.5));
      }
    }
  }

  /// Begins a task, and starts what waits for it from a batch of x.
  void begin_task(Index task) {
    adapter().begin_task(task);
    if (!adapter().needs().any()) return;
    linear.prepare_start();
    Tape<B> tape(backend);
    const auto y = forward(tape);
    tape.backward(weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 70)));
    parameters.clear_gradients();
    linear.start();
  }

  void begin_stage(Index stage_) {
    stage = stage_;
    adapter().begin_stage(stage);
  }

  /// Whether a training sample takes its task's branch.
  bool task_known() const {
    return supervise && form.stages[static_cast<std::size_t>(stage)].task_known;
  }

  /// Two tasks where routers are per task, three where they are labels, and every parameter
  /// trainable; the sequences take turns.
  void two_tasks() {
    begin_task(0);
    if (form.labelled) {
      if (form.supervised) {
        begin_task(1);
        begin_task(2);
      }
      for (std::size_t s = 0; s < tasks.size(); ++s) tasks[s] = static_cast<std::int32_t>(s % 3);
    }
    if (form.per_task_router) {
      adapter().end_task();
      begin_task(1);
      for (std::size_t s = 0; s < tasks.size(); ++s) tasks[s] = static_cast<std::int32_t>(s % 2);
    }
    randomise();
    for (auto& p : parameters) {
      // Nothing trains what a start took off, nor is there a gradient.
      const bool taken_off = p.name.starts_with("layer.lora_start");
      if (is_adapter(p.name) && !taken_off) parameters.set_trainable(p, true);
    }
  }

  static bool is_adapter(const std::string& name) {
    return name.starts_with("layer.lora") || name.starts_with("layer.router");
  }

  RoutingContext routing() {
    return {&sequences, tasks, RoutingContext::Memory::none, false, nullptr, supervise, losses};
  }

  Var<T> forward(Tape<B>& tape) { return linear(tape, tape.parameter(*x), routing()); }
  Dense output() {
    Tape<B> tape(backend);
    tape.set_recording(false);
    return to_dense(forward(tape).value());
  }
  Dense base_output() { return times_transposed(to_dense(x->value), value("layer.weight")); }
  Dense value(const std::string& name) {
    const auto* p = parameters.find(name);
    REQUIRE_MESSAGE(p != nullptr, name);
    return to_dense(p->value);
  }
  Dense branch(const char* factor, Index i) {
    const std::string whole = std::string("layer.") + factor;
    return value(parameters.find(whole) != nullptr ? whole : whole + "." + std::to_string(i));
  }

  /// What the router of a token, or of its sequence, is given.
  UnitReference unit_of(Index token) {
    const auto s = static_cast<std::size_t>(sequence_of(token));
    const Index first = form.per_sequence ? sequences.offsets[s] : token;
    const Index count = form.per_sequence ? form.tokens(sequences.offsets[s + 1] - first) : 1;
    UnitReference unit;
    unit.task = form.per_task_router ? tasks[s] : 0;
    unit.scores = form.scores;
    unit.biases = form.biases;
    for (Index c = 0; c < d_in; ++c) {
      double sum = 0;
      for (Index t = first; t < first + count; ++t) sum += static_cast<double>(x->value(t, c));
      unit.input.push_back(sum / static_cast<double>(count));
    }
    unit.parameter = [this](const std::string& name_) {
      const Dense m = value("layer" + name_);
      std::vector<std::vector<double>> rows;
      for (Index r = 0; r < m.rows; ++r) {
        rows.emplace_back();
        for (Index c = 0; c < m.cols; ++c) rows.back().push_back(m(r, c));
      }
      return rows;
    };
    return unit;
  }

  /// The scores of a token, or of its sequence, divided by the temperature.
  std::vector<double> naive_scores(Index token) {
    auto scores = form.router(unit_of(token));
    for (double& score : scores) score /= hyper.temperature;
    return scores;
  }

  /// The gates of a token, or of its sequence.
  NaiveGate naive_gate(Index token) {
    const UnitReference unit = unit_of(token);
    const BranchSet reachable = allowed(unit.task);
    const auto scores = naive_scores(token);
    NaiveGate gate{form.gating(scores, reachable, form.top_k, bias()),
                   reference::softmax(scores, reachable, static_cast<std::size_t>(form.capacity))};
    if (task_known()) {
      gate.weights.assign(static_cast<std::size_t>(form.capacity), 0.0);
      gate.weights[static_cast<std::size_t>(task_of(token))] = 1;
      gate.gap = std::numeric_limits<double>::infinity();
    }
    return gate;
  }

  /// The gates of each token (first) and of each gate vector (second).
  std::pair<std::vector<NaiveGate>, std::vector<NaiveGate>> naive_gates() {
    std::vector<NaiveGate> each, units;
    for (Index t = 0; t < sequences.tokens(); ++t) {
      const bool begins = sequences.offsets[static_cast<std::size_t>(sequence_of(t))] == t;
      const bool own = begins || !form.per_sequence;
      each.push_back(own ? naive_gate(t) : each.back());
      if (own) units.push_back(each.back());
    }
    return {each, units};
  }

  /// y = W x + s sum over the chosen i of g_i B_i A_i x, token by token.
  Dense naive_output() {
    Dense y = base_output();
    const Dense xs = to_dense(x->value);
    const auto gates = naive_gates().first;
    for (Index t = 0; t < y.rows; ++t) {
      for (Index i = 0; i < form.capacity; ++i) {
        const double g = gates[static_cast<std::size_t>(t)].weights[static_cast<std::size_t>(i)];
        if (g == 0) continue;
        Dense a = branch("lora_A", form.shared ? 0 : i);
        const Dense b = branch("lora_B", i);
        if (form.transformed) {
          const Dense lambda = value("layer.lora_Lambda." + std::to_string(task_of(t)));
          const Dense turned = dense(a.cols, a.rows, [&](Index c, Index q) { return a(q, c); });
          a = times_transposed(lambda, turned);
        }
        for (Index q = 0; q < form.rank; ++q) {
          double u = 0;
          for (Index c = 0; c < d_in; ++c) u += a(q, c) * xs(t, c);
          for (Index o = 0; o < y.cols; ++o) y(t, o) += form.scale(hyper) * g * b(q, o) * u;
        }
        if (form.residual) take_off_start(y, xs, t, i);
      }
    }
    return y;
  }

  /// y -= s B0_i A0_i x of a token.
  void take_off_start(Dense& y, const Dense& xs, Index t, Index i) {
    const Dense a = branch("lora_start_A", i);
    const Dense b = branch("lora_start_B", i);
    for (Index q = 0; q < form.rank; ++q) {
      double u = 0;
      for (Index c = 0; c < d_in; ++c) u += a(q, c) * xs(t, c);
      for (Index o = 0; o < y.cols; ++o) y(t, o) -= form.scale(hyper) * b(q, o) * u;
    }
  }

  Index sequence_of(Index token) const {
    std::size_t s = 0;
    while (sequences.offsets[s + 1] <= token) ++s;
    return static_cast<Index>(s);
  }
  Index task_of(Index token) const { return tasks[static_cast<std::size_t>(sequence_of(token))]; }

  /// sum over tokens of factor(t) * weights . (what the adapter adds to token t).
  template <class Factor>
  double naive_added(const Dense& weights, Factor factor) {
    const Dense y = naive_output();
    const Dense base = base_output();
    double sum = 0;
    for (Index t = 0; t < y.rows; ++t) {
      for (Index o = 0; o < y.cols; ++o) sum += factor(t) * weights(t, o) * (y(t, o) - base(t, o));
    }
    return sum;
  }

  /// contrast_weight * the mean over sequences of -log softmax(cos(h, e) / 0.05) at their task.
  double naive_contrast() {
    const Dense xs = to_dense(x->value);
    double loss = 0;
    for (Index s = 0; s < sequences.count(); ++s) {
      std::vector<double> scores;
      for (Index k = 0; k < routers(); ++k) {
        const Dense e = value("layer.router." + std::to_string(k));
        double he = 0, hh = 0, ee = 0;
        for (Index c = 0; c < d_in; ++c) {
          const double h = xs(sequences.offsets[static_cast<std::size_t>(s)], c);
          he += h * e(0, c);
          hh += h * h;
          ee += e(0, c) * e(0, c);
        }
        scores.push_back(he / std::sqrt(hh * ee) / 0.05);
      }
      const auto task = static_cast<std::size_t>(tasks[static_cast<std::size_t>(s)]);
      loss -= std::log(softmax(scores)[task]) / static_cast<double>(sequences.count());
    }
    return hyper.contrast_weight * loss;
  }

  /// routing_weight * the mean over gate vectors of -log softmax(scores) at the task of its sample.
  double naive_routing() {
    const auto gates = naive_gates().first;
    double sum = 0, units = 0;
    for (Index t = 0; t < sequences.tokens(); ++t) {
      // A sequence's gate counts once, each of its tokens as a share of it.
      const auto s = static_cast<std::size_t>(sequence_of(t));
      const auto length = static_cast<double>(sequences.offsets[s + 1] - sequences.offsets[s]);
      const double share = form.per_sequence ? 1 / length : 1;
      const auto label = static_cast<std::size_t>(tasks[s]);
      sum -= share * std::log(gates[static_cast<std::size_t>(t)].probabilities[label]);
      units += share;
    }
    return hyper.routing_weight * sum / units;
  }

  /// balance_weight * var(Z) / mean(Z)^2 over samples and branches, Z the sum of a sample's weights
  /// for a branch times 1 + delta, if branch and task are both of the first half or both not (tasks
  /// take turns), or 1 - delta.
  double naive_localised() {
    const auto gates = naive_gates().first;
    std::vector<double> z;
    for (Index s = 0; s < sequences.count(); ++s) {
      for (Index b = 0; b < form.capacity; ++b) {
        double q = 0;
        for (Index t = 0; t < sequences.tokens(); ++t) {
          if (sequence_of(t) != s) continue;
          q += gates[static_cast<std::size_t>(t)].weights[static_cast<std::size_t>(b)];
        }
        const bool odd_task = tasks[static_cast<std::size_t>(s)] % 2 == 1;
        const bool second_half = b >= form.capacity / 2;
        z.push_back(q * (odd_task == second_half ? 1.2 : 0.8));
      }
    }
    double mean = 0, variance = 0;
    for (const double v : z) mean += v / static_cast<double>(z.size());
    for (const double v : z) variance += (v - mean) * (v - mean) / static_cast<double>(z.size());
    return hyper.balance_weight * variance / (mean * mean);
  }

  /// The load of each branch: its share of all choices.
  std::vector<double> naive_loads() {
    std::vector<double> loads(static_cast<std::size_t>(form.capacity));
    double choices = 0;
    for (const NaiveGate& gate : naive_gates().second) {
      for (const Index i : gate.chosen) loads[static_cast<std::size_t>(i)] += 1;
      choices += static_cast<double>(gate.chosen.size());
    }
    for (double& load : loads) load /= std::max(1.0, choices);
    return loads;
  }

  /// balance_weight * N * sum of f_i P_i with given loads f.
  double naive_balance(const std::vector<double>& loads) {
    const auto units = naive_gates().second;
    double sum = 0;
    for (std::size_t i = 0; i < loads.size(); ++i) {
      double mean = 0;
      for (const NaiveGate& gate : units) {
        mean += gate.probabilities[i] / static_cast<double>(units.size());
      }
      sum += loads[i] * mean;
    }
    return hyper.balance_weight * static_cast<double>(form.capacity) * sum;
  }

  Form form;
  Hyper hyper;
  Index d_in;
  B backend;
  ParameterSet<B> parameters;
  AdaptedLinear<B> linear;
  Parameter<T>* x = nullptr;
  Sequences sequences;
  std::vector<std::int32_t> tasks;
  bool supervise = false;
  AuxiliaryLosses* losses = nullptr;
  Index stage = 0;
};

/// The bench of variant `V`.
template <class V, std::floating_point T = double>
class AdapterBench : public AnyBench<T> {
 public:
  using B = eigen::Backend<T>;

  explicit AdapterBench(const std::vector<Index>& lengths = {3, 1, 4}, int threads = 1,
                        Index d_in_ = 10, Index d_out = 7, const Hyper& hyper_ = AnyBench<T>::usual)
      : AnyBench<T>(form_of<V>(), method_of<B, V>(), lengths, threads, d_in_, d_out, hyper_) {}

  auto& layer() { return dynamic_cast<LayerOf<B, V>&>(this->adapter()); }
  BranchSet allowed(Index task) override {
    if constexpr (requires { layer().allowed(task); }) return layer().allowed(task);
    return 0;
  }
  Index routers() override {
    if constexpr (requires { layer().routers(); }) return layer().routers();
    return 0;
  }
  std::vector<double> bias() override {
    if constexpr (requires { layer().bias(); }) {
      const auto found = layer().bias();
      return {found.begin(), found.end()};
    }
    return {};
  }
};

/// The output and all gradients of one step.
template <std::floating_point T>
std::vector<Dense> results_of_step(AnyBench<T>& bench) {
  Tape<eigen::Backend<T>> tape(bench.backend);
  const auto y = bench.forward(tape);
  std::vector<Dense> results{to_dense(y.value())};
  tape.backward(weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 60)));
  for (auto& p : bench.parameters) {
    if (p.has_grad) results.push_back(to_dense(p.grad));
  }
  return results;
}

/// The same of a large batch on `threads` threads, after `prepare(bench)`. There are more tokens
/// than any unit of work: 1024 elements, blocks of 48 tokens, 256 columns.
template <class V, class T, class Prepare>
std::vector<Dense> large_step(int threads, Prepare prepare) {
  AdapterBench<V, T> bench({500, 1, 300, 260}, threads, 300, 270);
  prepare(bench);
  return results_of_step<T>(bench);
}

}  // namespace branchlora::test
