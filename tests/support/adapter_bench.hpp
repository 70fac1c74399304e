/// @file
/// An adapted linear layer with its surroundings, and the same layer written down token by token.
#pragma once

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
};

template <class V>
Form form_of(const Hyper& hyper) {
  using G = typename V::Granularity;
  return {V::rank,
          V::capacity,
          V::top_k,
          V::Trunk::shared,
          V::gate_rows > 0,
          V::per_task_router,
          std::is_same_v<G, per::FirstToken>,
          std::is_same_v<G, per::MeanToken>,
          std::is_same_v<typename V::Gating, gating::SoftmaxThenTopK>,
          V::Balance::enabled,
          hyper.balance_weight};
}

/// The gates of one token or sequence.
struct NaiveGate {
  std::vector<double> probabilities;  ///< Softmax over all allowed branches.
  std::vector<double> weights;        ///< Zero where not chosen.
  std::vector<Index> chosen;
  double gap = 1e9;  ///< Between the worst chosen and the best allowed branch left out.
};

/// The gates for scores of which those with `allowed(i)` count.
inline NaiveGate naive_gate(const Form& form, const std::vector<double>& logits,
                            BranchSet allowed) {
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
  const auto logit = [&](Index i) { return logits[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return logit(a) > logit(b); });
  if (std::ssize(order) > form.top_k) {
    gate.gap = logit(order[static_cast<std::size_t>(form.top_k - 1)]) -
               logit(order[static_cast<std::size_t>(form.top_k)]);
    order.resize(static_cast<std::size_t>(form.top_k));
  }
  gate.chosen = order;
  double total = 0;
  for (const Index i : order) total += gate.probabilities[static_cast<std::size_t>(i)];
  for (const Index i : order) {
    gate.weights[static_cast<std::size_t>(i)] =
        gate.probabilities[static_cast<std::size_t>(i)] / (form.softmax_first ? 1.0 : total);
  }
  return gate;
}

/// An adapted linear of `V` called "layer" on a batch of sequences. `x` is a parameter of its own,
/// so that its gradient can be checked as well.
template <class V, std::floating_point T = double>
class AdapterBench {
 public:
  using B = eigen::Backend<T>;

  static constexpr Hyper hyper{.alpha = 6.0, .dropout = 0.0, .balance_weight = 0.7};

  explicit AdapterBench(const std::vector<Index>& lengths = {3, 1, 4}, int threads = 1,
                        Index d_in_ = 10, Index d_out_ = 7)
      : d_in(d_in_),
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

  /// Two tasks where routers are per task, and every one of them trainable; the sequences take
  /// turns.
  void two_tasks() {
    begin_task(0);
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

  auto& layer() { return dynamic_cast<AdapterLayer<B, V>&>(*linear.adapter()); }
  Routing routing() { return {&sequences, tasks, Routing::Memory::none, false, nullptr}; }

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

  /// The gates of each token (first) and of each gate vector (second).
  std::pair<std::vector<NaiveGate>, std::vector<NaiveGate>> naive_gates() {
    const Form form = form_of<V>(hyper);
    std::vector<NaiveGate> tokens, units;
    const Dense xs = to_dense(x->value);
    for (Index s = 0; s < sequences.count(); ++s) {
      const Index first = sequences.offsets[static_cast<std::size_t>(s)];
      const Index last = sequences.offsets[static_cast<std::size_t>(s) + 1];
      const Index task = form.per_task ? tasks[static_cast<std::size_t>(s)] : 0;
      const Dense router =
          value(form.per_task ? "layer.router." + std::to_string(task) : "layer.router");
      for (Index t = first; t < last; ++t) {
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
          logits.push_back(score);
        }
        tokens.push_back(naive_gate(form, logits, layer().allowed(task)));
        const bool per_token = !form.first_token && !form.mean_token;
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
        const Dense a = branch("lora_A", form.shared ? 0 : i);
        const Dense b = branch("lora_B", i);
        for (Index q = 0; q < form.rank; ++q) {
          double u = 0;
          for (Index c = 0; c < d_in; ++c) u += a(q, c) * xs(t, c);
          for (Index o = 0; o < y.cols; ++o) y(t, o) += V::scale(hyper) * g * b(q, o) * u;
        }
      }
    }
    return y;
  }

  /// The load of each branch: its share of all choices.
  std::vector<double> naive_loads() {
    std::vector<double> loads(static_cast<std::size_t>(V::capacity));
    const auto units = naive_gates().second;
    for (const NaiveGate& gate : units) {
      for (const Index i : gate.chosen) {
        loads[static_cast<std::size_t>(i)] +=
            1.0 / static_cast<double>(std::ssize(units) * V::top_k);
      }
    }
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

  Index d_in;
  B backend;
  ParameterSet<B> parameters;
  AdaptedLinear<B> linear;
  Parameter<T>* x = nullptr;
  Sequences sequences;
  std::vector<std::int32_t> tasks;
};

}  // namespace branchlora::test
