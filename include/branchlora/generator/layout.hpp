/// @file
/// Adapter weights as one flat vector of z-scores, and back.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/generator/weights.hpp"

namespace branchlora::generator {

/// Mean and deviation of a tensor's elements (the square root of their mean squared distance from
/// the mean).
struct Statistics {
  double mean = 0;
  double deviation = 0;

  /// Those of `values`.
  template <class T>
  static Statistics of(std::span<const T> values) {
    Statistics s;
    const auto n = static_cast<double>(values.size());
    for (const T x : values) s.mean += static_cast<double>(x) / n;
    double square = 0;
    for (const T x : values) {
      square += (static_cast<double>(x) - s.mean) * (static_cast<double>(x) - s.mean) / n;
    }
    s.deviation = std::sqrt(square);
    return s;
  }

  bool operator==(const Statistics&) const = default;
};

/// Where each tensor of an adapter lies in the flat vector: in alphabetical order of names, one
/// behind the other.
class Layout {
 public:
  struct Entry {
    std::string name;
    std::vector<Index> shape;
    Index first = 0;
    Index size = 0;
    bool operator==(const Entry&) const = default;
  };

  Layout() = default;

  /// The layout of an adapter. Throws `Error` where there is no tensor, one is empty or does not
  /// have as many values as its shape says, or two have one name.
  static Layout of(const Weights& weights);

  const std::vector<Entry>& entries() const { return entries_; }
  /// Elements of all tensors together: the length L of the flat vector.
  Index size() const { return size_; }
  bool operator==(const Layout&) const = default;

  /// The tensors in the order of the entries.
  static std::vector<const NamedTensor*> sorted(const Weights& weights);

 private:
  std::vector<Entry> entries_;
  Index size_ = 0;
};

/// Whether a flat vector is standardised tensor by tensor before it gets its statistics.
enum class Denormalise : std::uint8_t {
  matched,  ///< Yes: each tensor then has exactly the mean and deviation that it is given.
  applied,  ///< No: times the deviation plus the mean, as in the authors' code.
};

/// An adapter's weights out of a flat vector of z-scores and the statistics of each tensor. Throws
/// `Error` unless both are of the layout's sizes.
template <class T>
Weights denormalise(const Layout& layout, std::span<const T> flat,
                    std::span<const Statistics> statistics, Denormalise how) {
  expect(std::ssize(flat) == layout.size() && statistics.size() == layout.entries().size(),
         "checkpoint bank: expected {} values and the statistics of {} tensors, found {} and {}",
         layout.size(), layout.entries().size(), flat.size(), statistics.size());
  Weights weights;
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    const Layout::Entry& e = layout.entries()[i];
    const auto from =
        flat.subspan(static_cast<std::size_t>(e.first), static_cast<std::size_t>(e.size));
    Statistics own{0, 1};
    if (how == Denormalise::matched) own = Statistics::of(from);
    const double scale = own.deviation > 0 ? statistics[i].deviation / own.deviation : 0;
    NamedTensor t{e.name, e.shape, {}};
    for (const T x : from) {
      t.values.push_back(
          static_cast<float>((static_cast<double>(x) - own.mean) * scale + statistics[i].mean));
    }
    weights.push_back(std::move(t));
  }
  return weights;
}

/// |a - b| / |b| over all elements: how far weights are from those they stand for. Throws `Error`
/// unless both have the same tensors.
double relative_error(const Weights& a, const Weights& b);

}  // namespace branchlora::generator

#ifndef BRANCHLORA_COMPILED
#include "branchlora/generator/layout-inl.hpp"
#endif
