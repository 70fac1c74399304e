/// The methods of the comparison: each a family of variants with a rank, and the row that it
/// becomes under a budget.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/budget.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "rows.hpp"

namespace compare {

using namespace branchlora;

/// The decoder of the embedded benchmark's base, and what all methods are made to match.
inline constexpr ModelShape shape = llama_shape("minicoin", 4, 160, 416, 512);
inline constexpr StepShape step{.tokens = 560, .sequences = 16};
using Reference = Lora<32>;
inline constexpr double blocks = static_cast<double>(shape.layers);
inline constexpr double linears = 7.0 * blocks;

/// The hyper-parameters of every study, with those that a method has of its own.
inline Hyper hyper_with(std::initializer_list<std::pair<double Hyper::*, double>> own) {
  Hyper hyper = continual::Options{}.hyper;
  for (const auto& [field, value] : own) hyper.*field = value;
  return hyper;
}

/// A method and its row under each budget.
struct Entry {
  std::string name;
  std::map<Budget, study::Row> rows;

  /// This entry with another alpha than the one that scales its output by 2.
  Entry with_alpha(double alpha) const {
    Entry entry = *this;
    for (auto& [budget, row] : entry.rows) row.hyper.alpha = alpha;
    return entry;
  }

  /// This entry trained otherwise than in a stream.
  Entry under(study::Protocol protocol) const {
    Entry entry = *this;
    for (auto& [budget, row] : entry.rows) row.protocol = protocol;
    return entry;
  }

  /// This entry with a strategy of the training loop, under another name.
  template <class Strategy>
  Entry with(std::string other, const Strategy& strategy) const {
    Entry entry{std::move(other), {}};
    for (const auto& [budget, row] : rows) {
      study::Row changed = row.with(strategy);
      changed.name = entry.name;
      entry.rows.emplace(budget, changed);
    }
    return entry;
  }
};

/// A row of variant `V`. Where it has its task found, all of `study::Selectors` find it.
template <class V>
study::Row row(const std::string& name, const Hyper& hyper) {
  return study::stream<study::SelectedByEach<V>>(name, hyper);
}

/// `Family<same_rank>` where ranks are equal, else the rank, `most` at most, that costs what
/// `Reference` does.
template <template <int> class Family, int same_rank, int most = 64>
Entry entry(const std::string& name, const Hyper& hyper = continual::Options{}.hyper) {
  constexpr int same_size = rank_for<Family, Reference, most>(Budget::parameters, shape, step);
  constexpr int same_work = rank_for<Family, Reference, most>(Budget::flops, shape, step);
  return {name,
          {{Budget::rank, row<Family<same_rank>>(name, hyper)},
           {Budget::parameters, row<Family<same_size>>(name, hyper)},
           {Budget::flops, row<Family<same_work>>(name, hyper)}}};
}

// One source file each, so that they compile side by side.
std::vector<Entry> simple();  ///< What any method must beat: banks, replay, and doing less.
std::vector<Entry> single();  ///< One branch, and strategies of the loop around it.
std::vector<Entry> dense();   ///< Every branch has a weight.
std::vector<Entry> sparse();  ///< The best branches are chosen.

}  // namespace compare
