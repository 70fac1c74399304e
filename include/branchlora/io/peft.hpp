/// @file
/// Adapters as PEFT keeps them on disk: a folder with `adapter_config.json` and
/// `adapter_model.safetensors`.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/peft_config.hpp"

namespace branchlora::io {

/// The adapter of one linear layer, row-major.
struct PeftLayer {
  std::string module;  ///< The layer's path in the base model.
  Index in = 0;
  Index out = 0;
  Index rank = 0;
  std::vector<float> a;          ///< rank x in.
  std::vector<float> b;          ///< out x rank.
  std::vector<float> magnitude;  ///< DoRA's: out numbers; else none.

  MatrixView<const float> a_view() const { return {a.data(), rank, in}; }
  MatrixView<const float> b_view() const { return {b.data(), out, rank}; }
  bool operator==(const PeftLayer&) const = default;
};

/// A LoRA, rsLoRA or DoRA adapter of the linear layers of a model.
struct PeftAdapter {
  PeftConfig config;
  std::vector<PeftLayer> layers;  ///< By name of the module, as files sort them.

  /// The layer of the module `path`, or null.
  const PeftLayer* find(std::string_view path) const;
};

/// Reads the adapter in `folder`; half precision is widened. Throws `Error` naming file and tensor
/// or setting: see `parse_peft_config`; tensors of no known name, without their partner, of a shape
/// or rank that does not fit; layers that the settings do not name.
PeftAdapter read_peft(const std::filesystem::path& folder);

/// Writes the adapter to `folder` (made if absent) in float, each file whole or not at all, the
/// settings last; and a model card if there is none. Throws `Error` if layers and settings
/// contradict each other.
void write_peft(const std::filesystem::path& folder, const PeftAdapter& adapter);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/peft-inl.hpp"
#endif
