#include "branchlora/io/atomic_file.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <string>

#include "temporary_folder.hpp"

namespace {

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

std::ptrdiff_t count_files(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

/// While it lives, this process cannot make a file longer than `bytes`: a disk that fills up.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("a committed file has all that was written, and nothing else is left") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "file";
  AtomicFile file(path);
  file.write("one ");
  file.write(std::string(200'000, 'x'));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(std::filesystem::exists(path.string() + ".tmp." + std::to_string(::getpid())));
  file.commit();
  CHECK(read_file(path) == "one " + std::string(200'000, 'x'));
  CHECK(count_files(folder.path()) == 1);
  check_mentions(error_of([&] { file.write("more"); }), path.string(), "already committed");
  check_mentions(error_of([&] { file.commit(); }), path.string(), "already committed");
}

TEST_CASE("a file that is not committed leaves the old content alone") {
  const test::TemporaryFolder folder;
  const auto path = folder.write("file", "old");
  { AtomicFile(path).write("half of the ne"); }
  CHECK(read_file(path) == "old");
  CHECK(count_files(folder.path()) == 1);
  write_file(path, "new");
  CHECK(read_file(path) == "new");
}

TEST_CASE("bytes of every value survive, and an empty file stays empty") {
  const test::TemporaryFolder folder;
  std::string all(256, '\0');
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i);
  write_file(folder.path() / "all", all);
  CHECK(read_file(folder.path() / "all") == all);
  write_file(folder.path() / "none", "");
  CHECK(read_file(folder.path() / "none").empty());
}

TEST_CASE("a disk that fills up is an error that names the file, and nothing is half written") {
  const test::TemporaryFolder folder;
  const auto path = folder.write("file", "old");
  {
    const FileSizeLimit limit(1000);
    check_mentions(error_of([&] { write_file(path, std::string(5000, 'x')); }), "cannot write",
                   path.string());
  }
  CHECK(read_file(path) == "old");
  CHECK(count_files(folder.path()) == 1);
}

TEST_CASE("targets that cannot be replaced are refused before anything is written") {
  const test::TemporaryFolder folder;
  check_mentions(error_of([&] { AtomicFile file(folder.path()); }), folder.path().string(),
                 "found a folder or device");
  check_mentions(error_of([] { AtomicFile file("/dev/null"); }), "/dev/null",
                 "found a folder or device");
  check_mentions(error_of([&] { AtomicFile file(folder.path() / "absent" / "file"); }),
                 "cannot write", "absent/file", "No such file");
}

TEST_CASE("reading what is not there or not a file is an error") {
  const test::TemporaryFolder folder;
  check_mentions(error_of([&] { read_file(folder.path() / "absent"); }), "cannot open", "absent");
  check_mentions(error_of([&] { read_file(folder.path()); }), "expected a file, found a folder");
}
