#include "branchlora/io/mapped_file.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::error_of;

namespace {

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

TEST_CASE("a mapped file is what the file is, and a copy keeps it") {
  const test::TemporaryFolder folder;
  auto first = std::make_unique<MappedFile>(folder.write("file", "some bytes"));
  CHECK(text_of(*first) == "some bytes");
  const MappedFile second = *first;
  first.reset();
  CHECK(text_of(second) == "some bytes");
}

TEST_CASE("an empty file is mapped as no bytes; what is no file is refused by its name") {
  const test::TemporaryFolder folder;
  CHECK(MappedFile(folder.write("empty", "")).bytes().empty());
  check_mentions(error_of([&] { MappedFile(folder.path() / "absent"); }), "absent");
  check_mentions(error_of([&] { MappedFile(folder.path()); }), "found a folder");
}
