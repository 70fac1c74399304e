/// @file
/// A task of a continual stream: a folder with a training and a test file.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/scorers.hpp"
#include "branchlora/io/json.hpp"

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
inline std::vector<TaskInfo> load_task_infos(const std::filesystem::path& path) {
  const io::Json json = io::read_json(path);
  const detail::Located root{json, path.string()};
  std::vector<TaskInfo> infos;
  for (std::size_t i = 0; i < root.list().value.size(); ++i) {
    const detail::Located entry{json[i], fmt::format("{}: task {}", path.string(), i)};
    TaskInfo info;
    info.name = entry.object().field("name").text();
    const detail::Located scorer = entry.field("scorer");
    try {
      info.scorer = parse_scorer(scorer.text());
    } catch (const Error& e) {
      fail("{}: {}", scorer.where, e.what());
    }
    const detail::Located suffix = entry.field("suffix");
    if (!suffix.value.is_null()) info.suffix = suffix.text();
    info.paraphrases = entry.field("paraphrases").texts();
    infos.push_back(std::move(info));
  }
  return infos;
}

/// The task in `folder`: its `train.json` and `test.json`, and what `tasks.json` of the parent
/// folder says of the folder's name. Without a `tasks.json`, answers are judged by exact match.
/// Throws `Error` naming the file at fault.
inline Task load_task(const std::filesystem::path& folder) {
  Task task;
  task.folder = folder;
  const auto place = std::filesystem::weakly_canonical(folder);
  const std::string name = place.filename().string();
  const auto list = place.parent_path() / "tasks.json";
  task.info.name = name;
  if (std::filesystem::exists(list)) {
    const auto infos = load_task_infos(list);
    const auto found = std::ranges::find(infos, name, &TaskInfo::name);
    expect(found != infos.end(), "{}: expected a task '{}', found none of that name", list.string(),
           name);
    task.info = *found;
  }
  task.train = load_instructions(folder / "train.json");
  task.test = load_instructions(folder / "test.json");
  return task;
}

}  // namespace branchlora::data
