/// @file
/// An adapted linear layer with its surroundings, and the same layer written down token by token.
#pragma once

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "support/gradient_check.hpp"
#include "support/variants.hpp"

namespace branchlora::test {

/// What a variant is, as plain values.
struct Form {
  Index rank, capacity, top_k;
  bool shared, routed, per_task, first_token, mean_token, softmax_first, balanced;
  double balance_weight;
  bool of_task, mapped, bias, prefix, transformed;
  bool sigmoid, biased, argmax;
};

template <class V>
Form form_of(const Hyper& hyper) {
  using G = typename V::Granularity;
  return {V::rank, V::capacity, V::top_k, V::Trunk::shared, V::gate_rows > 0, V::per_task_router,
          std::is_same_v<G, per::FirstToken>, std::is_same_v<G, per::MeanToken>,
          std::is_same_v<typename V::Gating, gating::SoftmaxThenTopK>,
          ProbabilityBalance<typename V::Balance>, hyper.balance_weight,
          std::is_same_v<G, per::Task>, requires {requires V::Router::mapped;
}
, requires { requires V::Router::bias; }
, std::is_same_v<typename V::Gating, gating::RankPrefix>, V::Transform::enabled,
    std::is_same_v<typename V::Gating, gating::SigmoidRenormalised>,
    BiasedGating<typename V::Gating>, std::is_same_v<typename V::Gating, gating::Argmax>
};  // namespace branchlora::test
}

/// The gates of one token or sequence.
struct NaiveGate {
  std::vector<double> probabilities;  ///< Softmax over all allowed branches.
  std::vector<double> weights;        ///< Zero where not chosen.
  std::vector<Index> chosen;
  double gap = 1e9;  ///< Between the worst chosen and the best allowed branch left out.
};

/// The gates for scores of which those with `allowed(i)` count. `bias` is empty if there is none.
inline NaiveGate naive_gate(const Form& form, const std::vector<double>& logits, BranchSet allowed,
                            const std::vector<double>& bias = {}) {
  const auto n = static_cast<std::size_t>(form.capacity);
  std::vector<Index> order;
  std::vector<double> scores;
  for (Index i = 0; i < form.capacity; ++i) {
    if ((allowed >> i & 1U) == 0) continue;
    order.push_back(i);
    scores.push_back(logits[static_cast<std::size_t>(i)]);
  }
  NaiveGate gate{std::vector<double>(n), std::vector<double>(n), {}};
  scores = softmax(scores);
  for (std::size_t k = 0; k < order.size(); ++k) {
    gate.probabilities[static_cast<std::size_t>(order[k])] = scores[k];
  }
  // What the choice is made by.
  const auto logit = [&](Index index) {
    const auto i = static_cast<std::size_t>(index);
    if (form.sigmoid) return 1 / (1 + std::exp(-logits[i])) + bias[i];
    return form.biased ? gate.probabilities[i] + bias[i] : logits[i];
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return logit(a) > logit(b); });
  if (form.prefix) {
    if (order.size() > 1) gate.gap = logit(order[0]) - logit(order[1]);
    for (Index j = 0; j <= order[0]; ++j) {
      gate.weights[static_cast<std::size_t>(j)] =
          std::pow(static_cast<double>(j + 1) / static_cast<double>(form.capacity), 2);
    }
    gate.chosen = {order[0]};
    return gate;
  }
  if (std::ssize(order) > form.top_k) {
    gate.gap = logit(order[static_cast<std::size_t>(form.top_k - 1)]) -
               logit(order[static_cast<std::size_t>(form.top_k)]);
    order.resize(static_cast<std::size_t>(form.top_k));
  }
  gate.chosen = order;
  const auto value = [&](Index i) {
    return form.biased ? logit(i) : gate.probabilities[static_cast<std::size_t>(i)];
  };
  double total = 0;
  for (const Index i : order) total += value(i);
  for (const Index i : order) {
    gate.weights[static_cast<std::size_t>(i)] = value(i) / (form.softmax_first ? 1.0 : total);
  }
  if (form.argmax) gate.weights[static_cast<std::size_t>(order[0])] = 1;
  return gate;
}

/// An adapted linear of `V` called "layer" on a batch of sequences. `x` is a parameter of its own,
/// so that its gradient can be checked as well.
template <class V, std::floating_point T = double>
class AdapterBench {
 public:
  using B = eigen::Backend<T>;

  static constexpr Hyper usual{.alpha = 6.0,
                               .dropout = 0.0,
                               .balance_weight = 0.7,
                               .temperature = 0.6,
                               .contrast_weight = 0.3,
                               .routing_weight = 0.8,
                               .balance_delta = 0.2};

