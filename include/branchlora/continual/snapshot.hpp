/// @file
/// The state of a continual run after a task, on disk: what a killed run continues from.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "branchlora/continual/metrics.hpp"
#include "branchlora/continual/strategy.hpp"
#include "branchlora/continual/task_selector.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/model/checkpoint.hpp"
#include "branchlora/model/multimodal.hpp"

namespace branchlora::continual {

/// What a run has beside its parameters.
struct Progressed {
  Index tasks_done = 0;
  std::vector<std::vector<double>> scores;  ///< Rows of R, with the selector's choice of router.
  std::vector<std::vector<double>>
      scores_given;  ///< The same with the true task, if there is a selector.
  std::vector<double> stage_seconds;
  double selector_accuracy = 0;
  TaskSelector selector;
  std::vector<Index> strategy_bytes;  ///< The most memory that each strategy has held.
};

namespace detail {

/// A parameter that can differ from the base.
template <class T>
bool is_learned(const Parameter<T>& p) {
  return p.name.find(".lora_") != std::string::npos ||
         p.name.find(".router") != std::string::npos || p.name.starts_with("projector.");
}

inline nlohmann::json to_json(const std::vector<Embedding>& keys) {
  auto json = nlohmann::json::array();
  for (const Embedding& k : keys) json.push_back({{"image", k.image}, {"text", k.text}});
  return json;
}

/// How the tensors of a run's strategy number `i` begin.
inline std::string strategy_prefix(std::size_t i) { return fmt::format("strategy.{}.", i); }

/// The states of a file's strategies.
template <Backend B>
void restore_strategies(const io::SafeTensors& file, const Strategies<B>& strategies) {
  using T = typename B::Scalar;
  const auto names = file.names();
  for (std::size_t i = 0; i < strategies.size(); ++i) {
    const std::string prefix = strategy_prefix(i);
    StrategyState<T> state;
    for (const auto& name : names) {
      if (!name.starts_with(prefix)) continue;
      const io::TensorView& tensor = file.tensor(name);
      expect(tensor.shape.size() == 2, "{}: tensor '{}': expected a matrix, found shape [{}]",
             file.path().string(), name, fmt::join(tensor.shape, ", "));
      HostMatrix<T>& m = state[name.substr(prefix.size())];
      m = {tensor.shape[0], tensor.shape[1],
           std::vector<T>(static_cast<std::size_t>(tensor.size()))};
      file.read(name, std::span<T>(m.values));
    }
    strategies[i]->restore(state);
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
  auto adapters = nlohmann::json::array();
  model.for_each_adapter([&](auto& adapter) { adapters.push_back(adapter.state()); });
  nlohmann::json json{{"tasks_done", progress.tasks_done},
                      {"scores", progress.scores},
                      {"scores_given", progress.scores_given},
                      {"stage_seconds", progress.stage_seconds},
                      {"selector_accuracy", progress.selector_accuracy},
                      {"keys", detail::to_json(progress.selector.keys())},
                      {"adapters", adapters},
                      {"run", run}};
  std::vector<StrategyState<T>> states;
  for (const auto& s : strategies) states.push_back(s->state());
  std::vector<io::TensorOut> tensors;
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (const auto& [name, m] : states[i]) {
      tensors.push_back(io::tensor_out(detail::strategy_prefix(i) + name, {m.rows, m.cols},
                                       std::span<const T>(m.values)));
    }
  }
  if (!strategies.empty()) json["strategy_bytes"] = progress.strategy_bytes;
  std::filesystem::create_directories(std::filesystem::absolute(path).parent_path());
  model::save_parameters(
      path, model.parameters(), [](const auto& p) { return detail::is_learned(p); },
      {{"format", "pt"}, {"variant", method.description}, {"continual", json.dump()}},
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
  const auto json = io::parse_json(entry("continual"), path.string());
  Progressed progress;
  try {
    expect(!run || json.at("run") == *run,
           "{}: this checkpoint is of another run: expected {}, found {}", path.string(), *run,
           json.at("run").template get<std::string>());
    json.at("tasks_done").get_to(progress.tasks_done);
    json.at("scores").get_to(progress.scores);
    json.at("scores_given").get_to(progress.scores_given);
    json.at("stage_seconds").get_to(progress.stage_seconds);
    json.at("selector_accuracy").get_to(progress.selector_accuracy);
    for (const auto* rows : {&progress.scores, &progress.scores_given}) {
      expect(std::ssize(*rows) == progress.tasks_done,
             "{}: expected scores after each of {} tasks, found {} rows", path.string(),
             progress.tasks_done, rows->size());
    }
    if (!strategies.empty()) json.at("strategy_bytes").get_to(progress.strategy_bytes);
    std::vector<Embedding> keys;
    for (const auto& k : json.at("keys"))
      keys.push_back({k.at("image").template get<std::vector<double>>(),
                      k.at("text").template get<std::vector<double>>()});
    progress.selector.set_keys(std::move(keys));
    std::size_t i = 0;
    model.for_each_adapter([&](auto& adapter) {
      const auto state = json.at("adapters").at(i++).template get<std::vector<std::uint64_t>>();
      adapter.restore(state);
    });
  } catch (const nlohmann::json::exception& e) {
    fail("{}: the state of the run can not be read: {}", path.string(), e.what());
  }
  model::load_parameters(file, model.parameters(),
                         [](const auto& p) { return detail::is_learned(p); });
  detail::restore_strategies(file, strategies);
  return progress;
}

}  // namespace branchlora::continual
