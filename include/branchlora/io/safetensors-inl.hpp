/// @file
/// How safetensors files are read.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/dtype.hpp"
#include "branchlora/io/half.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/mapped_file.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/io/safetensors_writer.hpp"

namespace branchlora::io {

namespace detail {

template <class From, class To>
void widen(std::span<const std::byte> bytes, std::span<To> out, auto convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    From element;
    std::memcpy(&element, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = static_cast<To>(convert(element));
  }
}

template <class To>
void read_floats(const SafeTensors& file, std::string_view name, std::span<To> out) {
  const TensorView& source = file.tensor(name);
  expect(source.size() == static_cast<Index>(out.size()),
         "{}: tensor '{}': expected {} elements, found {}", file.path().string(), name, out.size(),
         source.size());
  const auto same = [](auto x) { return x; };
  switch (source.dtype) {
    case Dtype::F32:
      return widen<float>(source.bytes, out, same);
    case Dtype::F64:
      return widen<double>(source.bytes, out, same);
    case Dtype::F16:
      return widen<std::uint16_t>(source.bytes, out, f16_to_float);
    case Dtype::BF16:
      return widen<std::uint16_t>(source.bytes, out, bf16_to_float);
    default:
      fail("{}: tensor '{}': expected type F32, F64, F16 or BF16, found {}", file.path().string(),
           name, to_string(source.dtype));
  }
}

}  // namespace detail

BRANCHLORA_INLINE std::vector<std::string> SafeTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

BRANCHLORA_INLINE const TensorView& SafeTensors::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  expect(found != tensors_.end(), "{}: expected a tensor '{}', found none of that name",
         path_.string(), name);
  return found->second;
}

BRANCHLORA_INLINE void SafeTensors::read_floats(std::string_view name, std::span<float> out) const {
  detail::read_floats(*this, name, out);
}

BRANCHLORA_INLINE void SafeTensors::read_floats(std::string_view name,
                                                std::span<double> out) const {
  detail::read_floats(*this, name, out);
}

BRANCHLORA_INLINE void SafeTensors::read_whole(std::string_view name, Dtype dtype,
                                               std::span<std::byte> out) const {
  const TensorView& source = tensor(name);
  expect(source.dtype == dtype, "{}: tensor '{}': expected type {}, found {}", path_.string(), name,
         to_string(dtype), to_string(source.dtype));
  expect(source.bytes.size() == out.size(), "{}: tensor '{}': expected {} elements, found {}",
         path_.string(), name, out.size() / byte_size(dtype), source.size());
  std::ranges::copy(source.bytes, out.begin());
}

BRANCHLORA_INLINE SafeTensors::SafeTensors(const std::filesystem::path& path)
    : path_(path), file_(path) {
  const auto file = file_.bytes();
  expect(file.size() >= 8, "{}: expected a safetensors file of at least 8 bytes, found {}",
         path_.string(), file.size());
  const auto data = parse_header(file);
  check_coverage(data.size());
  for (auto& [name, tensor] : tensors_) {
    const auto [begin, end] = places_.at(name);
    tensor.bytes = data.subspan(begin, end - begin);
  }
  places_.clear();
}

BRANCHLORA_INLINE std::span<const std::byte> SafeTensors::parse_header(
    std::span<const std::byte> file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  expect(length <= detail::max_header_bytes, "{}: expected a header of at most {} bytes, found {}",
         path_.string(), detail::max_header_bytes, length);
  expect(length <= file.size() - 8, "{}: expected a header of {} bytes, found {} before the end",
         path_.string(), length, file.size() - 8);
  const std::string_view text(reinterpret_cast<const char*>(file.data() + 8), length);
  expect(text.starts_with('{'), "{}: expected a header that begins with '{{'", path_.string());
  const Json header = parse_json(text, path_.string() + ": header");
  for (const auto& [name, entry] : header.items()) {
    name == "__metadata__" ? parse_metadata(entry) : parse_entry(name, entry);
  }
  return file.subspan(8 + length);
}