  explicit AdapterBench(const std::vector<Index>& lengths = {3, 1, 4}, int threads = 1,
                        Index d_in_ = 10, Index d_out_ = 7, const Hyper& hyper_ = usual)
      : hyper(hyper_),
        d_in(d_in_),
        backend(threads),
        parameters(backend),
        linear(parameters, "layer", d_in_, d_out_) {
    for (const Index length : lengths) sequences.push(length);
    tasks.assign(lengths.size(), 0);
    linear.base().initialize(Random(3));
    linear.base().freeze();
    linear.attach(method_of<B, V>(), hyper, Random(4));
    x = &parameters.add("x", sequences.tokens(), d_in);
    assign(x->value, random_dense(sequences.tokens(), d_in, 50));
    parameters.set_trainable(*x, true);
  }

  /// Fills everything that is the adapter's with normal numbers, B included.
  void randomise() {
    std::uint64_t stream = 100;
    for (auto& p : parameters) {
      if (is_adapter(p.name)) {
        assign(p.value, random_dense(p.value.rows, p.value.cols, stream++, 0.5));
      }
    }
  }

  void begin_task(Index task) { layer().begin_task(task); }

  void begin_stage(Index stage_) {
    stage = stage_;
    layer().begin_stage(stage);
  }

  /// Whether a training sample takes its task's branch.
  bool task_known() const {
    return supervise && V::Supervision::stages[static_cast<std::size_t>(stage)].task_known;
  }

  /// Two tasks where routers are per task, three where they are labels, and every parameter
  /// trainable; the sequences take turns.
  void two_tasks() {
    begin_task(0);
    if (V::labelled) {
      if (V::Supervision::enabled) {
        begin_task(1);
        begin_task(2);
      }
      for (std::size_t s = 0; s < tasks.size(); ++s) tasks[s] = static_cast<std::int32_t>(s % 3);
    }
    if (V::per_task_router) {
      layer().end_task();
      begin_task(1);
      for (std::size_t s = 0; s < tasks.size(); ++s) tasks[s] = static_cast<std::int32_t>(s % 2);
    }
    randomise();
    for (auto& p : parameters) {
      if (is_adapter(p.name)) parameters.set_trainable(p, true);
    }
  }

  static bool is_adapter(const std::string& name) {
    return name.starts_with("layer.lora") || name.starts_with("layer.router");
  }

  auto& layer() { return dynamic_cast<LayerOf<B, V>&>(*linear.adapter()); }
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

  /// The scores of branches that a task has, whatever the input.
  std::vector<double> naive_task_scores(Index task) {
    const Form form = form_of<V>(hyper);
    const Dense e = value("layer.router." + std::to_string(task));
    std::vector<double> scores(static_cast<std::size_t>(form.capacity));
    for (Index i = 0; i < form.capacity; ++i) {
      double score = form.mapped ? 0 : e(0, i);
      for (Index c = 0; form.mapped && c < e.cols; ++c) {
        score += value("layer.router.shared")(i, c) * e(0, c);
      }
      if (form.bias) score += value("layer.router.shared.bias")(0, i);
      scores[static_cast<std::size_t>(i)] = score / hyper.temperature;
    }
    return scores;
  }

  /// The gates of each token (first) and of each gate vector (second).
  std::pair<std::vector<NaiveGate>, std::vector<NaiveGate>> naive_gates() {
    const Form form = form_of<V>(hyper);
    std::vector<NaiveGate> tokens, units;
    const Dense xs = to_dense(x->value);
    for (Index s = 0; s < sequences.count(); ++s) {
      const Index first = sequences.offsets[static_cast<std::size_t>(s)];
      const Index last = sequences.offsets[static_cast<std::size_t>(s) + 1];
      const Index task = form.per_task ? tasks[static_cast<std::size_t>(s)] : 0;
      if (form.of_task) {
        units.push_back(naive_gate(form, naive_task_scores(task), layer().allowed(task)));
        tokens.insert(tokens.end(), static_cast<std::size_t>(last - first), units.back());
        continue;
      }
      const Dense router =
          value(form.per_task ? "layer.router." + std::to_string(task) : "layer.router");
      for (Index t = first; t < last; ++t) {
        const bool per_token = !form.first_token && !form.mean_token;
        std::vector<double> logits;
        for (Index i = 0; i < form.capacity; ++i) {
          double score = 0;
          for (Index c = 0; c < d_in; ++c) {
            double input = xs(t, c);
            if (form.first_token) input = xs(first, c);
            if (form.mean_token) {
              input = 0;
              for (Index r = first; r < last; ++r) {
                input += xs(r, c) / static_cast<double>(last - first);
              }
            }
            score += router(i, c) * input;
          }
          logits.push_back(score / hyper.temperature);
        }
        tokens.push_back(naive_gate(form, logits, layer().allowed(task), bias()));
        if (task_known()) {
          const Index label = tasks[static_cast<std::size_t>(s)];
          tokens.back().weights.assign(static_cast<std::size_t>(form.capacity), 0.0);
          tokens.back().weights[static_cast<std::size_t>(label)] = 1;
          tokens.back().gap = 1e9;
        }
        if (per_token || t == first) units.push_back(tokens.back());
      }
    }
    return {tokens, units};
  }

