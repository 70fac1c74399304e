/// What a continual run on a published model will need, from its sizes: printed before anything big
/// is read.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "backend.hpp"
#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/continual/base.hpp"
#include "branchlora/continual/options.hpp"
#include "branchlora/core/buffer.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/table.hpp"

namespace plan {

using namespace branchlora;

/// The linears that carry adapters, and the projector, by their sizes.
inline ModelShape shape_of(const model::ModelConfig& c) {
  const auto& d = c.decoder;
  const Index query = d.heads * d.head_size();
  const Index key = d.kv_heads * d.head_size();
  ModelShape shape{.name = "model",
                   .layers = d.layers,
                   .linears = {{{"q", d.width, query},
                                {"k", d.width, key},
                                {"v", d.width, key},
                                {"o", query, d.width},
                                {"gate", d.width, d.hidden},
                                {"up", d.width, d.hidden},
                                {"down", d.hidden, d.width}}},
                   .projector = {}};
  if (c.vision.present()) {
    shape.projector = {{{"projector.in", c.vision.feature_width(), d.width, true},
                        {"projector.out", d.width, d.width, true}}};
  }
  return shape;
}

/// What a method costs on a model, from the counts that its variant knows at compile time.
struct Costs {
  Parameters (*parameters)(const ModelShape& model);
  Flops (*flops)(const ModelShape& model, std::int64_t tokens, std::int64_t sequences);
};

template <Priced V>
Costs costs_of() {
  return {[](const ModelShape& model) { return parameters<V>(model); },
          [](const ModelShape& model, std::int64_t tokens, std::int64_t sequences) {
            return flops<V>(model, tokens, sequences);
          }};
}

/// The samples of one side of a task as rows of the decoder.
struct Side {
  std::vector<Index> rows;  ///< Of each sample, its picture's among them.
  Index answers = 0;        ///< Tokens to predict.
  Index pictures = 0;
  Index lost = 0;  ///< Samples that lose a whole answer.
  std::string losses;

  Index samples() const { return std::ssize(rows); }
  Index total() const { return std::accumulate(rows.begin(), rows.end(), Index{0}); }
  double mean() const {
    return static_cast<double>(total()) / static_cast<double>(std::max<Index>(1, samples()));
  }
};

inline Side side_of(const model::Dataset& set, Index image_tokens) {
  Side side{.rows = {},
            .answers = 0,
            .pictures = std::ssize(set.images),
            .lost = std::ssize(set.lost),
            .losses = set.losses()};
  for (const model::Example& example : set.examples) {
    Index rows = example.image >= 0 ? image_tokens : 0;
    for (const model::TokenTurn& turn : example.turns) {
      rows += std::ssize(turn.prompt) + std::max<Index>(1, std::ssize(turn.answer)) - 1;
      side.answers += std::ssize(turn.answer);
    }
    side.rows.push_back(rows);
  }
  return side;
}

/// A task of the stream.
struct Lesson {
  std::string name;
  Side train, test;
};

/// Operations of a whole run, by what they are spent on.
struct Operations {
  double features = 0;
  double training = 0;
  double scoring = 0;
};

/// A run of one method on the tasks of a stream.
struct Run {
  const continual::Base& base;
  const std::vector<Lesson>& lessons;
  const continual::Options& options;
  Costs costs;
  double answers = 1;  ///< How often every question is answered, at most.

  ModelShape shape() const { return shape_of(base.config); }

  /// The rows of the largest step that the tasks can make.
  Index largest_step() const {
    Index most = 0;
    for (const Lesson& lesson : lessons) {
      std::vector<Index> rows = lesson.train.rows;
      const auto n = std::min(std::ssize(rows), static_cast<std::ptrdiff_t>(options.batch));
      std::partial_sort(rows.begin(), rows.begin() + n, rows.end(), std::greater{});
      most = std::max(most, std::accumulate(rows.begin(), rows.begin() + n, Index{0}));
    }
    return most;
  }

  /// Bytes of the frozen base: the decoder's linears are packed for both directions, the rest is in
  /// float.
  double weight_bytes() const {
    double linears = 0;
    for (const LinearShape& l : shape().linears) linears += static_cast<double>(l.parameters());
    linears *= static_cast<double>(base.config.decoder.layers);
    return linears * (options.storage == Storage::full ? 8 : 4) + 4 * other_parameters();
  }

