#include "branchlora/io/json.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "temporary_folder.hpp"

using namespace branchlora;
using test::check_mentions;
using test::error_of;

TEST_CASE("JSON is read as it stands") {
  const io::Json json = io::parse_json(R"({"a": [1, -2, 0.5], "b": {"a": "\u00e9"}})", "text");
  CHECK(json["a"][1] == -2);
  CHECK(json["a"][2] == 0.5);
  CHECK(json["b"]["a"] == "\xC3\xA9");
}

TEST_CASE("whatever is not strict JSON is refused, naming the text") {
  for (const std::string& text : std::vector<std::string>{
           std::string("[1]\0", 4), "", "{", "[1, 2,]", R"({"a": 1,})", "[1] // one", "[1] [2]",
           "{'a': 1}", "[NaN]", "[01]", "\"\xFF\"", "[\"\n\"]", "[1"}) {
    CAPTURE(text);
    check_mentions(error_of([&] { io::parse_json(text, "file.json"); }),
                   "file.json: expected valid");
  }
}

TEST_CASE("a key may stand once in an object, and again in another") {
  CHECK_NOTHROW(io::parse_json(R"([{"a": {"a": 1}, "b": {"a": 2}}, {"a": 3}])", "text"));
  check_mentions(error_of([] { io::parse_json(R"({"a": 1, "b": 2, "a": 3})", "text"); }), "text",
                 "'a' appears twice");
  check_mentions(error_of([] { io::parse_json(R"([{"x": {"b": 1, "\u0062": 2}}])", "text"); }),
                 "'b' appears twice");
}

TEST_CASE("an error in a file names the file") {
  const test::TemporaryFolder folder;
  const auto path = folder.write("bad.json", "[1,\n2,\n]");
  check_mentions(error_of([&] { io::read_json(path); }), path.string(), "line 3");
  check_mentions(error_of([&] { io::read_json(folder.path() / "absent"); }), "absent");
}

TEST_CASE("deep nesting is no stack overflow") {
  const std::string deep(200'000, '[');
  check_mentions(error_of([&] { io::parse_json(deep, "deep"); }), "deep: expected valid JSON");
}
