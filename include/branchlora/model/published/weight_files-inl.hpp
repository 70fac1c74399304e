/// @file
/// The bodies of `weight_files.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/model/published/weight_files.hpp"

namespace branchlora::model::published {

BRANCHLORA_INLINE WeightFiles::WeightFiles(const std::filesystem::path& folder)
    : tensors_(open(folder)) {}

BRANCHLORA_INLINE std::string WeightFiles::prefix(std::initializer_list<const char*> prefixes,
                                                  std::string_view ending) const {
  const auto found = std::ranges::find_if(prefixes, [&](std::string_view p) {
    return tensors_.contains(std::string(p) + std::string(ending));
  });
  return found == prefixes.end() ? *prefixes.begin() : *found;
}

BRANCHLORA_INLINE bool WeightFiles::contains(std::string_view name) const {
  return tensors_.contains(name);
}

BRANCHLORA_INLINE void WeightFiles::expect_exactly(const WeightMap& map) const {
  std::vector<std::string_view> names;
  for (const Weight& weight : map.read) {
    const io::TensorView& tensor = tensors_.tensor(weight.tensor);
    const std::string file = tensors_.path_of(weight.tensor).string();
    expect(tensor.shape == weight.shape, "{}: tensor '{}': expected shape [{}], found [{}]", file,
           weight.tensor, fmt::join(weight.shape, ", "), fmt::join(tensor.shape, ", "));
    using enum io::Dtype;
    const auto type = tensor.dtype;
    expect(type == F32 || type == F16 || type == BF16 || type == F64,
           "{}: tensor '{}': expected type F32, F16, BF16 or F64, found {}", file, weight.tensor,
           io::to_string(type));
    names.emplace_back(weight.tensor);
  }
  std::ranges::sort(names);
  for (const std::string& name : tensors_.names()) {
    expect(std::ranges::binary_search(names, name) ||
               std::ranges::any_of(map.unread,
                                   [&](const auto& begin) { return name.starts_with(begin); }),
           "{}: tensor '{}': expected none of that name, found one of shape [{}]",
           tensors_.path_of(name).string(), name, fmt::join(tensors_.tensor(name).shape, ", "));
  }
}

BRANCHLORA_INLINE void WeightFiles::expect_copy(const std::string& name, const std::string& of,
                                                const char* why) const {
  const io::TensorView& a = tensors_.tensor(name);
  const io::TensorView& b = tensors_.tensor(of);
  const bool alike = a.dtype == b.dtype && a.shape == b.shape;
  expect(alike && std::ranges::equal(a.bytes, b.bytes),
         "{}: tensor '{}': expected a copy of '{}', or none, since {}; found {}",
         tensors_.path_of(name).string(), name, of, why,
         alike ? "other numbers" : "another type or shape");
}

BRANCHLORA_INLINE std::string WeightFiles::path() const { return tensors_.path().string(); }

BRANCHLORA_INLINE io::ShardedTensors WeightFiles::open(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
  expect(has("model.safetensors") || has("model.safetensors.index.json"),
         "{}: expected model.safetensors or model.safetensors.index.json, found {}",
         folder.string(),
         has("pytorch_model.bin") || has("pytorch_model.bin.index.json")
             ? "weights as PyTorch pickles them, which are not read: save them as safetensors"
             : "neither");
  return io::ShardedTensors::open(folder);
}

}  // namespace branchlora::model::published
