/// @file
/// A task of a continual stream: a folder with a training and a test file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "branchlora/data/sample.hpp"
#include "branchlora/data/scorers.hpp"

namespace branchlora::data {

/// What `tasks.json` says of a task.
struct TaskInfo {
  std::string name;
  Scorer scorer = Scorer::ExactMatch;
  std::string suffix;                    ///< Closes each instruction; empty if there is none.
  std::vector<std::string> paraphrases;  ///< Other wordings of `suffix`, itself the first.
};

/// A task with its samples. Images lie below `folder` (see `ImageStore`).
struct Task {
  TaskInfo info;
  std::filesystem::path folder;
  std::vector<Sample> train;
  std::vector<Sample> test;
};

/// The tasks that the file `path` lists, in its order: a JSON list of objects with `name`,
/// `scorer`, `suffix` (or null) and `paraphrases`; other fields are ignored. Throws `Error`.
std::vector<TaskInfo> load_task_infos(const std::filesystem::path& path);

/// The names of the tasks that a pack's `tasks.json` lists, in the order in which they are learned.
/// What begins with "00-" is data for pretraining, and no task. Throws `Error`.
std::vector<std::string> load_stream(const std::filesystem::path& pack);

/// The task in `folder`: its `train.json` and `test.json`, and what `tasks.json` of the parent
/// folder says of the folder's name. Without a `tasks.json`, answers are judged by exact match.
/// Throws `Error` naming the file at fault.
Task load_task(const std::filesystem::path& folder);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/task-inl.hpp"
#endif
