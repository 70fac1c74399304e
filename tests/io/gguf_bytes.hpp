/// @file
/// Parts of GGUF files, written by hand for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace branchlora::test::gguf {

/// The bytes of a plain value.
template <class T>
std::string bytes(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

inline std::string u32(std::uint32_t value) { return bytes(value); }
inline std::string u64(std::uint64_t value) { return bytes(value); }

/// A string: its length and its bytes.
inline std::string text(std::string_view content) {
  return u64(content.size()) + std::string(content);
}

/// A value of metadata of the type that GGUF gives the number `type`.
inline std::string value(std::string_view key, std::uint32_t type, const std::string& content) {
  return text(key) + u32(type) + content;
}

/// A tensor's entry; `extents` in the file's order, the innermost first.
inline std::string tensor(std::string_view name, const std::vector<std::uint64_t>& extents,
                          std::uint32_t type, std::uint64_t offset) {
  std::string out = text(name) + u32(static_cast<std::uint32_t>(extents.size()));
  for (const std::uint64_t extent : extents) out += u64(extent);
  return out + u32(type) + u64(offset);
}

/// A file: header, metadata, tensors' entries, and `data` at the next multiple of `alignment`.
inline std::string file(const std::vector<std::string>& values,
                        const std::vector<std::string>& tensors, std::string_view data = "",
                        std::size_t alignment = 32, std::uint32_t version = 3) {
  std::string out = "GGUF" + u32(version) + u64(tensors.size()) + u64(values.size());
  for (const std::string& part : values) out += part;
  for (const std::string& part : tensors) out += part;
  out.resize((out.size() + alignment - 1) / alignment * alignment);
  return out.append(data);
}

}  // namespace branchlora::test::gguf