  /// Bytes of values and gradients that a step of `rows` rows keeps, without the adapters' own.
  double activation_bytes(Index rows) const {
    const auto& d = base.config.decoder;
    const Index query = d.heads * d.head_size();
    const Index key = d.kv_heads * d.head_size();
    const Index block = 6 * d.width + 3 * query + 3 * key + 3 * d.hidden;
    const Index kept = options.recompute ? block + d.layers * d.width : d.layers * block;
    return 2 * 4.0 * static_cast<double>(rows) * static_cast<double>(kept);
  }

  /// Bytes of all pictures' features, which are computed once.
  double feature_bytes() const {
    const auto& v = base.config.vision;
    if (!v.present()) return 0;
    return 4.0 * static_cast<double>(pictures() * v.tokens() * v.feature_width());
  }

  Index pictures() const {
    Index sum = 0;
    for (const Lesson& lesson : lessons) sum += lesson.train.pictures + lesson.test.pictures;
    return sum;
  }

  Operations operations() const {
    const double head = 2.0 * static_cast<double>(base.config.decoder.vocabulary) *
                        static_cast<double>(base.config.decoder.width);
    Operations sum;
    sum.features = static_cast<double>(pictures()) * tower_operations();
    for (std::size_t t = 0; t < lessons.size(); ++t) {
      const Side& train = lessons[t].train;
      const double samples = static_cast<double>(options.batch * options.steps);
      const auto rows = static_cast<Index>(samples * train.mean());
      const Flops f = costs.flops(shape(), rows, options.batch * options.steps);
      const auto once = static_cast<double>(f.adapter.forward + f.frozen.forward);
      sum.training += (options.recompute ? 2 : 1) * once +
                      static_cast<double>(f.adapter.backward + f.frozen.backward);
      sum.training += 2 * head * samples * static_cast<double>(train.answers) /
                      static_cast<double>(std::max<Index>(1, train.samples()));
      const std::size_t scored =
          options.full_matrix ? lessons.size() : std::min(t + 2, lessons.size());
      for (std::size_t j = 0; j < scored; ++j) {
        const Side& test = lessons[j].test;
        const Index written = test.samples() * options.answer_tokens;
        const Flops asked = costs.flops(shape(), test.total() + written, test.samples());
        sum.scoring +=
            answers * (static_cast<double>(asked.adapter.forward + asked.frozen.forward) +
                       head * static_cast<double>(written));
      }
    }
    return sum;
  }

 private:
  /// Parameters of embeddings, output layer and vision tower: all that is neither a linear of the
  /// decoder nor trained. Norms are left out.
  double other_parameters() const {
    const auto& d = base.config.decoder;
    const auto& v = base.config.vision;
    double sum = static_cast<double>((d.tied ? 1 : 2) * d.vocabulary * d.width);
    if (v.present()) sum += static_cast<double>(v.layers * block_of_tower());
    return sum;
  }

  Index block_of_tower() const {
    const auto& v = base.config.vision;
    return 4 * v.width * v.width + 2 * v.width * v.hidden;
  }

