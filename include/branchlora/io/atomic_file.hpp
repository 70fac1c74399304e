/// @file
/// Whole files in and out: reading one into memory, and writing one so that it is there complete or
/// not at all.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "branchlora/core/error.hpp"

namespace branchlora::io {

/// Throws `Error`: "cannot <action> <path>: <what the system says of errno>".
[[noreturn]] inline void fail_with_errno(std::string_view action,
                                         const std::filesystem::path& path) {
  const int code = errno;
  fail("cannot {} '{}': {}", action, path.string(), std::system_category().message(code));
}

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
  bool close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

/// Opens `path` for reading. Throws `Error` if that fails or `path` is a folder.
inline int open_for_reading(const std::filesystem::path& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    fail("cannot read '{}': expected a file, found a folder", path.string());
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_with_errno("open", path);
  return fd;
}

/// The bytes of the file `path`. Throws `Error` if it cannot be read.
inline std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(open_for_reading(path));
  std::string content;
  std::error_code unknown;
  if (const auto size = std::filesystem::file_size(path, unknown); !unknown) content.reserve(size);
  char buffer[1 << 16];
  while (true) {
    const auto count = ::read(file.get(), buffer, sizeof buffer);
    if (count == 0) return content;
    if (count > 0) {
      content.append(buffer, static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      fail_with_errno("read", path);
    }
  }
}

/// Writes a file so that readers see the old content or the whole new one, whatever happens.
///
/// The bytes go to `<path>.tmp.<process id>`; `commit` flushes them to the disk and renames that
/// file to `path`. Destruction without `commit` removes it and leaves `path` as it was. Every
/// method throws `Error`, naming the file, when the disk is full or the system refuses.
class AtomicFile {
 public:
  /// Opens the temporary file. `path` must be new or an ordinary file.
  explicit AtomicFile(std::filesystem::path path)
      : path_(std::move(path)),
        temporary_(path_.string() + ".tmp." + std::to_string(::getpid())),
        file_(open_temporary()) {}

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends `bytes`.
  void write(std::span<const std::byte> bytes) {
    expect(!committed_, "cannot write '{}': it is already committed", path_.string());
    while (!bytes.empty()) {
      const auto count = ::write(file_.get(), bytes.data(), bytes.size());
      if (count >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(count));
      } else if (errno != EINTR) {
        fail_with_errno("write", path_);
      }
    }
  }

  /// Appends `text`.
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes the file appear under its name. Call once, after the last `write`.
  void commit() {
    expect(!committed_, "cannot commit '{}': it is already committed", path_.string());
    if (::fsync(file_.get()) != 0 || !file_.close()) fail_with_errno("write", path_);
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno("replace", path_);
    committed_ = true;
    flush_folder();
  }

 private:
  int open_temporary() const {
    std::error_code ignored;
    const auto status = std::filesystem::status(path_, ignored);
    expect(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status),
           "cannot write '{}': expected a new name or an ordinary file, found a folder or device",
           path_.string());
    const int fd = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) fail_with_errno("write", path_);
    return fd;
  }

  // The rename itself survives a power cut only once the folder is on the disk. The file is
  // complete either way, so a file system that cannot do this is no error.
  void flush_folder() const {
    const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
    const Descriptor handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (handle.get() >= 0) ::fsync(handle.get());
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  Descriptor file_;
  bool committed_ = false;
};

/// Writes `content` as the whole file `path`, atomically. Throws `Error` as `AtomicFile` does.
inline void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace branchlora::io
