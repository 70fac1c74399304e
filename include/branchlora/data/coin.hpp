/// @file
/// The CoIN benchmark as it is published (Chen et al., "CoIN: a benchmark of continual instruction
/// tuning for multimodal large language models", 2024).
#pragma once

#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

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
InstructionType parse_instruction_type(std::string_view name);

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
Task load_coin_task(const std::filesystem::path& root, InstructionType type, std::string_view name,
                    const std::filesystem::path& images = {});

/// All eight tasks of a CoIN folder, in CoIN's order (see `load_coin_task`).
std::vector<Task> load_coin(const std::filesystem::path& root, InstructionType type,
                            const std::filesystem::path& images = {});

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/coin-inl.hpp"
#endif
