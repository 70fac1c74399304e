/// @file
/// How instructions are put in other words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/data/paraphrase.hpp"
#include "branchlora/data/task.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE std::vector<Sample> paraphrased(std::vector<Sample> samples, const TaskInfo& info,
                                                  const Random& random) {
  if (info.suffix.empty() || info.paraphrases.empty()) return samples;
  std::uint64_t turn_number = 0;
  for (Sample& sample : samples) {
    for (Turn& turn : sample.turns) {
      const auto at = turn.instruction.rfind(info.suffix);
      expect(at != std::string::npos, "task {}: sample {}: expected '{}' in the instruction '{}'",
             info.name, sample.id, info.suffix, turn.instruction);
      const auto choice = random.below(turn_number++, std::ssize(info.paraphrases));
      turn.instruction.replace(at, info.suffix.size(),
                               info.paraphrases[static_cast<std::size_t>(choice)]);
    }
  }
  return samples;
}

BRANCHLORA_INLINE Task paraphrased(Task task, const Random& random) {
  task.train = paraphrased(std::move(task.train), task.info, random.fork("train"));
  task.test = paraphrased(std::move(task.test), task.info, random.fork("test"));
  return task;
}

}  // namespace branchlora::data
