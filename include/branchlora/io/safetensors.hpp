/// @file
/// The safetensors format: named tensors in one file. Eight bytes give the length of a JSON header,
/// which gives type, shape and place of each tensor in the data that follow; row-major, little-
/// endian, without gaps.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/dtype.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/mapped_file.hpp"
#include "branchlora/io/safetensors_writer.hpp"

namespace branchlora::io {

static_assert(std::endian::native == std::endian::little,
              "Tensor files are little-endian and are read as they are.");

/// A tensor inside an open file. `bytes` are row-major and may start at any address.
struct TensorView {
  Dtype dtype{};
  std::vector<Index> shape;
  std::span<const std::byte> bytes;

  /// Number of elements: 1 for a scalar, 0 if an extent is 0.
  Index size() const { return static_cast<Index>(bytes.size() / byte_size(dtype)); }
};

/// A tensor to be written. `bytes` are row-major and belong to the caller.
struct TensorOut {
  std::string name;
  Dtype dtype{};
  std::vector<Index> shape;
  std::span<const std::byte> bytes;
};

/// `values` as a tensor to be written under `name` and `shape`.
template <Storable T>
TensorOut tensor_out(std::string name, std::vector<Index> shape, std::span<const T> values) {
  return {std::move(name), dtype_of<T>, std::move(shape), std::as_bytes(values)};
}

/// A type of whole numbers that files can hold as it is.
template <class T>
concept WholeNumber = Storable<T> && std::integral<T> && !std::same_as<T, bool>;

/// A safetensors file, mapped into memory for as long as this, or a copy of it, lives.
///
/// The header is checked whole before anything is handed out, by the rules of the reference reader:
/// header length, JSON, types, shapes against sizes, and data that the tensors cover exactly once.
/// Beyond it, a repeated name is refused, as the format's text asks. Names come from the file:
/// never use one as a path.
class SafeTensors {
 public:
  /// Maps and checks the file `path`. Throws `Error` naming it and the tensor at fault.
  static SafeTensors open(const std::filesystem::path& path) { return SafeTensors(path); }

  bool contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }

  /// The names, in alphabetical order.
  std::vector<std::string> names() const;

  /// The tensor `name`, valid while this object lives. Throws `Error` if there is none.
  const TensorView& tensor(std::string_view name) const;

  /// What the header's `__metadata__` says; empty if it is absent.
  const Metadata& metadata() const { return metadata_; }

  /// Where this was read from.
  const std::filesystem::path& path() const { return path_; }

  /// Copies the tensor `name`, stored as F32, F64, F16 or BF16, into `out`, converting. Throws
  /// `Error` on another type or if `out` has not as many elements as the tensor.
  template <std::floating_point T>
  void read(std::string_view name, std::span<T> out) const {
    read_floats(name, out);
  }

  /// Copies the tensor `name` of whole numbers, stored as exactly this type, into `out`. Throws
  /// `Error` on another type or if `out` has not as many elements as the tensor.
  template <WholeNumber T>
  void read(std::string_view name, std::span<T> out) const {
    read_whole(name, dtype_of<T>, std::as_writable_bytes(out));
  }

 private:
  void read_floats(std::string_view name, std::span<float> out) const;
  void read_floats(std::string_view name, std::span<double> out) const;
  void read_whole(std::string_view name, Dtype dtype, std::span<std::byte> out) const;

  explicit SafeTensors(const std::filesystem::path& path);

  /// Fills `tensors_` (without bytes), `places_` and `metadata_`; gives the data section.
  std::span<const std::byte> parse_header(std::span<const std::byte> file);

  void parse_metadata(const Json& entry);

  void parse_entry(const std::string& name, const Json& entry);

  static std::vector<Index> extents(const Json& list, const std::string& where);

  /// Throws unless the tensors, in the order of their places, cover the data without gap or
  /// overlap.
  void check_coverage(std::uint64_t data_bytes) const;

  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> places_;  // while opening
  Metadata metadata_;
};

/// Writes `tensors` and `metadata` to `path`, atomically: sorted by type (largest first) and name,
/// the header padded so that the data begin at a multiple of 8. Throws `Error` if a tensor's bytes
/// do not fit its shape, a name appears twice or is reserved, or the disk refuses.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorOut>& tensors,
                       const Metadata& metadata = {});

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/safetensors-inl.hpp"
#endif
