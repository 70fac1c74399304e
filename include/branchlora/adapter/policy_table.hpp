/// @file
/// What a trained adapter computes by: its variant's policies as text and its hyper-parameters, and
/// what differs between two of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// The policies of a variant as they are written in a program, by the name of their category:
/// {"Rank", "Rank<8>"}, {"trunk", "trunk::Shared"}, ...
using PolicyTable = std::map<std::string, std::string>;

namespace detail {

/// What the policies of a category have before their "<" or "::", read off its default.
template <class Category>
std::string category_name() {
  const std::string name = describe<typename Category::template Default<Policies<>>>();
  return name.substr(0, name.find_first_of("<:"));
}

template <class... Ps>
PolicyTable policy_table(Adapter<Ps...> /*variant*/) {
  PolicyTable table;
  [&]<class... Cs>(List<Cs...>) {
    (table.emplace(category_name<Cs>(), describe<typename Adapter<Ps...>::template get<Cs>>()),
     ...);
  }(Categories{});
  (table.emplace(category_name<typename Ps::Category>(), describe<Ps>()), ...);
  return table;
}

}  // namespace detail

/// The policies of `V`, defaults included; of a variant that is no `Adapter`, the whole of it as
/// its one policy.
template <class V>
PolicyTable policy_table() {
  if constexpr (requires { detail::policy_table(V{}); }) {
    return detail::policy_table(V{});
  } else {
    return {{"Variant", V::describe()}};
  }
}

/// Hyper-parameters by name.
using HyperTable = std::map<std::string, double>;

/// The hyper-parameters that the output of a trained adapter of `V` depends on: alpha and, where a
/// router scores branches, the temperature. The others act in training alone.
template <class V>
HyperTable hyper_table(const Hyper& hyper) {
  HyperTable table{{"alpha", hyper.alpha}};
  if constexpr (requires {
                  requires V::gate_rows >
                  0;
                }) {
    table.emplace("temperature", hyper.temperature);
  }
  return table;
}

/// One sentence for each entry in which a file's table is not the program's, such as "TopK: file
/// has TopK<2>, this program has TopK<4>".
template <class Value>
std::vector<std::string> differences(const std::map<std::string, Value>& file,
                                     const std::map<std::string, Value>& program) {
  std::vector<std::string> sentences;
  for (const auto& [name, value] : program) {
    const auto found = file.find(name);
    if (found == file.end()) {
      sentences.push_back(fmt::format("{}: file has none, this program has {}", name, value));
    } else if (found->second != value) {
      sentences.push_back(
          fmt::format("{}: file has {}, this program has {}", name, found->second, value));
    }
  }
  for (const auto& [name, value] : file) {
    if (!program.contains(name)) {
      sentences.push_back(fmt::format("{}: file has {}, this program has none", name, value));
    }
  }
  return sentences;
}

}  // namespace branchlora
