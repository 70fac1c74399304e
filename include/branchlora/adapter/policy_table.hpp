/// @file
/// A variant's policies as text, category by category, and what differs between two of them.
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

/// One sentence for each category in which a file's variant is not the program's, such as "TopK:
/// file has TopK<2>, this program has TopK<4>".
inline std::vector<std::string> differences(const PolicyTable& file, const PolicyTable& program) {
  std::vector<std::string> sentences;
  for (const auto& [category, policy] : program) {
    const auto found = file.find(category);
    if (found == file.end()) {
      sentences.push_back(fmt::format("{}: file has none, this program has {}", category, policy));
    } else if (found->second != policy) {
      sentences.push_back(
          fmt::format("{}: file has {}, this program has {}", category, found->second, policy));
    }
  }
  for (const auto& [category, policy] : file) {
    if (!program.contains(category)) {
      sentences.push_back(fmt::format("{}: file has {}, this program has none", category, policy));
    }
  }
  return sentences;
}

}  // namespace branchlora