  /// y = W x + s sum over the chosen i of g_i B_i A_i x, token by token.
  Dense naive_output() {
    const Form form = form_of<V>(hyper);
    Dense y = base_output();
    const Dense xs = to_dense(x->value);
    const auto gates = form.routed ? naive_gates().first : std::vector<NaiveGate>();
    for (Index t = 0; t < y.rows; ++t) {
      for (Index i = 0; i < form.capacity; ++i) {
        double g = 1;
        if (form.routed) {
          g = gates[static_cast<std::size_t>(t)].weights[static_cast<std::size_t>(i)];
        }
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
          for (Index o = 0; o < y.cols; ++o) y(t, o) += V::scale(hyper) * g * b(q, o) * u;
        }
      }
    }
    return y;
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
      for (Index k = 0; k < layer().routers(); ++k) {
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

  /// The bias of each branch, if the gating has any.
  std::vector<double> bias() {
    if constexpr (BiasedGating<typename V::Gating>) {
      const auto state = layer().state();
      std::vector<double> values;
      for (std::size_t i = state.size() - V::capacity; i < state.size(); ++i) {
        values.push_back(std::bit_cast<double>(state[i]));
      }
      return values;
    }
    return {};
  }

  /// routing_weight * the mean over gate vectors of -log softmax(scores) at the task of its sample.
  double naive_routing() {
    const auto gates = naive_gates().first;
    double sum = 0, units = 0;
    for (Index t = 0; t < sequences.tokens(); ++t) {
      // A sequence's gate counts once, each of its tokens as a share of it.
      const auto s = static_cast<std::size_t>(sequence_of(t));
      const auto length = static_cast<double>(sequences.offsets[s + 1] - sequences.offsets[s]);
      const double share = V::Granularity::per_sequence ? 1 / length : 1;
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
      for (Index b = 0; b < V::capacity; ++b) {
        double q = 0;
        for (Index t = 0; t < sequences.tokens(); ++t) {
          if (sequence_of(t) != s) continue;
          q += gates[static_cast<std::size_t>(t)].weights[static_cast<std::size_t>(b)];
        }
        const bool odd_task = tasks[static_cast<std::size_t>(s)] % 2 == 1;
        const bool second_half = b >= V::capacity / 2;
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
    std::vector<double> loads(static_cast<std::size_t>(V::capacity));
    double choices = 0;
    for (const NaiveGate& gate : naive_gates().second) {
      for (const Index i : gate.chosen) loads[static_cast<std::size_t>(i)] += 1;
      choices += static_cast<double>(gate.chosen.size());
    }
    for (double& load : loads) load /= choices;
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
    return hyper.balance_weight * static_cast<double>(V::capacity) * sum;
  }

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

/// A new adapter of `V` changes no bit of the base's output, and not because anything but B is
/// zero.
template <class V>
void check_new_adapter_changes_nothing() {
  AdapterBench<V> bench;
  bench.begin_task(0);
  Tape<eigen::Backend<double>> tape(bench.backend);
  const Dense base = to_dense(bench.linear.base()(tape, tape.parameter(*bench.x)).value());
  CHECK(bench.output() == base);
  for (auto& p : bench.parameters) {
    if (!p.name.starts_with("layer.lora_B")) CHECK(largest(to_dense(p.value)) > 0);
  }
}

/// The output and all gradients of one step on `threads` threads, after `prepare(bench)`. There are
/// more tokens than any unit of work: 1024 elements, blocks of 48 tokens, 256 columns.
template <class V, class T, class Prepare>
std::vector<Dense> large_step(int threads, Prepare prepare) {
  AdapterBench<V, T> bench({500, 1, 300, 260}, threads, 300, 270);
  prepare(bench);
  Tape<eigen::Backend<T>> tape(bench.backend);
  const auto y = bench.forward(tape);
  std::vector<Dense> results{to_dense(y.value())};
  tape.backward(weighted_sum(tape, y, random_dense(bench.sequences.tokens(), 270, 60)));
  for (auto& p : bench.parameters) {
    if (p.has_grad) results.push_back(to_dense(p.grad));
  }
  return results;
}

}  // namespace branchlora::test
