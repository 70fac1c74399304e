/// @file
/// How files are read and written.
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
#include "branchlora/core/inline.hpp"
#include "branchlora/io/atomic_file.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE void fail_with_errno(std::string_view action, const std::filesystem::path& path) {
  const int code = errno;
  fail("cannot {} '{}': {}", action, path.string(), std::system_category().message(code));
}

BRANCHLORA_INLINE bool Descriptor::close() {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 || ::close(fd) == 0;
}

BRANCHLORA_INLINE int open_for_reading(const std::filesystem::path& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    fail("cannot read '{}': expected a file, found a folder", path.string());
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_with_errno("open", path);
  return fd;
}

BRANCHLORA_INLINE std::string read_file(const std::filesystem::path& path) {
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

BRANCHLORA_INLINE AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(path_.string() + ".tmp." + std::to_string(::getpid())),
      file_(open_temporary()) {}

BRANCHLORA_INLINE AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(temporary_.c_str());
}

BRANCHLORA_INLINE void AtomicFile::write(std::span<const std::byte> bytes) {
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

BRANCHLORA_INLINE void AtomicFile::commit() {
  expect(!committed_, "cannot commit '{}': it is already committed", path_.string());
  if (::fsync(file_.get()) != 0 || !file_.close()) fail_with_errno("write", path_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno("replace", path_);
  committed_ = true;
  flush_folder();
}

BRANCHLORA_INLINE int AtomicFile::open_temporary() const {
  std::error_code ignored;
  const auto status = std::filesystem::status(path_, ignored);
  expect(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status),
         "cannot write '{}': expected a new name or an ordinary file, found a folder or device",
         path_.string());
  const int fd = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) fail_with_errno("write", path_);
  return fd;
}

BRANCHLORA_INLINE void AtomicFile::flush_folder() const {
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const Descriptor handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.get() >= 0) ::fsync(handle.get());
}

BRANCHLORA_INLINE void write_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace branchlora::io
