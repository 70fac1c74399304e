/// @file
/// A bank of adapter checkpoints: several snapshots of one adapter for each task, as vectors that a
/// generator can learn.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/generator/layout.hpp"
#include "branchlora/io/safetensors.hpp"

namespace branchlora::generator {

/// Checkpoints of one adapter on several tasks. Each tensor of each checkpoint is brought to mean 0
/// and deviation 1 by its own statistics (a constant tensor to zeros), flattened, and put behind
/// the others in the order of the layout, which the first checkpoint sets.
class CheckpointBank {
 public:
  /// One checkpoint.
  struct Snapshot {
    Index task = 0;
    std::vector<float> values;           ///< z-scores, of the layout's size.
    std::vector<Statistics> statistics;  ///< Of each tensor.
  };

  /// Adds a checkpoint of task `task`; later ones of a task are newer. Throws `Error` on a negative
  /// task, on values that are not finite, and on tensors other than those of the first checkpoint.
  void add(Index task, const Weights& weights) {
    expect(task >= 0, "checkpoint bank: expected a task of at least 0, found {}", task);
    const Layout layout = Layout::of(weights);
    if (snapshots_.empty()) layout_ = layout;
    expect_same(layout);
    Snapshot snapshot{task, {}, {}};
    snapshot.values.reserve(static_cast<std::size_t>(layout.size()));
    for (const NamedTensor* t : Layout::sorted(weights)) {
      const auto s = Statistics::of(std::span<const float>(t->values));
      expect(std::isfinite(s.mean) && std::isfinite(s.deviation),
             "checkpoint bank: tensor '{}': expected finite values, found others", t->name);
      for (const float x : t->values) {
        const double z = s.deviation > 0 ? (static_cast<double>(x) - s.mean) / s.deviation : 0;
        snapshot.values.push_back(static_cast<float>(z));
      }
      snapshot.statistics.push_back(s);
    }
    snapshots_.push_back(std::move(snapshot));
  }

  /// Adds the checkpoint in the safetensors file `path`, of which the tensors for which
  /// `wanted(name)` holds belong to the adapter. Throws `Error` naming the file at fault.
  template <class Wanted>
  void add(Index task, const std::filesystem::path& path, Wanted wanted) {
    const auto file = io::SafeTensors::open(path);
    Weights weights;
    for (const std::string& name : file.names()) {
      if (!wanted(name)) continue;
      const io::TensorView& tensor = file.tensor(name);
      NamedTensor t{name, tensor.shape,
                    std::vector<float>(static_cast<std::size_t>(tensor.size()))};
      file.read(name, std::span<float>(t.values));
      weights.push_back(std::move(t));
    }
    try {
      add(task, weights);
    } catch (const Error& e) {
      fail("{}: {}", path.string(), e.what());
    }
  }

  const Layout& layout() const { return layout_; }
  const std::vector<Snapshot>& snapshots() const { return snapshots_; }

  /// The newest checkpoint of a task, whose statistics generated weights take. Throws `Error` if it
  /// has none.
  const Snapshot& reference(Index task) const {
    for (auto s = snapshots_.rbegin(); s != snapshots_.rend(); ++s) {
      if (s->task == task) return *s;
    }
    fail("checkpoint bank: expected a checkpoint of task {}, found none", task);
  }

  /// The weights of a checkpoint, up to the rounding of its z-scores.
  Weights weights(const Snapshot& snapshot) const {
    return denormalise(layout_, std::span<const float>(snapshot.values),
                       std::span<const Statistics>(snapshot.statistics), Denormalise::applied);
  }

  /// Bytes that the checkpoints' weights take in float.
  Index bytes() const {
    return std::ssize(snapshots_) * layout_.size() * static_cast<Index>(sizeof(float));
  }

 private:
  void expect_same(const Layout& found) const {
    const auto& a = layout_.entries();
    const auto& b = found.entries();
    expect(a.size() == b.size(), "checkpoint bank: expected {} tensors, found {}", a.size(),
           b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      expect(a[i] == b[i],
             "checkpoint bank: expected tensor '{}' of shape [{}], found '{}' of shape [{}]",
             a[i].name, fmt::join(a[i].shape, ", "), b[i].name, fmt::join(b[i].shape, ", "));
    }
  }

  Layout layout_;
  std::vector<Snapshot> snapshots_;
};

}  // namespace branchlora::generator
