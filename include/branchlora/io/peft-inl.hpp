/// @file
/// How PEFT's adapters are read and written.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/peft.hpp"
#include "branchlora/io/peft_config.hpp"
#include "branchlora/io/safetensors.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE const PeftLayer* PeftAdapter::find(std::string_view path) const {
  for (const PeftLayer& layer : layers) {
    if (layer.module == path) return &layer;
  }
  return nullptr;
}

namespace detail {

inline constexpr std::string_view peft_prefix = "base_model.model.";

inline constexpr std::string_view peft_a = ".lora_A.weight";

inline constexpr std::string_view peft_b = ".lora_B.weight";

inline constexpr std::string_view peft_magnitude = ".lora_magnitude_vector";

/// Throws unless layers and settings say the same; `name` begins the message.
BRANCHLORA_INLINE void check_peft(const PeftAdapter& adapter, std::string_view name) {
  const PeftConfig& config = adapter.config;
  expect(!adapter.layers.empty(), "{}: expected an adapter of one layer at least, found none",
         name);
  for (const PeftLayer& layer : adapter.layers) {
    const std::string where = fmt::format("{}: layer '{}'", name, layer.module);
    const auto has = [](const std::vector<float>& v, Index rows, Index cols) {
      return std::ssize(v) == rows * cols;
    };
    expect(has(layer.a, layer.rank, layer.in) && has(layer.b, layer.out, layer.rank),
           "{}: expected A of {} x {} and B of {} x {}, found {} and {} numbers", where, layer.rank,
           layer.in, layer.out, layer.rank, layer.a.size(), layer.b.size());
    expect(config.targets(layer.module), "{}: target_modules does not name it", where);
    expect(config.rank_of(layer.module) == layer.rank,
           "{}: the settings give rank {}, the tensors have rank {}", where,
           config.rank_of(layer.module), layer.rank);
    expect(config.use_dora || layer.magnitude.empty(), "{}: has a magnitude, but use_dora is false",
           where);
    expect(!config.use_dora || has(layer.magnitude, layer.out, 1),
           "{}: use_dora asks for a magnitude of {} numbers, found {}", where, layer.out,
           layer.magnitude.size());
  }
}

/// Collects the tensors of a file into layers.
class PeftTensors {
 public:
  explicit PeftTensors(const SafeTensors& file) : file_(file) {}

  std::vector<PeftLayer> layers() {
    for (const std::string& name : file_.names()) place(name);
    std::vector<PeftLayer> layers;
    for (const auto& [module, found] : found_) layers.push_back(layer(module, found));
    return layers;
  }

 private:
  struct Found {
    std::string a, b, magnitude;
  };

  void place(const std::string& name) {
    std::string_view path = name;
    expect(path.starts_with(peft_prefix), "{}: tensor '{}': expected a name that begins with '{}'",
           file_.path().string(), name, peft_prefix);
    path.remove_prefix(peft_prefix.size());
    const auto is = [&](std::string_view ending, std::string Found::*part) {
      if (!path.ends_with(ending) || path.size() == ending.size()) return false;
      path.remove_suffix(ending.size());
      found_[std::string(path)].*part = name;
      return true;
    };
    expect(is(peft_a, &Found::a) || is(peft_b, &Found::b) || is(peft_magnitude, &Found::magnitude),
           "{}: tensor '{}': expected '<module>{}', '{}' or '{}'; embeddings, biases and saved "
           "modules are not supported",
           file_.path().string(), name, peft_a, peft_b, peft_magnitude);
  }

  PeftLayer layer(const std::string& module, const Found& found) const {
    const auto missing = [&](const std::string& tensor, std::string_view ending) {
      expect(!tensor.empty(), "{}: expected a tensor '{}{}{}', found none of that name",
             file_.path().string(), peft_prefix, module, ending);
    };
    missing(found.a, peft_a);
    missing(found.b, peft_b);
    const auto a = shape(found.a, 2);
    const auto b = shape(found.b, 2);
    expect(a[0] == b[1], "{}: layer '{}': A has rank {} ({} x {}), B has rank {} ({} x {})",
           file_.path().string(), module, a[0], a[0], a[1], b[1], b[0], b[1]);
    PeftLayer layer{module, a[1], b[0], a[0], values(found.a), values(found.b), {}};
    if (!found.magnitude.empty()) {
      expect(shape(found.magnitude, 1)[0] == layer.out,
             "{}: tensor '{}': expected {} numbers, found {}", file_.path().string(),
             found.magnitude, layer.out, shape(found.magnitude, 1)[0]);
      layer.magnitude = values(found.magnitude);
    }
    return layer;
  }

  const std::vector<Index>& shape(const std::string& name, std::size_t axes) const {
    const auto& shape = file_.tensor(name).shape;
    expect(shape.size() == axes && std::ranges::find(shape, 0) == shape.end(),
           "{}: tensor '{}': expected {} axes of a linear layer, found shape [{}]",
           file_.path().string(), name, axes, fmt::join(shape, ", "));
    return shape;
  }

  std::vector<float> values(const std::string& name) const {
    std::vector<float> values(static_cast<std::size_t>(file_.tensor(name).size()));
    file_.read(name, std::span<float>(values));
    return values;
  }

  const SafeTensors& file_;
  std::map<std::string, Found> found_;
};

}  // namespace detail

BRANCHLORA_INLINE PeftAdapter read_peft(const std::filesystem::path& folder) {
  const auto settings = folder / "adapter_config.json";
  PeftAdapter adapter{parse_peft_config(read_json(settings), settings.string()), {}};
  adapter.layers =
      detail::PeftTensors(SafeTensors::open(folder / "adapter_model.safetensors")).layers();
  detail::check_peft(adapter, folder.string());
  return adapter;
}

BRANCHLORA_INLINE void write_peft(const std::filesystem::path& folder, const PeftAdapter& adapter) {
  detail::check_peft(adapter, folder.string());
  std::filesystem::create_directories(folder);
  std::vector<TensorOut> tensors;
  for (const PeftLayer& layer : adapter.layers) {
    const std::string module = std::string(detail::peft_prefix) + layer.module;
    const auto add = [&](std::string_view ending, std::vector<Index> shape,
                         const std::vector<float>& values) {
      tensors.push_back(tensor_out(module + std::string(ending), std::move(shape),
                                   std::span<const float>(values)));
    };
    add(detail::peft_a, {layer.rank, layer.in}, layer.a);
    add(detail::peft_b, {layer.out, layer.rank}, layer.b);
    if (adapter.config.use_dora) add(detail::peft_magnitude, {layer.out}, layer.magnitude);
  }
  write_safetensors(folder / "adapter_model.safetensors", std::move(tensors), {{"format", "pt"}});
  if (!std::filesystem::exists(folder / "README.md")) {
    const std::string& base = adapter.config.base_model_name_or_path;
    write_file(folder / "README.md",
               fmt::format("---\n{}library_name: peft\ntags:\n- lora\n---\n",
                           base.empty() ? "" : "base_model: " + Json(base).dump() + "\n"));
  }
  write_file(folder / "adapter_config.json", to_json(adapter.config).dump(2) + "\n");
}

}  // namespace branchlora::io
