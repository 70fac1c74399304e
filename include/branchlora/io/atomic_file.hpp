/// @file
/// Whole files in and out: reading one into memory, and writing one so that it is there complete or
/// not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace branchlora::io {

/// Throws `Error`: "cannot <action> <path>: <what the system says of errno>".
[[noreturn]] void fail_with_errno(std::string_view action, const std::filesystem::path& path);

/// An open file that closes itself.
class Descriptor {
 public:
  /// Takes over a descriptor from open(2).
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }

  int get() const { return fd_; }

  /// Closes the file; false if the system reports an error that was deferred until now.
  bool close();

 private:
  int fd_;
};

/// Opens `path` for reading. Throws `Error` if that fails or `path` is a folder.
int open_for_reading(const std::filesystem::path& path);

/// The bytes of the file `path`. Throws `Error` if it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Writes a file so that readers see the old content or the whole new one, whatever happens.
///
/// The bytes go to `<path>.tmp.<process id>`; `commit` flushes them to the disk and renames that
/// file to `path`. Destruction without `commit` removes it and leaves `path` as it was. Every
/// method throws `Error`, naming the file, when the disk is full or the system refuses.
class AtomicFile {
 public:
  /// Opens the temporary file. `path` must be new or an ordinary file.
  explicit AtomicFile(std::filesystem::path path);

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  ~AtomicFile();

  /// Appends `bytes`.
  void write(std::span<const std::byte> bytes);

  /// Appends `text`.
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes the file appear under its name. Call once, after the last `write`.
  void commit();

 private:
  int open_temporary() const;

  // The rename itself survives a power cut only once the folder is on the disk. The file is
  // complete either way, so a file system that cannot do this is no error.
  void flush_folder() const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  Descriptor file_;
  bool committed_ = false;
};

/// Writes `content` as the whole file `path`, atomically. Throws `Error` as `AtomicFile` does.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/atomic_file-inl.hpp"
#endif
