/// @file
/// Element types of stored tensors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace branchlora::io {

/// Element type of a stored tensor, in the order by which safetensors files sort (size ascending).
enum class Dtype {
  Bool,
  U8,
  I8,
  F8E5M2,
  F8E4M3,
  F8E8M0,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64,
};

namespace detail {

struct DtypeFacts {
  std::string_view name;
  std::size_t bytes;
};

inline constexpr std::array<DtypeFacts, 17> dtype_facts{{
    {"BOOL", 1},
    {"U8", 1},
    {"I8", 1},
    {"F8_E5M2", 1},
    {"F8_E4M3", 1},
    {"F8_E8M0", 1},
    {"I16", 2},
    {"U16", 2},
    {"F16", 2},
    {"BF16", 2},
    {"I32", 4},
    {"U32", 4},
    {"F32", 4},
    {"C64", 8},
    {"F64", 8},
    {"I64", 8},
    {"U64", 8},
}};

}  // namespace detail

/// Bytes of one element.
constexpr std::size_t byte_size(Dtype dtype) {
  return detail::dtype_facts[static_cast<std::size_t>(dtype)].bytes;
}

/// The name that files use: "F32", "BF16", ...
constexpr std::string_view to_string(Dtype dtype) {
  return detail::dtype_facts[static_cast<std::size_t>(dtype)].name;
}

/// The type of that name, if there is one.
constexpr std::optional<Dtype> parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < detail::dtype_facts.size(); ++i) {
    if (detail::dtype_facts[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

namespace detail {

template <class T>
consteval std::optional<Dtype> find_dtype() {
  if constexpr (std::is_same_v<T, float>) return Dtype::F32;
  if constexpr (std::is_same_v<T, double>) return Dtype::F64;
  if constexpr (std::is_same_v<T, bool>) return Dtype::Bool;
  if constexpr (std::is_same_v<T, std::int8_t>) return Dtype::I8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return Dtype::U8;
  if constexpr (std::is_same_v<T, std::int16_t>) return Dtype::I16;
  if constexpr (std::is_same_v<T, std::uint16_t>) return Dtype::U16;
  if constexpr (std::is_same_v<T, std::int32_t>) return Dtype::I32;
  if constexpr (std::is_same_v<T, std::uint32_t>) return Dtype::U32;
  if constexpr (std::is_same_v<T, std::int64_t>) return Dtype::I64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return Dtype::U64;
  return std::nullopt;
}

}  // namespace detail

/// A C++ type that files can hold as it is.
template <class T>
concept Storable = detail::find_dtype<T>()
.has_value();

/// How files name the C++ type `T`.
template <Storable T>
inline constexpr Dtype dtype_of = *detail::find_dtype<T>();

}  // namespace branchlora::io
