/// @file
/// The tensors of a published checkpoint's folder, held against what a model needs.
#pragma once

#include <concepts>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/io/sharded.hpp"
#include "branchlora/model/published/weights.hpp"

namespace branchlora::model::published {

/// An open checkpoint of one file or many, mapped: tensors are read when they are asked for.
class WeightFiles {
 public:
  /// Throws `Error` if `folder` has no safetensors, or one that is broken.
  explicit WeightFiles(const std::filesystem::path& folder);

  /// The first of `prefixes` that a tensor `prefix + ending` has, or the first of all.
  std::string prefix(std::initializer_list<const char*> prefixes, std::string_view ending) const;

  bool contains(std::string_view name) const;

  /// Throws `Error` naming a tensor of `map` that is missing, of another shape or no floating-point
  /// numbers, or one that is here and neither read nor named as unread.
  void expect_exactly(const WeightMap& map) const;

  /// Throws `Error` unless tensor `name` is a copy of tensor `of`.
  void expect_copy(const std::string& name, const std::string& of, const char* why) const;

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

  std::string path() const;

 private:
  static io::ShardedTensors open(const std::filesystem::path& folder);

  io::ShardedTensors tensors_;
};

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/weight_files-inl.hpp"
#endif
