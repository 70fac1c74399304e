/// @file
/// A model's parameters on disk.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/to_host.hpp"
#include "branchlora/io/safetensors.hpp"

namespace branchlora::model {

/// Writes the parameters for which `wanted(parameter)` holds, and `tensors` beside them, to a
/// safetensors file, in place of an older one of that name only once it is complete.
template <Backend B, class Wanted>
void save_parameters(const std::filesystem::path& path, const ParameterSet<B>& parameters,
                     Wanted wanted, const io::Metadata& metadata,
                     std::vector<io::TensorOut> tensors = {}) {
  using T = typename B::Scalar;
  std::vector<std::vector<T>> values;
  for (const auto& p : parameters) {
    if (!wanted(p)) continue;
    expect_present(p);
    const auto& host = values.emplace_back(to_host(parameters.backend(), p.value));
    tensors.push_back(
        io::tensor_out(p.name, {p.value.rows, p.value.cols}, std::span<const T>(host)));
  }
  io::write_safetensors(path, std::move(tensors), metadata);
}

/// Reads every parameter for which `wanted(parameter)` holds from an open file. Throws `Error`
/// naming file and tensor where one is missing or of another shape.
template <Backend B, class Wanted>
void load_parameters(const io::SafeTensors& file, ParameterSet<B>& parameters, Wanted wanted) {
  using T = typename B::Scalar;
  std::vector<T> host;
  for (auto& p : parameters) {
    if (!wanted(p)) continue;
    expect_present(p);
    const io::TensorView& tensor = file.tensor(p.name);
    expect(tensor.shape == std::vector<Index>{p.value.rows, p.value.cols},
           "{}: tensor '{}': expected shape {} x {}, found [{}]", file.path().string(), p.name,
           p.value.rows, p.value.cols, fmt::join(tensor.shape, ", "));
    host.resize(static_cast<std::size_t>(p.value.size()));
    file.read(p.name, std::span<T>(host));
    parameters.backend().upload(p.value.data, host.data(), host.size() * sizeof(T));
  }
}

}  // namespace branchlora::model
