/// @file
/// What tests/golden/make_models.py wrote: checkpoints, and what they compute.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/io/safetensors.hpp"
#include "support/naive.hpp"

namespace branchlora::test {

/// The folder of a golden checkpoint.
inline std::filesystem::path golden_model(const std::string& name) {
  return std::filesystem::path(BRANCHLORA_SOURCE_DIR "/tests/golden/models") / name;
}

/// The inputs and results beside a golden checkpoint.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(io::SafeTensors::open(golden_model(name) / "expected.safetensors")) {}

  bool has(const std::string& name) const { return file_.contains(name); }

  /// A tensor as a matrix: its last axis lies along the columns.
  Dense matrix(const std::string& name) const {
    const auto& shape = file_.tensor(name).shape;
    Dense m(file_.tensor(name).size() / shape.back(), shape.back());
    file_.read(name, std::span<double>(m.data));
    return m;
  }

  std::vector<std::int32_t> ids(const std::string& name) const {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(file_.tensor(name).size()));
    file_.read(name, std::span<std::int32_t>(ids));
    return ids;
  }

  /// The largest difference from a tensor, in units of its largest element.
  double error(const Dense& found, const std::string& name) const {
    const Dense expected = matrix(name);
    return distance(found, expected) / largest(expected);
  }

 private:
  io::SafeTensors file_;
};

}  // namespace branchlora::test
