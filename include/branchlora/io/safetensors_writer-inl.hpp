/// @file
/// How safetensors files are written.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/dtype.hpp"
#include "branchlora/io/safetensors_writer.hpp"

namespace branchlora::io {

namespace detail {

BRANCHLORA_INLINE std::optional<std::uint64_t> checked_bytes(Dtype dtype,
                                                             std::span<const Index> shape) {
  std::uint64_t total = 1;
  for (const Index extent : shape) {
    if (__builtin_mul_overflow(total, static_cast<std::uint64_t>(extent), &total)) return {};
  }
  if (__builtin_mul_overflow(total, byte_size(dtype), &total)) return {};
  return total;
}

BRANCHLORA_INLINE std::string safetensors_header(const std::filesystem::path& path,
                                                 std::vector<TensorEntry>& entries,
                                                 const Metadata& metadata) {
  std::ranges::sort(entries, [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(b.dtype, a.name) < std::tie(a.dtype, b.name);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::map<std::string_view, int> seen;
  std::uint64_t begin = 0;
  for (const auto& [name, dtype, shape] : entries) {
    const std::string where = path.string() + ": tensor '" + name + "'";
    expect(name != "__metadata__", "{}: the name is reserved", where);
    expect(++seen[name] == 1, "{}: the name appears twice", where);
    expect(std::ranges::all_of(shape, [](Index extent) { return extent >= 0; }),
           "{}: expected extents of 0 or more, found shape [{}]", where, fmt::join(shape, ", "));
    const auto bytes = checked_bytes(dtype, shape);
    std::uint64_t end = 0;
    expect(bytes && !__builtin_add_overflow(begin, *bytes, &end),
           "{}: the size of shape [{}] overflows", where, fmt::join(shape, ", "));
    header[name] = {
        {"dtype", std::string(to_string(dtype))}, {"shape", shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail("{}: expected names and metadata in UTF-8, found other bytes", path.string());
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  expect(text.size() <= max_header_bytes, "{}: expected a header of at most {} bytes, found {}",
         path.string(), max_header_bytes, text.size());
  return text;
}

}  // namespace detail

BRANCHLORA_INLINE void stream_safetensors(const std::filesystem::path& path,
                                          std::vector<TensorEntry> entries,
                                          const Metadata& metadata, const BytesOf& bytes_of) {
  const std::string header = detail::safetensors_header(path, entries, metadata);
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const TensorEntry& entry : entries) {
    const std::span<const std::byte> bytes = bytes_of(entry);
    expect(detail::checked_bytes(entry.dtype, entry.shape) == bytes.size(),
           "{}: tensor '{}': expected the bytes of {} of shape [{}], found {}", path.string(),
           entry.name, to_string(entry.dtype), fmt::join(entry.shape, ", "), bytes.size());
    file.write(bytes);
  }
  file.commit();
}

}  // namespace branchlora::io
