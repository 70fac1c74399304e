/// @file
/// How a GGUF file is read.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/io/gguf.hpp"
#include "branchlora/io/gguf_blocks.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/mapped_file.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE Index GgufTensor::size() const {
  const GgufBlock& block = block_of(type);
  return static_cast<Index>(bytes.size() / block.bytes * block.elements);
}

namespace detail {

/// Reads a GGUF file's header from front to back.
class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> file, std::string path)
      : file_(file), path_(std::move(path)) {}

  std::size_t position() const { return position_; }
  std::size_t left() const { return file_.size() - position_; }

  /// The next value of a plain type. `what` says in a message what it was to be.
  template <class T>
  T take(std::string_view what) {
    T value;
    std::memcpy(&value, take_bytes(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  /// The next string: its length and its bytes, which are UTF-8.
  std::string take_text(std::string_view what) {
    const std::size_t at = position_;
    const auto bytes = take_bytes(take<std::uint64_t>(what), what);
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    expect(valid_utf8(text) == text,
           "{}: byte {}: {}: expected a string in UTF-8, found other bytes", path_, at, what);
    return text;
  }

  /// The next value of metadata, of the type that precedes it.
  Json take_value(std::string_view what) {
    return take_value(take<std::uint32_t>(what), what, max_nesting);
  }

 private:
  enum Type : std::uint32_t {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    List,
    U64,
    I64,
    F64,
    Types
  };
  static constexpr int max_nesting = 4;
  static constexpr std::array<std::size_t, Types> least_bytes{1, 1, 2,  2, 4, 4, 4,
                                                              1, 8, 12, 8, 8, 8};

  std::span<const std::byte> take_bytes(std::uint64_t count, std::string_view what) {
    expect(count <= left(), "{}: byte {}: {}: expected {} bytes, found {} before the end", path_,
           position_, what, count, left());
    const auto bytes = file_.subspan(position_, count);
    position_ += count;
    return bytes;
  }

  Json take_value(std::uint32_t type, std::string_view what, int nesting) {
    switch (type) {
      case U8:
        return take<std::uint8_t>(what);
      case I8:
        return take<std::int8_t>(what);
      case U16:
        return take<std::uint16_t>(what);
      case I16:
        return take<std::int16_t>(what);
      case U32:
        return take<std::uint32_t>(what);
      case I32:
        return take<std::int32_t>(what);
      case F32:
        return take<float>(what);
      case Bool:
        return take_boolean(what);
      case Text:
        return take_text(what);
      case List:
        return take_list(what, nesting);
      case U64:
        return take<std::uint64_t>(what);
      case I64:
        return take<std::int64_t>(what);
      case F64:
        return take<double>(what);
      default:
        refuse_type(type, what);
    }
  }

  [[noreturn]] void refuse_type(std::uint32_t type, std::string_view what) const {
    fail("{}: byte {}: {}: expected a type from 0 to {}, found {}", path_, position_ - 4, what,
         Types - 1, type);
  }

  bool take_boolean(std::string_view what) {
    const auto byte = take<std::uint8_t>(what);
    expect(byte <= 1, "{}: byte {}: {}: expected 0 or 1 for a boolean, found {}", path_,
           position_ - 1, what, byte);
    return byte == 1;
  }

  Json take_list(std::string_view what, int nesting) {
    expect(nesting > 0, "{}: byte {}: {}: expected lists at most {} deep, found more", path_,
           position_, what, max_nesting);
    const auto type = take<std::uint32_t>(what);
    if (type >= Types) refuse_type(type, what);
    const auto count = take<std::uint64_t>(what);
    expect(count <= left() / least_bytes[type],
           "{}: byte {}: {}: expected a list of {} values, found {} bytes before the end", path_,
           position_, what, count, left());
    Json::array_t values;
    values.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      values.push_back(take_value(type, what, nesting - 1));
    }
    return values;
  }

  std::span<const std::byte> file_;
  std::string path_;
  std::size_t position_ = 0;
};

}  // namespace detail

BRANCHLORA_INLINE std::vector<std::string> Gguf::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

BRANCHLORA_INLINE const GgufTensor& Gguf::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  expect(found != tensors_.end(), "{}: expected a tensor '{}', found none of that name",
         path_.string(), name);
  return found->second;
}

BRANCHLORA_INLINE void Gguf::read(std::string_view name, std::span<float> out) const {
  const GgufTensor& source = tensor(name);
  expect(source.size() == static_cast<Index>(out.size()),
         "{}: tensor '{}': expected {} elements, found {}", path_.string(), name, out.size(),
         source.size());
  dequantise(source.type, source.bytes, out);
}

BRANCHLORA_INLINE Gguf::Gguf(const std::filesystem::path& path)
    : path_(path), file_(path), metadata_(std::make_shared<Json>(Json::object())) {
  detail::GgufCursor cursor(file_.bytes(), path_.string());
  const auto counts = read_preamble(cursor);
  for (std::uint64_t i = 0; i < counts.values; ++i) read_value(cursor);
  const std::uint64_t alignment = read_alignment();
  Places places;
  for (std::uint64_t i = 0; i < counts.tensors; ++i) {
    places.push_back(read_tensor(cursor, alignment));
  }
  const std::uint64_t begin = (cursor.position() + alignment - 1) / alignment * alignment;
  const auto all = file_.bytes();
  place(std::move(places), all.subspan(std::min<std::uint64_t>(begin, all.size())));
}

