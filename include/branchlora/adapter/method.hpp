/// @file
/// From a variant, which is a type, to a method, which is a value.
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>

#include "branchlora/adapter/any_ffn.hpp"
#include "branchlora/adapter/layer.hpp"

namespace branchlora {

namespace detail {

template <Backend B, class V>
struct LayerOf {
  using type = AdapterLayer<B, V>;
};

template <Backend B, class V>
requires requires { typename V::template Layer<B>; }
struct LayerOf<B, V> {
  using type = typename V::template Layer<B>;
};

}  // namespace detail

/// The adapter of variant `V` beside one linear: `V::Layer<B>` where the variant brings one, which
/// is made of the linear's weight, else the engine.
template <Backend B, class V>
using LayerOf = typename detail::LayerOf<B, V>::type;

/// Makes the adapter of variant `V` at `place`, or null where it has none; see `Method::make`. What
/// differs by block says by `at(block, blocks, f)` which variant stands there, and what adapts some
/// linears alone says by `adapts(name)` which.
template <Backend B, class V>
std::unique_ptr<AnyAdapter<B>> make_adapter(ParameterSet<B>& parameters, const Place& place,
                                            MatrixView<const typename B::Scalar> weight,
                                            const Hyper& hyper, const Random& random) {
  if constexpr (VariesByBlock<V>) {
    return V::at(place.block, place.blocks, [&]<class U>(std::type_identity<U>) {
      return make_adapter<B, U>(parameters, place, weight, hyper, random);
    });
  } else if constexpr (requires { V::adapts(place.name); }) {
    if (!V::adapts(place.name)) return nullptr;
    return make_adapter<B, typename V::Beside>(parameters, place, weight, hyper, random);
  } else {
    using Layer = LayerOf<B, V>;
    const std::string& name = place.name;
    if constexpr (std::constructible_from<Layer, decltype(parameters), decltype(name),
                                          decltype(weight), decltype(hyper), decltype(random)>) {
      return std::make_unique<Layer>(parameters, name, weight, hyper, random);
    } else {
      return std::make_unique<Layer>(parameters, name, weight.cols, weight.rows, hyper, random);
    }
  }
}

/// The method that variant `V` describes, on backend `B`.
template <Backend B, class V>
Method<B> method_of() {
  Method<B> method{.description = V::describe(),
                   .per_task_router = V::per_task_router,
                   .selects = V::Selector::selects,
                   .selectors = selectors_of<typename V::Selector>(),
                   .freezes = V::Freezing::count > 0,
                   .make = make_adapter<B, V>};
  if constexpr (requires { typename V::Supervision; }) {
    method.stages.clear();
    for (const Stage& stage : V::Supervision::stages) method.stages.push_back(stage.share);
  }
  method.reads_weight = requires { requires V::reads_weight; };
  if constexpr (requires { V::needs; }) {
    method.needs = V::needs;
    method.reads_weight = method.reads_weight || V::needs.weight;
  }
  method.has_bank = requires { V::Freezing::own_branch; };
  if constexpr (requires { V::BranchStart::at; }) method.branch_start = V::BranchStart::at;
  if constexpr (requires { typename V::template Ffn<B>; }) {
    method.make_ffn = [](ParameterSet<B>& parameters, const FfnLinears<B>& linears,
                         const Hyper& hyper, const Random& random) -> std::unique_ptr<AnyFfn<B>> {
      return std::make_unique<typename V::template Ffn<B>>(parameters, linears, hyper, random);
    };
  }
  return method;
}

}  // namespace branchlora