  double tower_operations() const {
    const auto& v = base.config.vision;
    if (!v.present()) return 0;
    return 2.0 * static_cast<double>(v.rows() * v.layers * block_of_tower());
  }
};

/// The operations a second of a short product with a frozen weight, measured now.
inline double measured_rate(study::Backend& backend, Storage storage) {
  constexpr Index tokens = 512;
  constexpr Index width = 1024;
  const Buffer<study::Backend> w(backend, width, width);
  const Buffer<study::Backend> x(backend, tokens, width);
  const Buffer<study::Backend> y(backend, tokens, width);
  backend.fill(w.view(), 0.5F);
  backend.fill(x.view(), 0.25F);
  const auto frozen = backend.freeze(w.view(), storage);
  float one = 0;
  const auto products = [&](int count) {
    for (int i = 0; i < count; ++i) backend.frozen_forward(x.view(), frozen, y.view());
    backend.download(&one, y.view().data, sizeof one);  // waits for them
  };
  products(1);
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> taken{};
  int done = 0;
  for (; taken.count() < 0.2; taken = std::chrono::steady_clock::now() - start, done += 4) {
    products(4);
  }
  return 2.0 * tokens * width * width * done / taken.count();
}

/// A count, in millions where there are some.
inline std::string count(std::int64_t n) {
  return n < 1'000'000 ? fmt::format("{}", n)
                       : fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
}

inline std::string memory(double bytes) {
  return bytes < 1e9 ? fmt::format("{:.1f} MB", bytes / 1e6)
                     : fmt::format("{:.2f} GB", bytes / 1e9);
}

/// The modules that carry adapters, by their names in the published model.
inline void print_modules(const continual::Base& base) {
  const ModelShape shape = shape_of(base.config);
  fmt::print("Wrapped modules: {} linears, of each of {} blocks\n",
             shape.layers * std::ssize(shape.linears), shape.layers);
  for (const LinearShape& linear : shape.linears) {
    std::string name = base.published->module_of(fmt::format("decoder.block.0.{}", linear.name));
    name.replace(name.rfind(".0.") + 1, 1, fmt::format("{{0..{}}}", shape.layers - 1));
    fmt::print("  {}  {} -> {}\n", name, linear.d_in, linear.d_out);
  }
}

/// The tasks, and what tokenisation does to them.
inline void print_lessons(const std::vector<Lesson>& lessons) {
  report::Table table{"Tasks",
                      {{"Task", false},
                       {"Train"},
                       {"Test"},
                       {"Pictures"},
                       {"Rows a sample"},
                       {"Longest"},
                       {"Answers lost"}},
                      {},
                      {}};
  for (const auto& [name, train, test] : lessons) {
    table.add_row({name, std::to_string(train.samples()), std::to_string(test.samples()),
                   std::to_string(train.pictures + test.pictures),
                   fmt::format("{:.1f}", train.mean()),
                   std::to_string(train.rows.empty() ? 0 : std::ranges::max(train.rows)),
                   std::to_string(train.lost + test.lost)});
  }
  fmt::print("{}", report::to_terminal(table));
  for (const Lesson& lesson : lessons) {
    for (const auto* side : {&lesson.train, &lesson.test}) {
      if (!side->losses.empty()) fmt::print("{}: {}\n", lesson.name, side->losses);
    }
  }
}

/// What a run trains, holds and takes, where this machine does `rate` operations a second.
inline void print_run(const std::string& title, const Run& run, double rate) {
  const ModelShape shape = run.shape();
  const Parameters p = run.costs.parameters(shape);
  const Index projector = run.options.projector_rate > 0 ? shape.projector_parameters() : 0;
  const Index trainable = p.total() + projector;
  const auto optimizer = static_cast<double>(adamw_bytes * trainable);
  const Index rows = run.largest_step();
  const double weights = run.weight_bytes();
  const double activations = run.activation_bytes(rows);
  const double features = run.feature_bytes();
  const Operations o = run.operations();
  const auto time = [&](double operations) { return report::format_duration(operations / rate); };
  fmt::print("\n{}\n", title);
  fmt::print("  trainable    {}: adapter {}, router {}, projector {}\n", count(trainable),
             count(p.adapter() + p.shared + p.transform), count(p.router), count(projector));
  fmt::print("  optimizer    {}: weight, gradient and two moments in float (AdamW)\n",
             memory(optimizer));
  fmt::print("  weights      {}: the decoder's linears packed twice in {}, the rest in float\n",
             memory(weights), run.options.storage == Storage::full ? "float" : "bfloat16");
  fmt::print("  activations  {}: a step of {} rows, the largest of {} samples{}\n",
             memory(activations), rows, run.options.batch,
             run.options.recompute ? ", calculated again in the backward pass" : "");
  fmt::print("  features     {}: of {} pictures\n", memory(features), run.pictures());
  fmt::print("  memory       {} in all\n", memory(optimizer + weights + activations + features));
  fmt::print("  time         features {}, training {} ({} steps a task), scoring {}\n",
             time(o.features), time(o.training), run.options.steps, time(o.scoring));
}

}  // namespace plan