BRANCHLORA_INLINE void SafeTensors::parse_metadata(const Json& entry) {
  expect(entry.is_object(), "{}: __metadata__: expected an object, found {}", path_.string(),
         entry.type_name());
  for (const auto& [key, value] : entry.items()) {
    expect(value.is_string(), "{}: __metadata__: key '{}': expected a string, found {}",
           path_.string(), key, value.type_name());
    metadata_[key] = value.get<std::string>();
  }
}

BRANCHLORA_INLINE void SafeTensors::parse_entry(const std::string& name, const Json& entry) {
  const std::string where = path_.string() + ": tensor '" + name + "'";
  expect(entry.is_object(), "{}: expected an object, found {}", where, entry.type_name());
  const auto field = [&](const char* key) -> const Json& {
    const auto found = entry.find(key);
    expect(found != entry.end(), "{}: expected a field '{}', found none", where, key);
    return *found;
  };
  const Json& type = field("dtype");
  expect(type.is_string(), "{}: dtype: expected a string, found {}", where, type.type_name());
  const auto dtype = parse_dtype(type.get_ref<const std::string&>());
  expect(dtype.has_value(), "{}: expected a known dtype, found '{}'", where,
         type.get_ref<const std::string&>());

  const auto shape = extents(field("shape"), where + ": shape");
  const auto offsets = extents(field("data_offsets"), where + ": data_offsets");
  expect(offsets.size() == 2 && offsets[0] <= offsets[1],
         "{}: data_offsets: expected a begin and an end not before it, found {}", where,
         field("data_offsets").dump());
  const auto bytes = detail::checked_bytes(*dtype, shape);
  expect(bytes.has_value(), "{}: the size of shape {} overflows", where, field("shape").dump());
  const auto begin = static_cast<std::uint64_t>(offsets[0]);
  const auto end = static_cast<std::uint64_t>(offsets[1]);
  expect(*bytes == end - begin, "{}: expected {} bytes for shape {} of {}, found {}", where, *bytes,
         field("shape").dump(), to_string(*dtype), end - begin);
  tensors_[name] = {*dtype, shape, {}};
  places_[name] = {begin, end};
}

BRANCHLORA_INLINE std::vector<Index> SafeTensors::extents(const Json& list,
                                                          const std::string& where) {
  expect(list.is_array(), "{}: expected a list, found {}", where, list.type_name());
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  std::vector<Index> values;
  for (const Json& value : list) {
    expect(value.is_number_unsigned() && value.get<std::uint64_t>() <= largest,
           "{}: expected whole numbers from 0 to {}, found {}", where, largest, value.dump());
    values.push_back(value.get<Index>());
  }
  return values;
}

BRANCHLORA_INLINE void SafeTensors::check_coverage(std::uint64_t data_bytes) const {
  std::vector<std::tuple<std::uint64_t, std::uint64_t, std::string_view>> order;
  for (const auto& [name, place] : places_) order.emplace_back(place.first, place.second, name);
  std::ranges::sort(order);
  std::uint64_t covered = 0;
  for (const auto& [begin, end, name] : order) {
    expect(begin == covered, "{}: tensor '{}': expected its data to begin at {}, found {} ({})",
           path_.string(), name, covered, begin, begin > covered ? "a gap" : "an overlap");
    covered = end;
  }
  expect(covered == data_bytes, "{}: expected {} bytes of data after the header, found {}",
         path_.string(), covered, data_bytes);
}

BRANCHLORA_INLINE void write_safetensors(const std::filesystem::path& path,
                                         const std::vector<TensorOut>& tensors,
                                         const Metadata& metadata) {
  std::vector<TensorEntry> entries;
  std::map<std::string_view, std::span<const std::byte>> bytes;
  for (const auto& [name, dtype, shape, its_bytes] : tensors) {
    entries.push_back({name, dtype, shape});
    bytes.emplace(name, its_bytes);
  }
  stream_safetensors(path, std::move(entries), metadata,
                     [&](const TensorEntry& entry) { return bytes.at(entry.name); });
}

}  // namespace branchlora::io
