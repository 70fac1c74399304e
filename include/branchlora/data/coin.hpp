/// @file
/// The CoIN benchmark as it is published (Chen et al., "CoIN: a benchmark of continual instruction
/// tuning for multimodal large language models", 2024).
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/data/scorers.hpp"
#include "branchlora/data/task.hpp"

namespace branchlora::data {

/// How CoIN words its instructions.
enum class InstructionType {
  Original,  ///< One wording a task.
  Diverse,   ///< A wording for each task alone.
  TenType,   ///< Ten wordings a task.
};

/// The name by which options and folders call it: `Original`, `Diverse` or `10Type`.
constexpr std::string_view to_string(InstructionType type) {
  switch (type) {
    case InstructionType::Original:
      return "Original";
    case InstructionType::Diverse:
      return "Diverse";
    case InstructionType::TenType:
      return "10Type";
  }
  return "unknown";
}

/// The type of that name. Throws `Error` listing the names.
inline InstructionType parse_instruction_type(std::string_view name) {
  using enum InstructionType;
  for (const InstructionType type : {Original, Diverse, TenType}) {
    if (to_string(type) == name) return type;
  }
  fail("expected the instructions Original, Diverse or 10Type, found '{}'", name);
}

/// A task of CoIN: the name of its folder, and how its answers are judged.
struct CoinTask {
  std::string_view name;
  Scorer scorer;
};

/// CoIN's tasks in its order.
inline constexpr std::array<CoinTask, 8> coin_tasks{{
    {"ScienceQA", Scorer::OptionLetter},
    {"TextVQA", Scorer::SoftVqa},
    {"ImageNet", Scorer::Substring},
    {"GQA", Scorer::ExactMatch},
    {"VizWiz", Scorer::ExactMatch},
    {"Grounding", Scorer::Iou},
    {"VQAv2", Scorer::ExactMatch},
    {"OCRVQA", Scorer::ExactMatch},
}};

/// The task `name` of the CoIN folder `root`: `<root>/Instructions_<type>/<name>/train.json`, and
/// `test.json` or, where there is none, `val.json`. Its images lie below `images`, or `root` if
/// that is empty. Throws `Error` if CoIN has no such task or a file is absent or damaged.
inline Task load_coin_task(const std::filesystem::path& root, InstructionType type,
                           std::string_view name, const std::filesystem::path& images = {}) {
  const auto known = std::ranges::find(coin_tasks, name, &CoinTask::name);
  if (known == coin_tasks.end()) {
    std::vector<std::string_view> names;
    for (const CoinTask& task : coin_tasks) names.push_back(task.name);
    fail("expected a task of CoIN ({}), found '{}'", fmt::join(names, ", "), name);
  }
  const auto folder = root / fmt::format("Instructions_{}", to_string(type)) / name;
  const bool only_val = !exists(folder / "test.json") && exists(folder / "val.json");
  Task task;
  task.info.name = name;
  task.info.scorer = known->scorer;
  task.folder = images.empty() ? root : images;
  task.train = load_instructions(folder / "train.json");
  task.test = load_instructions(folder / (only_val ? "val.json" : "test.json"));
  return task;
}

/// All eight tasks of a CoIN folder, in CoIN's order (see `load_coin_task`).
inline std::vector<Task> load_coin(const std::filesystem::path& root, InstructionType type,
                                   const std::filesystem::path& images = {}) {
  std::vector<Task> tasks;
  for (const CoinTask& task : coin_tasks) {
    tasks.push_back(load_coin_task(root, type, task.name, images));
  }
  return tasks;
}

}  // namespace branchlora::data
