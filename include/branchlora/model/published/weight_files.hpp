/// @file
/// The tensors of a published checkpoint's folder, held against what a model needs.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/io/sharded.hpp"
#include "branchlora/model/published/weights.hpp"

namespace branchlora::model::published {

/// An open checkpoint of one file or many, mapped: tensors are read when they are asked for.
class WeightFiles {
 public:
  /// Throws `Error` if `folder` has no safetensors, or one that is broken.
  explicit WeightFiles(const std::filesystem::path& folder) : tensors_(open(folder)) {}

  /// The first of `prefixes` that a tensor `prefix + ending` has, or the first of all.
  std::string prefix(std::initializer_list<const char*> prefixes, std::string_view ending) const {
    const auto found = std::ranges::find_if(prefixes, [&](std::string_view p) {
      return tensors_.contains(std::string(p) + std::string(ending));
    });
    return found == prefixes.end() ? *prefixes.begin() : *found;
  }

  bool contains(std::string_view name) const { return tensors_.contains(name); }

  /// Throws `Error` naming a tensor of `map` that is missing, of another shape or no floating-point
  /// numbers, or one that is here and neither read nor named as unread.
  void expect_exactly(const WeightMap& map) const {
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

  /// Throws `Error` unless tensor `name` is a copy of tensor `of`.
  void expect_copy(const std::string& name, const std::string& of, const char* why) const {
    const io::TensorView& a = tensors_.tensor(name);
    const io::TensorView& b = tensors_.tensor(of);
    const bool alike = a.dtype == b.dtype && a.shape == b.shape;
    expect(alike && std::ranges::equal(a.bytes, b.bytes),
           "{}: tensor '{}': expected a copy of '{}', or none, since {}; found {}",
           tensors_.path_of(name).string(), name, of, why,
           alike ? "other numbers" : "another type or shape");
  }

  /// The numbers of a tensor, in the order of the parameter.
  template <std::floating_point T>
  void read(const Weight& weight, std::vector<T>& out) const {
    out.resize(static_cast<std::size_t>(tensors_.tensor(weight.tensor).size()));
    tensors_.read(weight.tensor, std::span<T>(out));
    if (!weight.patches) return;
    const std::vector<T> convolution = out;
    const Index colours = weight.shape[1];
    const Index pixels = weight.shape[2] * weight.shape[3];
    for (Index i = 0; i < std::ssize(out); ++i) {
      const Index patch = i / (colours * pixels);
      const Index pixel = i / colours % pixels;
      out[static_cast<std::size_t>(i)] =
          convolution[static_cast<std::size_t>((patch * colours + i % colours) * pixels + pixel)];
    }
  }

  std::string path() const { return tensors_.path().string(); }

 private:
  static io::ShardedTensors open(const std::filesystem::path& folder) {
    const auto has = [&](const char* name) { return std::filesystem::exists(folder / name); };
    expect(has("model.safetensors") || has("model.safetensors.index.json"),
           "{}: expected model.safetensors or model.safetensors.index.json, found {}",
           folder.string(),
           has("pytorch_model.bin") || has("pytorch_model.bin.index.json")
               ? "weights as PyTorch pickles them, which are not read: save them as safetensors"
               : "neither");
    return io::ShardedTensors::open(folder);
  }

  io::ShardedTensors tensors_;
};

}  // namespace branchlora::model::published
