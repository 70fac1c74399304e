/// @file
/// The same questions in other words.
#pragma once

#include <vector>

#include "branchlora/core/random.hpp"
#include "branchlora/data/task.hpp"

namespace branchlora::data {

/// `samples` with the fixed wording of their task (`info.suffix`) replaced by one of
/// `info.paraphrases`, drawn for each turn from `random` alone: the 10Type variant of MiniCoIN. A
/// task without paraphrases stays as it is. Throws `Error` if an instruction lacks the wording.
std::vector<Sample> paraphrased(std::vector<Sample> samples, const TaskInfo& info,
                                const Random& random);

/// The 10Type variant of `task`: both sides paraphrased, each with draws of its own.
Task paraphrased(Task task, const Random& random);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/paraphrase-inl.hpp"
#endif
