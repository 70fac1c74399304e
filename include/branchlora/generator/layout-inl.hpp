/// @file
/// The bodies of `layout.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/generator/layout.hpp"

namespace branchlora::generator {

BRANCHLORA_INLINE Layout Layout::of(const Weights& weights) {
  expect(!weights.empty(), "checkpoint bank: expected an adapter with tensors, found none");
  Layout layout;
  for (const NamedTensor* t : sorted(weights)) {
    Index size = 1;
    for (const Index extent : t->shape) size *= extent;
    expect(size > 0 && size == std::ssize(t->values),
           "checkpoint bank: tensor '{}': expected the elements of shape [{}], found {}", t->name,
           fmt::join(t->shape, ", "), t->values.size());
    expect(layout.entries_.empty() || layout.entries_.back().name != t->name,
           "checkpoint bank: tensor '{}' appears twice in one adapter", t->name);
    layout.entries_.push_back({t->name, t->shape, layout.size_, size});
    layout.size_ += size;
  }
  return layout;
}

BRANCHLORA_INLINE std::vector<const NamedTensor*> Layout::sorted(const Weights& weights) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& t : weights) order.push_back(&t);
  std::ranges::sort(order, {}, [](const NamedTensor* t) -> const std::string& { return t->name; });
  return order;
}

BRANCHLORA_INLINE double relative_error(const Weights& a, const Weights& b) {
  expect(Layout::of(a) == Layout::of(b), "adapter weights: expected two adapters of one layout");
  const auto left = Layout::sorted(a);
  const auto right = Layout::sorted(b);
  double off = 0;
  double size = 0;
  for (std::size_t t = 0; t < left.size(); ++t) {
    for (std::size_t i = 0; i < left[t]->values.size(); ++i) {
      const double x = left[t]->values[i];
      const double y = right[t]->values[i];
      off += (x - y) * (x - y);
      size += y * y;
    }
  }
  return std::sqrt(off / size);
}

}  // namespace branchlora::generator
