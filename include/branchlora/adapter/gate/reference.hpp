/// @file
/// A policy of gates written down plainly, in double, for one unit: what tests hold the fast code
/// against.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "branchlora/adapter/policy/branch_set.hpp"

namespace branchlora {

/// The gates of one unit, as a gating's `reference` says them.
struct GateReference {
  std::vector<double> weights;  ///< Of each branch; zero where it is not chosen.
  std::vector<Index> chosen;    ///< The branches that count as chosen.
  /// By how much scores, or what the choice is made by, must change at least for another choice.
  double gap = std::numeric_limits<double>::infinity();
  /// Where a gradient goes straight through a choice: the weights are multiplied by
  /// 1 + factor - stop(factor), whose value is 1 and whose gradient is that of `factor`.
  double factor = 0;
};

/// What a router's `reference` may read of one unit.
struct UnitReference {
  std::vector<double> input;  ///< What the unit is scored by; empty where the task alone decides.
  Index task = 0;             ///< Its task, where routers are per task.
  /// The rows of a parameter of the layer, by what follows the layer's name, such as ".router".
  std::function<std::vector<std::vector<double>>(const std::string& name)> parameter;
  std::string router = ".router";  ///< What follows the layer's name in that of the router.
  Index scores = 1;                ///< How many scores the gating asks for.
  Index biases = 0;  ///< How many scores, the last ones, have a trained bias, `<router>.bias`.
};

/// A gating with `reference(scores, allowed, k, bias)`: the gates for scores that are divided by
/// the temperature already, of which `k` branches are chosen; `bias` is that of each branch, or
/// empty. It is written as the gating's equation stands, independent of its other two functions.
template <class P>
concept ReferencedGating = requires(const std::vector<double>& v) {
  { P::reference(v, BranchSet{1}, Index{1}, v) } -> std::same_as<GateReference>;
};

/// A router with `reference(unit)`: the scores of a unit, before they are divided by the
/// temperature.
template <class P>
concept ReferencedRouter = requires(const UnitReference& unit) {
  { P::reference(unit) } -> std::same_as<std::vector<double>>;
};

namespace reference {

/// softmax of the first `n` scores over the allowed branches, zero elsewhere.
inline std::vector<double> softmax(const std::vector<double>& scores, BranchSet allowed,
                                   std::size_t n) {
  std::vector<double> p(n);
  double highest = -std::numeric_limits<double>::infinity();
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (contains(allowed, static_cast<Index>(i))) highest = std::max(highest, scores[i]);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (contains(allowed, static_cast<Index>(i))) sum += p[i] = std::exp(scores[i] - highest);
  }
  for (double& v : p) v /= sum;
  return p;
}

/// The allowed ones of the branches, the largest value first, ties to the lower index.
inline std::vector<Index> in_order(const std::vector<double>& values, BranchSet allowed) {
  std::vector<Index> order;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (contains(allowed, static_cast<Index>(i))) order.push_back(static_cast<Index>(i));
  }
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](Index i) { return values[static_cast<std::size_t>(i)]; });
  return order;
}

/// The `k` largest of the allowed values as the choice, all weights zero.
inline GateReference best(const std::vector<double>& values, BranchSet allowed, Index k) {
  GateReference g{std::vector<double>(values.size()), in_order(values, allowed)};
  const auto size = static_cast<std::size_t>(k);
  if (g.chosen.size() > size) {
    g.gap = values[static_cast<std::size_t>(g.chosen[size - 1])] -
            values[static_cast<std::size_t>(g.chosen[size])];
    g.chosen.resize(size);
  }
  return g;
}

/// Gives each chosen branch its value as its weight, divided by the sum of the chosen ones if
/// `shares`.
inline GateReference weighted(GateReference g, const std::vector<double>& values, bool shares) {
  double sum = 0;
  for (const Index i : g.chosen) sum += values[static_cast<std::size_t>(i)];
  for (const Index i : g.chosen) {
    g.weights[static_cast<std::size_t>(i)] =
        values[static_cast<std::size_t>(i)] / (shares ? sum : 1);
  }
  return g;
}

/// A matrix, given by its rows, times x.
inline std::vector<double> times(const std::vector<std::vector<double>>& rows,
                                 const std::vector<double>& x) {
  std::vector<double> y;
  for (const auto& row : rows) {
    double sum = 0;
    for (std::size_t c = 0; c < row.size(); ++c) sum += row[c] * x[c];
    y.push_back(sum);
  }
  return y;
}

}  // namespace reference
}  // namespace branchlora
