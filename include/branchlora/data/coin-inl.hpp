/// @file
/// How CoIN's folders are read.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/coin.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/data/scorers.hpp"
#include "branchlora/data/task.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE InstructionType parse_instruction_type(std::string_view name) {
  using enum InstructionType;
  for (const InstructionType type : {Original, Diverse, TenType}) {
    if (to_string(type) == name) return type;
  }
  fail("expected the instructions Original, Diverse or 10Type, found '{}'", name);
}

BRANCHLORA_INLINE Task load_coin_task(const std::filesystem::path& root, InstructionType type,
                                      std::string_view name, const std::filesystem::path& images) {
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

BRANCHLORA_INLINE std::vector<Task> load_coin(const std::filesystem::path& root,
                                              InstructionType type,
                                              const std::filesystem::path& images) {
  std::vector<Task> tasks;
  for (const CoinTask& task : coin_tasks) {
    tasks.push_back(load_coin_task(root, type, task.name, images));
  }
  return tasks;
}

}  // namespace branchlora::data
