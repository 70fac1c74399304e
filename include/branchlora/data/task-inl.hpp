/// @file
/// How tasks are read.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/scorers.hpp"
#include "branchlora/data/task.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE std::vector<TaskInfo> load_task_infos(const std::filesystem::path& path) {
  const io::Json json = io::read_json(path);
  const io::Located root{json, path.string()};
  std::vector<TaskInfo> infos;
  for (std::size_t i = 0; i < root.list().value.size(); ++i) {
    const io::Located entry{json[i], fmt::format("{}: task {}", path.string(), i)};
    TaskInfo info;
    info.name = entry.object().field("name").text();
    const io::Located scorer = entry.field("scorer");
    try {
      info.scorer = parse_scorer(scorer.text());
    } catch (const Error& e) {
      fail("{}: {}", scorer.where, e.what());
    }
    const io::Located suffix = entry.field("suffix");
    if (!suffix.value.is_null()) info.suffix = suffix.text();
    info.paraphrases = entry.field("paraphrases").texts();
    infos.push_back(std::move(info));
  }
  return infos;
}

BRANCHLORA_INLINE std::vector<std::string> load_stream(const std::filesystem::path& pack) {
  std::vector<std::string> names;
  for (const TaskInfo& info : load_task_infos(pack / "tasks.json")) {
    if (!info.name.starts_with("00-")) names.push_back(info.name);
  }
  return names;
}

BRANCHLORA_INLINE Task load_task(const std::filesystem::path& folder) {
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
