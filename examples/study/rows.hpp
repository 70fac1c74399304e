/// From variants, which are types, to rows of a table.
#pragma once

#include "branchlora/adapter/method.hpp"
#include "branchlora/continual/options.hpp"
#include "study.hpp"

namespace study {

/// What finds the task in tables: the paper's keys and ridge regression, in one training.
using Selectors =
    branchlora::selector::Each<branchlora::selector::NearestKey, branchlora::selector::Ridge>;

namespace detail {

template <class V>
struct SelectedByEach {
  using type = V;
};

template <class V>
requires(V::Selector::finds) struct SelectedByEach<V> {
  using type = typename V::template with<Selectors>;
};

}  // namespace detail

/// Variant `V`, by `Selectors` where it has its task found.
template <class V>
using SelectedByEach = typename detail::SelectedByEach<V>::type;

/// Variant `V`, one task after another. Its alpha is set such that the output is scaled by 2.
template <class V>
Row stream(std::string name, branchlora::Hyper hyper = branchlora::continual::Options{}.hyper) {
  hyper.alpha = 2.0 / V::scale(branchlora::Hyper{.alpha = 1.0});
  return {std::move(name), Protocol::stream, branchlora::method_of<Backend, V>(), hyper};
}

/// Variant `V`, all tasks jointly.
template <class V>
Row joint(std::string name) {
  Row row = stream<V>(std::move(name));
  row.protocol = Protocol::joint;
  return row;
}

/// Variant `V`, each task by itself.
template <class V>
Row alone(std::string name) {
  Row row = stream<V>(std::move(name));
  row.protocol = Protocol::alone;
  return row;
}

}  // namespace study
