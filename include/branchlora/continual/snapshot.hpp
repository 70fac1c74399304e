/// @file
/// The state of a continual run after a task, on disk: what a killed run continues from.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/continual/metrics.hpp"
#include "branchlora/continual/strategy.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/model/checkpoint.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/selector/task_selector.hpp"

namespace branchlora::continual {

/// A selector of a run, with what was scored where it found the tasks.
struct Selected {
  std::unique_ptr<TaskSelector> selector;
  std::vector<std::vector<double>> scores;  ///< Rows of R.
  double accuracy = 0;  ///< Percent of the questions sent to their own task, after the last one.
};

/// What a run has beside its parameters.
struct Progressed {
  Progressed() = default;
  /// At the start of a run of `method`.
  template <Backend B>
  explicit Progressed(const Method<B>& method) {
    for (const SelectorMaker& maker : method.selectors) {
      selectors.push_back({maker.make(), {}, 0});
    }
  }

  Index tasks_done = 0;
  std::vector<std::vector<double>> scores;  ///< Rows of R; with the true task, where that is asked.
  std::vector<Selected> selectors;          ///< Those of the method; none: no task is to be found.
  std::vector<double> stage_seconds;
  std::vector<Index> strategy_bytes;  ///< The most memory that each strategy has held.
};

namespace detail {

/// A parameter that can differ from the base.
template <class T>
bool is_learned(const Parameter<T>& p) {
  return p.name.find(".lora_") != std::string::npos ||
         p.name.find(".router") != std::string::npos || p.name.starts_with("projector.");
}

/// The state of each adapter that is in no tensor.
using AdapterStates = std::vector<std::vector<std::uint64_t>>;

/// The JSON text that a snapshot has of all that is in no tensor.
std::string snapshot_text(const Progressed& progress, const AdapterStates& adapters,
                          const std::string& run, bool strategies);

/// Reads what `snapshot_text` wrote, of file `path`.
std::pair<Progressed, AdapterStates> read_snapshot_text(const std::string& text,
                                                        const std::string& path,
                                                        const std::optional<std::string>& run,
                                                        bool strategies);

/// How the tensors of a run's strategy number `i` begin.
std::string strategy_prefix(std::size_t i);

/// How the tensors of a run's selector number `i` begin.
std::string selector_prefix(std::size_t i);

/// The matrices of a file whose names begin with `prefix`, by what follows. Throws `Error` that
/// names the file and the tensor if one is no matrix.
template <class T>
HostMatrices<T> matrices_of(const io::SafeTensors& file, std::string_view prefix) {
  HostMatrices<T> matrices;
  for (const auto& name : file.names()) {
    if (!name.starts_with(prefix)) continue;
    const io::TensorView& tensor = file.tensor(name);
    expect(tensor.shape.size() == 2, "{}: tensor '{}': expected a matrix, found shape [{}]",
           file.path().string(), name, fmt::join(tensor.shape, ", "));
    HostMatrix<T>& m = matrices[name.substr(prefix.size())];
    m = {tensor.shape[0], tensor.shape[1], std::vector<T>(static_cast<std::size_t>(tensor.size()))};
    file.read(name, std::span<T>(m.values));
  }
  return matrices;
}

/// The states of a file's strategies.
template <Backend B>
void restore_strategies(const io::SafeTensors& file, const Strategies<B>& strategies) {
  for (std::size_t i = 0; i < strategies.size(); ++i) {
    strategies[i]->restore(matrices_of<typename B::Scalar>(file, strategy_prefix(i)));
  }
}

}  // namespace detail

/// Writes a snapshot to one safetensors file, whole or not at all. `run` identifies the run: a
/// snapshot of another is refused on `load_snapshot`.
template <Backend B>
void save_snapshot(const std::filesystem::path& path, model::Multimodal<B>& model,
                   const Method<B>& method, const Progressed& progress, const std::string& run,
                   const Strategies<B>& strategies = {}) {
  using T = typename B::Scalar;
  detail::AdapterStates adapters;
  model.for_each_adapter([&](auto& adapter) { adapters.push_back(adapter.state()); });
  std::vector<StrategyState<T>> states;
  for (const auto& s : strategies) states.push_back(s->state());
  std::vector<HostMatrices<double>> selectors;
  for (const Selected& s : progress.selectors) selectors.push_back(s.selector->state());
  std::vector<io::TensorOut> tensors;
  for (std::size_t i = 0; i < selectors.size(); ++i) {
    for (const auto& [name, m] : selectors[i]) {
      tensors.push_back(io::tensor_out(detail::selector_prefix(i) + name, {m.rows, m.cols},
                                       std::span<const double>(m.values)));
    }
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (const auto& [name, m] : states[i]) {
      tensors.push_back(io::tensor_out(detail::strategy_prefix(i) + name, {m.rows, m.cols},
                                       std::span<const T>(m.values)));
    }
  }
  std::filesystem::create_directories(std::filesystem::absolute(path).parent_path());
  model::save_parameters(
      path, model.parameters(), [](const auto& p) { return detail::is_learned(p); },
      {{"format", "pt"},
       {"variant", method.description},
       {"continual", detail::snapshot_text(progress, adapters, run, !strategies.empty())}},
      std::move(tensors));
}

/// Restores a snapshot into a model with its adapters attached, and into the run's strategies.
/// Throws `Error` if the file is of another run, variant or shape.
template <Backend B>
Progressed load_snapshot(const std::filesystem::path& path, model::Multimodal<B>& model,
                         const Method<B>& method, const std::optional<std::string>& run,
                         const Strategies<B>& strategies = {}) {
  const auto file = io::SafeTensors::open(path);
  const auto entry = [&](const char* key) {
    const auto found = file.metadata().find(key);
    expect(found != file.metadata().end(), "{}: expected '{}' in the metadata, found none",
           path.string(), key);
    return found->second;
  };
  expect(entry("variant") == method.description, "{}: expected a checkpoint of {}, found {}",
         path.string(), method.description, entry("variant"));
  auto [progress, adapters] =
      detail::read_snapshot_text(entry("continual"), path.string(), run, !strategies.empty());
  std::size_t i = 0;
  model.for_each_adapter([&](auto& adapter) {
    expect(i < adapters.size(),
           "{}: the state of the run can not be read: expected that of each adapter, found {}",
           path.string(), adapters.size());
    adapter.restore(adapters[i++]);
  });
  model::load_parameters(file, model.parameters(),
                         [](const auto& p) { return detail::is_learned(p); });
  expect(progress.selectors.size() == method.selectors.size(),
         "{}: expected what was scored by {} selectors, found {}", path.string(),
         method.selectors.size(), progress.selectors.size());
  for (std::size_t k = 0; k < method.selectors.size(); ++k) {
    auto& selector = progress.selectors[k].selector;
    selector = method.selectors[k].make();
    try {
      selector->restore(detail::matrices_of<double>(file, detail::selector_prefix(k)));
    } catch (const Error& e) {
      fail("{}: {}", path.string(), e.what());
    }
    expect(selector->tasks() == progress.tasks_done,
           "{}: expected a selector of {} tasks, found {}", path.string(), progress.tasks_done,
           selector->tasks());
  }
  detail::restore_strategies(file, strategies);
  return std::move(progress);
}

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/snapshot-inl.hpp"
#endif
