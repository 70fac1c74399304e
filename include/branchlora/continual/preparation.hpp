/// @file
/// From samples to tasks that are ready to be learned.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "branchlora/continual/base.hpp"
#include "branchlora/continual/task_data.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual {

namespace detail {

/// The mean of rows as doubles.
template <Backend B>
std::vector<double> mean_row(B& backend, MatrixView<const typename B::Scalar> rows) {
  std::vector<typename B::Scalar> host(static_cast<std::size_t>(rows.size()));
  backend.download(host.data(), rows.data, host.size() * sizeof(host[0]));
  std::vector<double> mean(static_cast<std::size_t>(rows.cols), 0.0);
  for (std::size_t i = 0; i < host.size(); ++i) {
    mean[i % mean.size()] += static_cast<double>(host[i]) / static_cast<double>(rows.rows);
  }
  return mean;
}

}  // namespace detail

/// Prepares tasks with the vision tower and the word embeddings of a base model. The embedding of a
/// picture is the mean of its features, that of a text the mean of its word embeddings; with
/// `hidden` there is the decoder's hidden state too.
template <Backend B>
class Preparation {
 public:
  explicit Preparation(B& backend, const Base& base, bool hidden = false)
      : base_(&base),
        backend_(&backend),
        hidden_(hidden),
        model_(backend, base.config),
        tape_(backend) {
    base.load(model_);
  }

  /// One side of a task, from samples whose pictures lie below `folder`. Throws `Error` if there is
  /// a picture for a model that reads text alone.
  Split<B> prepare(std::vector<data::Sample> samples, const std::filesystem::path& folder,
                   std::int32_t task) {
    model::Dataset set = base_->language->encode(samples, folder, task);
    Split<B> split;
    split.samples = std::move(samples);
    split.lost = set.losses();
    split.bank = features_of(set, folder);
    std::vector<std::vector<double>> images;
    for (Index i = 0; i < std::ssize(set.images); ++i) {
      images.push_back(detail::mean_row(*backend_, MatrixView<const T>(split.bank.image(i))));
    }
    for (const model::Example& e : set.examples) {
      split.embeddings.push_back(
          {e.image >= 0 ? images[static_cast<std::size_t>(e.image)] : std::vector<double>{},
           text_embedding(e.turns.back().prompt)});
    }
    if (hidden_) add_hidden(set.examples, split);
    split.examples = std::move(set.examples);
    return split;
  }

  /// Both sides of a task, the `number`-th of its stream.
  TaskData<B> prepare(data::Task task, std::int32_t number) {
    return {task.info, prepare(std::move(task.train), task.folder, number),
            prepare(std::move(task.test), task.folder, number)};
  }

  /// Both sides of the task in `folder`, the `number`-th of its stream.
  TaskData<B> load(const std::filesystem::path& folder, std::int32_t number) {
    return prepare(data::load_task(folder), number);
  }

 private:
  using T = typename B::Scalar;

  /// What the tower makes of a data set's pictures; of a model without one, no rows.
  model::FeatureBank<B> features_of(const model::Dataset& set,
                                    const std::filesystem::path& folder) {
    if (model_.config().vision.present()) {
      return model_.features_of(tape_, std::ssize(set.images),
                                [&](Index i) { return set.pixels(i); });
    }
    expect(set.images.empty(),
           "{}: expected samples without pictures for a model of text, found {}", folder.string(),
           set.images.empty() ? "none" : "'" + set.images.front() + "'");
    return {std::make_shared<const Buffer<B>>(*backend_, 0, 0), 0};
  }

  std::vector<double> text_embedding(std::span<const std::int32_t> ids) const {
    const MatrixView<const T> table = model_.decoder().embedding().value;
    std::vector<T> row(static_cast<std::size_t>(table.cols));
    std::vector<double> mean(row.size(), 0.0);
    for (const std::int32_t id : ids) {
      backend_->download(row.data(), table.row(id), row.size() * sizeof(T));
      for (std::size_t c = 0; c < row.size(); ++c) {
        mean[c] += static_cast<double>(row[c]) / static_cast<double>(ids.size());
      }
    }
    return mean;
  }

  /// Adds what the decoder makes of each question to its embedding: a row of the last layer's
  /// output, before the final norm.
  void add_hidden(const std::vector<model::Example>& examples, Split<B>& split) {
    constexpr Index at_a_time = 16;
    const bool recording = tape_.recording();
    tape_.set_recording(false);
    std::vector<T> row(static_cast<std::size_t>(model_.config().decoder.width));
    for (Index first = 0; first < std::ssize(examples); first += at_a_time) {
      const Index last = std::min(first + at_a_time, static_cast<Index>(std::ssize(examples)));
      model::Batch batch;
      for (Index i = first; i < last; ++i) {
        batch.push(model::question(examples[static_cast<std::size_t>(i)]), split.bank.tokens);
      }
      tape_.reset();
      const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
      const auto h =
          model_.hidden(tape_, batch, model_.gather(tape_, batch, split.bank), routing).value();
      for (Index i = first; i < last; ++i) {
        const Index end = batch.sequences.offsets[static_cast<std::size_t>(i - first) + 1];
        backend_->download(row.data(), h.row(end - 1), row.size() * sizeof(T));
        split.embeddings[static_cast<std::size_t>(i)].hidden.assign(row.begin(), row.end());
      }
    }
    tape_.reset();
    tape_.set_recording(recording);
  }

  const Base* base_;
  B* backend_;
  bool hidden_;
  mutable model::Multimodal<B> model_;
  Tape<B> tape_;
};

}  // namespace branchlora::continual
