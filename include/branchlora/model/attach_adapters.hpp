/// @file
/// Adapters of a file, whichever of some variants they are.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/model/adapter_file.hpp"
#include "branchlora/model/multimodal.hpp"

namespace branchlora::model {

/// Attaches to a model whose base is frozen the adapters that `save_adapters` wrote to a file, with
/// the alpha and temperature that it names. Their variant must be one of `Vs`. Throws `Error` if
/// the file is none of these, is of another variant, or does not fit the model.
template <class... Vs, Backend B>
void attach_adapters(const std::filesystem::path& path, Multimodal<B>& model) {
  const io::Json about = detail::description_of(io::SafeTensors::open(path), path);
  PolicyTable policies;
  Hyper hyper;
  try {
    about.at("policies").get_to(policies);
    about.at("alpha").get_to(hyper.alpha);
    hyper.temperature = about.value("temperature", hyper.temperature);
  } catch (const io::Json::exception& e) {
    fail("{}: the description of the adapters can not be read: {}", path.string(), e.what());
  }
  const auto attach = [&]<class V>(std::type_identity<V>) {
    if (policies != policy_table<V>()) return false;
    model.attach(method_of<B, V>(), hyper, Random(0));
    load_adapters<V>(path, model, hyper);
    return true;
  };
  if ((attach(std::type_identity<Vs>{}) || ...)) return;
  std::vector<std::string> found;
  for (const auto& [category, policy] : policies) found.push_back(policy);
  fail("{}: expected adapters of one of\n  {}\nfound those of\n  {}", path.string(),
       fmt::join(std::vector{Vs::describe()...}, "\n  "), fmt::join(found, ", "));
}

}  // namespace branchlora::model
