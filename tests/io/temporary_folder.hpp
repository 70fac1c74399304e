/// @file
/// What tests of files share: a folder that goes when the test ends, and the message of an error.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "branchlora/core/error.hpp"

namespace branchlora::test {

/// A new folder below the system's folder for temporary files, removed with all in it at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "branchlora.XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }

  /// Writes a file by plain streams, not by the code under test, and gives its path.
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    const auto path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  std::filesystem::path path_;
};

/// The message of the `Error` that `action` throws; fails the test if it throws none.
std::string error_of(auto action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  FAIL("expected an Error, found none");
  return {};
}

/// Checks that `message` contains each of `parts`.
void check_mentions(const std::string& message, const auto&... parts) {
  CAPTURE(message);
  for (const std::string_view part : {std::string_view(parts)...}) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

}  // namespace branchlora::test
