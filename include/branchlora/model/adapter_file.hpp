/// @file
/// All that a model's adapters are, in one file: every variant, with routers, frozen branches and
/// the policies that it was written with.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy_table.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/model/checkpoint.hpp"

namespace branchlora::model {

namespace detail {

/// Whether a parameter belongs to the adapter of one of the linears `layers`: it is named after it
/// and is not its weight or bias.
inline auto belongs_to(std::vector<std::string> layers) {
  return [layers = std::move(layers)](const auto& p) {
    return std::ranges::any_of(layers, [&](const std::string& layer) {
      if (!p.name.starts_with(layer + ".")) return false;
      const auto rest = std::string_view(p.name).substr(layer.size() + 1);
      return rest != "weight" && rest != "bias";
    });
  };
}

template <class Model>
std::vector<std::string> adapter_names(Model& model) {
  std::vector<std::string> names;
  model.for_each_adapter([&](auto& adapter) { names.push_back(adapter.name()); });
  expect(!names.empty(), "expected a model with adapters, found none");
  return names;
}

/// The JSON text "branchlora" in the metadata of a file of adapters. Throws `Error` if it has none.
io::Json description_of(const io::SafeTensors& file, const std::filesystem::path& path);

}  // namespace detail

/// Writes the adapters of a model (something with `for_each_adapter` and `parameters`), all of
/// variant `V`, to a safetensors file, whole or not at all. Its metadata hold a JSON text
/// "branchlora": version of the format, policies by category, the numbers of `hyper_table`, and for
/// each adapted linear its name and the state that is in no tensor.
template <class V, class Model>
void save_adapters(const std::filesystem::path& path, Model& model, const Hyper& hyper) {
  const auto names = detail::adapter_names(model);
  io::Json layers = io::Json::array();
  model.for_each_adapter([&](auto& adapter) {
    layers.push_back({{"name", adapter.name()}, {"state", adapter.state()}});
  });
  io::Json about{{"format", 1}, {"policies", policy_table<V>()}, {"layers", std::move(layers)}};
  about.update(io::Json(hyper_table<V>(hyper)));
  save_parameters(path, model.parameters(), detail::belongs_to(names),
                  {{"format", "pt"}, {"branchlora", about.dump()}});
}

/// Restores what `save_adapters` wrote into a model with fresh adapters of variant `V` attached.
/// Throws `Error` if the file is none of these, if its variant is not `V` or a number of
/// `hyper_table` is another (with a sentence for each that differs), or if its linears are not the
/// model's.
template <class V, class Model>
void load_adapters(const std::filesystem::path& path, Model& model, const Hyper& hyper) {
  const auto file = io::SafeTensors::open(path);
  const io::Json about = detail::description_of(file, path);
  try {
    const int format = about.at("format");
    expect(format == 1, "{}: expected format 1, found {}", path.string(), format);
    auto sentences = differences(about.at("policies").get<PolicyTable>(), policy_table<V>());
    HyperTable numbers;
    for (const char* name : {"alpha", "temperature"}) {
      if (about.contains(name)) numbers.emplace(name, about.at(name));
    }
    std::ranges::move(differences(numbers, hyper_table<V>(hyper)), std::back_inserter(sentences));
    expect(sentences.empty(), "{}: the adapters are of another variant. {}.", path.string(),
           fmt::join(sentences, ". "));
    std::vector<std::string> stored;
    for (const auto& layer : about.at("layers")) stored.push_back(layer.at("name"));
    const auto names = detail::adapter_names(model);
    expect(stored == names, "{}: expected adapters of [{}], found [{}]", path.string(),
           fmt::join(names, ", "), fmt::join(stored, ", "));
    std::size_t i = 0;
    model.for_each_adapter([&](auto& adapter) {
      const auto state =
          about.at("layers").at(i++).at("state").template get<std::vector<std::uint64_t>>();
      adapter.restore(state);
    });
    load_parameters(file, model.parameters(), detail::belongs_to(names));
  } catch (const io::Json::exception& e) {
    fail("{}: the description of the adapters can not be read: {}", path.string(), e.what());
  }
}

}  // namespace branchlora::model

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/adapter_file-inl.hpp"
#endif
