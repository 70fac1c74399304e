/// @file
/// The bodies of `checkpoint_bank.hpp`.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/generator/checkpoint_bank.hpp"

namespace branchlora::generator {

BRANCHLORA_INLINE void CheckpointBank::add(Index task, const Weights& weights) {
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

BRANCHLORA_INLINE const CheckpointBank::Snapshot& CheckpointBank::reference(Index task) const {
  for (auto s = snapshots_.rbegin(); s != snapshots_.rend(); ++s) {
    if (s->task == task) return *s;
  }
  fail("checkpoint bank: expected a checkpoint of task {}, found none", task);
}

BRANCHLORA_INLINE Weights CheckpointBank::weights(const Snapshot& snapshot) const {
  return denormalise(layout_, std::span<const float>(snapshot.values),
                     std::span<const Statistics>(snapshot.statistics), Denormalise::applied);
}

BRANCHLORA_INLINE Index CheckpointBank::bytes() const {
  return std::ssize(snapshots_) * layout_.size() * static_cast<Index>(sizeof(float));
}

BRANCHLORA_INLINE void CheckpointBank::expect_same(const Layout& found) const {
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

}  // namespace branchlora::generator
