/// @file
/// From a variant, which is a type, to a method, which is a value.
#pragma once

#include <memory>
#include <string>

#include "branchlora/adapter/layer.hpp"

namespace branchlora {

/// The method that variant `V` describes, on backend `B`.
template <Backend B, class V>
Method<B> method_of() {
  return {V::describe(),
          V::per_task_router,
          V::Selector::selects,
          V::Selector::uses_keys,
          V::Freezing::count > 0,
          [](ParameterSet<B>& parameters, const std::string& name, Index d_in, Index d_out,
             const Hyper& hyper, const Random& random) -> std::unique_ptr<AnyAdapter<B>> {
            return std::make_unique<AdapterLayer<B, V>>(parameters, name, d_in, d_out, hyper,
                                                        random);
          }};
}

}  // namespace branchlora
