/// @file
/// Which task a sample belongs to, by its picture and its words: the interface of all selectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/host_matrix.hpp"

namespace branchlora {

/// A picture and a text as vectors, none of which changes while tasks are learned. A sample without
/// a picture has an empty one.
struct Embedding {
  std::vector<double> image;
  std::vector<double> text;
  /// What the frozen decoder makes of both: its last hidden state at the question's last token.
  /// Empty unless it was asked for, since it takes a pass of the model.
  std::vector<double> hidden{};
};

/// What a selector reads of a sample: picture and text, one of them, or the hidden state.
enum class Reads : std::uint8_t { both, picture, text, hidden };

/// `both`, `picture`, `text` or `hidden`.
std::string_view to_string(Reads reads);

/// `embedding` without what is not read; a hidden state that is read stands in place of the text.
/// Throws `Error` if it is asked for and not there.
Embedding read(const Embedding& embedding, Reads reads);

/// Learns from the samples of task after task, and then finds the task of a sample, or says what
/// each task weighs in its answer. Tasks are numbered from 0 in the order in which they come.
class TaskSelector {
 public:
  virtual ~TaskSelector() = default;

  /// Adds a training sample of `task`: of the latest, or of the next one. Throws `Error` if a task
  /// is left out, or if embeddings differ in length.
  virtual void add(Index task, const Embedding& embedding) = 0;
  /// All samples of a task were added. Comes before `select`.
  virtual void end_task() {}
  /// The task that a sample most likely belongs to; of equals, the earlier. Throws `Error` before
  /// the first task.
  virtual Index select(const Embedding& embedding) const = 0;
  /// Whether several tasks have a weight in one answer.
  virtual bool mixes() const { return false; }
  /// What each task weighs in the answer to a sample, 1 in all; unless tasks are mixed, all of it
  /// is that of the task that `select` finds. Throws `Error` before the first task.
  virtual std::vector<double> weights(const Embedding& embedding) const {
    std::vector<double> w(static_cast<std::size_t>(tasks()), 0.0);
    w[static_cast<std::size_t>(select(embedding))] = 1;
    return w;
  }
  /// How many tasks there are.
  virtual Index tasks() const = 0;
  /// Bytes that it keeps from task to task.
  virtual Index bytes() const = 0;
  /// All that it has learned, at the end of a task.
  virtual HostMatrices<double> state() const = 0;
  /// Restores what `state` gave, to the bit. Throws `Error` if it is of no selector of this kind.
  virtual void restore(const HostMatrices<double>& state) = 0;
};

/// The task for which `selector` takes most of some samples, of equals the earlier. Throws `Error`
/// if there is no sample.
Index most_selected(const TaskSelector& selector, std::span<const Embedding> samples);

/// A kind of selector, and what makes one.
struct SelectorMaker {
  std::string title;  ///< As tables name it: "ridge".
  std::function<std::unique_ptr<TaskSelector>()> make;
  bool reads_hidden = false;  ///< Whether it needs `Embedding::hidden`.
};

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/selector/task_selector-inl.hpp"
#endif