BRANCHLORA_INLINE Gguf::Counts Gguf::read_preamble(detail::GgufCursor& cursor) const {
  const auto magic = cursor.take<std::array<char, 4>>("magic");
  expect(std::string_view(magic.data(), 4) == "GGUF",
         "{}: expected a file that begins with 'GGUF', found another beginning", path_.string());
  const auto version = cursor.take<std::uint32_t>("version");
  expect(version == 2 || version == 3, "{}: expected GGUF of version 2 or 3, found {}{}",
         path_.string(), version, version % 256 == 0 ? " (a big-endian file)" : "");
  const auto tensors = cursor.take<std::uint64_t>("number of tensors");
  const auto values = cursor.take<std::uint64_t>("number of metadata values");
  constexpr std::uint64_t least_tensor = 24;  // length, extents, type and offset
  constexpr std::uint64_t least_value = 13;   // length, type and a byte
  expect(tensors <= cursor.left() / least_tensor && values <= cursor.left() / least_value,
         "{}: expected {} tensors and {} metadata values, found {} bytes before the end",
         path_.string(), tensors, values, cursor.left());
  return {tensors, values};
}

BRANCHLORA_INLINE void Gguf::read_value(detail::GgufCursor& cursor) {
  const std::string key = cursor.take_text("key of metadata");
  const auto [entry, fresh] = metadata_->emplace(key, nullptr);
  expect(fresh, "{}: metadata '{}' appears twice", path_.string(), key);
  *entry = cursor.take_value("metadata '" + key + "'");
}

BRANCHLORA_INLINE std::uint64_t Gguf::read_alignment() const {
  const auto found = metadata_->find("general.alignment");
  if (found == metadata_->end()) return 32;
  expect(found->is_number_unsigned() && *found >= 8 && *found <= 1U << 30 &&
             std::has_single_bit(found->get<std::uint64_t>()),
         "{}: general.alignment: expected a power of two from 8 to 2^30, found {}", path_.string(),
         found->dump());
  return found->get<std::uint64_t>();
}

BRANCHLORA_INLINE Gguf::Places::value_type Gguf::read_tensor(detail::GgufCursor& cursor,
                                                             std::uint64_t alignment) {
  const std::string name = cursor.take_text("name of a tensor");
  const std::string where = path_.string() + ": tensor '" + name + "'";
  const auto [entry, fresh] = tensors_.try_emplace(name);
  expect(fresh, "{}: the name appears twice", where);
  const auto what = "tensor '" + name + "'";
  const auto dimensions = cursor.take<std::uint32_t>(what);
  expect(dimensions <= 4, "{}: expected at most 4 dimensions, found {}", where, dimensions);
  std::vector<Index> shape(dimensions);
  for (Index& extent : shape) extent = read_extent(cursor, what);
  std::ranges::reverse(shape);
  const auto type = cursor.take<std::uint32_t>(what);
  const auto block = find_gguf_block(type);
  expect(block.has_value(),
         "{}: expected a type of F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
         "Q8_0, found {}",
         where, gguf_type_name(type));
  const auto offset = cursor.take<std::uint64_t>(what);
  expect(offset % alignment == 0, "{}: expected an offset that is a multiple of {}, found {}",
         where, alignment, offset);
  entry->second = {block->type, std::move(shape), {}};
  return {offset, name};
}

BRANCHLORA_INLINE Index Gguf::read_extent(detail::GgufCursor& cursor,
                                          const std::string& what) const {
  const auto extent = cursor.take<std::uint64_t>(what);
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  expect(extent <= largest, "{}: {}: expected extents from 0 to {}, found {}", path_.string(), what,
         largest, extent);
  return static_cast<Index>(extent);
}

BRANCHLORA_INLINE std::uint64_t Gguf::bytes_of(const GgufTensor& tensor, const std::string& where) {
  const GgufBlock& block = block_of(tensor.type);
  const Index row = tensor.shape.empty() ? 1 : tensor.shape.back();
  expect(row % static_cast<Index>(block.elements) == 0,
         "{}: expected rows of a multiple of {} elements, as {} has them, found {}", where,
         block.elements, block.name, row);
  std::uint64_t total = block.bytes;
  bool fits = true;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    const auto extent = static_cast<std::uint64_t>(tensor.shape[i]);
    const bool last = i + 1 == tensor.shape.size();
    fits &= !__builtin_mul_overflow(total, last ? extent / block.elements : extent, &total);
  }
  expect(fits, "{}: the size of shape [{}] overflows", where, fmt::join(tensor.shape, ", "));
  return total;
}

BRANCHLORA_INLINE void Gguf::place(Places places, std::span<const std::byte> data) {
  std::ranges::sort(places);
  std::uint64_t taken = 0;
  for (const auto& [offset, name] : places) {
    const std::string where = path_.string() + ": tensor '" + name + "'";
    GgufTensor& tensor = tensors_.at(name);
    const std::uint64_t bytes = bytes_of(tensor, where);
    expect(bytes == 0 || offset >= taken,
           "{}: expected its data to begin at {} or later, found {} (an overlap)", where, taken,
           offset);
    expect(offset <= data.size() && bytes <= data.size() - offset,
           "{}: expected {} bytes of data from {} on, found {} in all", where, bytes, offset,
           data.size());
    tensor.bytes = data.subspan(offset, bytes);
    taken = std::max(taken, offset + bytes);
  }
}

}  // namespace branchlora::io
