/// From variants, which are types, to rows of a table.
#pragma once

#include "branchlora/adapter/method.hpp"
#include "branchlora/continual/options.hpp"
#include "study.hpp"

namespace study {

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
