/// @file
/// The GGUF format: metadata and named tensors, often quantised, in one file. Magic, version and
/// counts; the metadata; name, shape, type and place of each tensor; the data, each tensor at a
/// multiple of the alignment. Little-endian throughout.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/gguf_blocks.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/mapped_file.hpp"

namespace branchlora::io {

static_assert(std::endian::native == std::endian::little,
              "GGUF files are little-endian and are read as they are.");

/// A tensor inside an open GGUF file. `shape` is row-major, the outermost extent first (the file
/// has it the other way round); `bytes` are blocks of `type` along the rows.
struct GgufTensor {
  GgufType type{};
  std::vector<Index> shape;
  std::span<const std::byte> bytes;

  /// Number of elements: 1 for a scalar, 0 if an extent is 0.
  Index size() const;
};

namespace detail {
class GgufCursor;
}  // namespace detail

/// A GGUF file of version 2 or 3, mapped into memory for as long as this, or a copy of it, lives.
///
/// Everything but the tensors' data is read and checked before anything is handed out: strings are
/// UTF-8, no name appears twice, and each tensor is of a type that is read here, aligned, inside
/// the file and apart from the others. Names come from the file: never use one as a path.
class Gguf {
 public:
  /// Maps and checks the file `path`. Throws `Error` naming it and what is at fault.
  static Gguf open(const std::filesystem::path& path) { return Gguf(path); }

  /// The metadata: one object, whose keys are whole (`llama.block_count`). Whole numbers of every
  /// width, floating-point numbers, booleans, strings, and lists of them.
  const Json& metadata() const { return *metadata_; }

  bool contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }

  /// The names of the tensors, in alphabetical order.
  std::vector<std::string> names() const;

  /// The tensor `name`, valid while this object lives. Throws `Error` if there is none.
  const GgufTensor& tensor(std::string_view name) const;

  /// Writes the elements of the tensor `name`, row-major, to `out`. Throws `Error` if `out` has not
  /// as many as the tensor.
  void read(std::string_view name, std::span<float> out) const;

  /// Where this was read from.
  const std::filesystem::path& path() const { return path_; }

 private:
  /// Offset and name of a tensor.
  using Places = std::vector<std::pair<std::uint64_t, std::string>>;

  explicit Gguf(const std::filesystem::path& path);

  struct Counts {
    std::uint64_t tensors;
    std::uint64_t values;
  };

  Counts read_preamble(detail::GgufCursor& cursor) const;

  void read_value(detail::GgufCursor& cursor);

  std::uint64_t read_alignment() const;

  /// Adds a tensor with all but the place of its bytes, and gives that.
  Places::value_type read_tensor(detail::GgufCursor& cursor, std::uint64_t alignment);

  Index read_extent(detail::GgufCursor& cursor, const std::string& what) const;

  /// Bytes of `tensor` by its shape. Throws `Error` if they overflow or a row is no whole blocks.
  static std::uint64_t bytes_of(const GgufTensor& tensor, const std::string& where);

  /// Gives each tensor its bytes in `data`. Throws `Error` if one is not inside or two overlap.
  void place(Places places, std::span<const std::byte> data);

  std::filesystem::path path_;
  MappedFile file_;
  std::shared_ptr<Json> metadata_;  // one for all copies
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/gguf-inl.hpp"
#endif
