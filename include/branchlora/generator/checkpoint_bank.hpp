/// @file
/// A bank of adapter checkpoints: several snapshots of one adapter for each task, as vectors that a
/// generator can learn.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
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
  void add(Index task, const Weights& weights);

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
  const Snapshot& reference(Index task) const;

  /// The weights of a checkpoint, up to the rounding of its z-scores.
  Weights weights(const Snapshot& snapshot) const;

  /// Bytes that the checkpoints' weights take in float.
  Index bytes() const;

 private:
  void expect_same(const Layout& found) const;

  Layout layout_;
  std::vector<Snapshot> snapshots_;
};

}  // namespace branchlora::generator

#ifndef BRANCHLORA_COMPILED
#include "branchlora/generator/checkpoint_bank-inl.hpp"
#endif
