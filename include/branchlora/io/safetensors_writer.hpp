/// @file
/// Writes a safetensors file tensor by tensor, so that no more than one is in memory at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/dtype.hpp"

namespace branchlora::io {

/// Text that a file carries beside its tensors.
using Metadata = std::map<std::string, std::string>;

/// What the header of a safetensors file says of a tensor, but for its place.
struct TensorEntry {
  std::string name;
  Dtype dtype{};
  std::vector<Index> shape;
};

namespace detail {

inline constexpr std::uint64_t max_header_bytes = 100'000'000;

/// Bytes of a tensor of this type and shape, unless that overflows.
std::optional<std::uint64_t> checked_bytes(Dtype dtype, std::span<const Index> shape);

/// Sorts `entries` by type (largest first) and name and gives the header of a file that holds them
/// in this order; `path` begins messages.
std::string safetensors_header(const std::filesystem::path& path, std::vector<TensorEntry>& entries,
                               const Metadata& metadata);

}  // namespace detail

/// Gives the bytes of a tensor that is to be written.
using BytesOf = std::function<std::span<const std::byte>(const TensorEntry&)>;

/// Writes `entries` and `metadata` to `path`, atomically: sorted by type (largest first) and name,
/// the header padded so that the data begin at a multiple of 8. Asks `bytes_of(entry)` for the
/// bytes of each when its turn comes. They need to live only until it is asked for the next. Throws
/// `Error` if a tensor's bytes do not fit its shape, a name appears twice or is reserved, or the
/// disk refuses.
void stream_safetensors(const std::filesystem::path& path, std::vector<TensorEntry> entries,
                        const Metadata& metadata, const BytesOf& bytes_of);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/safetensors_writer-inl.hpp"
#endif
