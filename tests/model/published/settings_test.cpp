#include "branchlora/model/published/settings.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "branchlora/io/json.hpp"
#include "io/temporary_folder.hpp"

using namespace branchlora;
using model::published::Settings;
using test::check_mentions;
using test::error_of;

namespace {

io::Json parse(const char* text) { return io::parse_json(text, "config.json"); }

}  // namespace

TEST_CASE("a setting is read by its type, and null is none") {
  const io::Json json =
      parse(R"({"size": 3, "eps": 1e-5, "whole": 2, "on": true, "name": "x", "none": null})");
  Settings settings(json, "config.json");
  CHECK(settings.take<Index>("size", 7) == 3);
  CHECK(settings.take<Index>("absent", 7) == 7);
  CHECK(settings.take<Index>("none", 7) == 7);
  CHECK(settings.take<double>("eps", 0.0) == 1e-5);
  CHECK(settings.take<double>("whole", 0.0) == 2.0);
  CHECK(settings.take<bool>("on", false));
  CHECK(settings.take<std::string>("name", "") == "x");
  CHECK(settings.has("size"));
  CHECK_FALSE(settings.has("none"));
  CHECK_NOTHROW(settings.expect_no_other());
  const auto refused = [&](auto take) { return error_of([&] { take(settings); }); };
  check_mentions(refused([](Settings& s) { s.take<Index>("eps", 0); }), "config.json: eps",
                 "whole number", "1e-05");
  check_mentions(refused([](Settings& s) { s.take<double>("name", 0.0); }), "name",
                 "expected a number", "\"x\"");
  check_mentions(refused([](Settings& s) { s.take<bool>("size", false); }), "true or false", "3");
  check_mentions(refused([](Settings& s) { s.take<std::string>("on", ""); }), "string", "true");
}

TEST_CASE("sizes are at least 1 and have a limit, and factors are above 0") {
  const io::Json json =
      parse(R"({"size": 0, "factor": -1.5, "large": 2147483648, "huge": 18446744073709551614})");
  Settings settings(json, "config.json");
  check_mentions(error_of([&] { settings.take_size("size", 1); }), "size", "at least 1", "found 0");
  check_mentions(error_of([&] { settings.take_size("large", 1); }), "large",
                 "at most 2147483647, found 2147483648");
  check_mentions(error_of([&] { settings.take_size("large", 1, 8); }), "at most 8");
  check_mentions(error_of([&] { settings.take<Index>("huge", 1); }), "huge",
                 "expected a whole number, found 18446744073709551614");
  check_mentions(error_of([&] { settings.take_positive("factor", 1); }), "factor", "above 0",
                 "-1.5");
}

TEST_CASE("a setting that may have one value alone") {
  const io::Json json = parse(R"({"act": "gelu", "bias": true, "drop": 0})");
  Settings settings(json, "config.json");
  CHECK_NOTHROW(settings.expect_only("absent", true));
  CHECK_NOTHROW(settings.expect_only("drop", 0.0));
  check_mentions(error_of([&] { settings.expect_only<std::string>("act", "silu"); }), "act",
                 "expected \"silu\"", "found \"gelu\"");
  check_mentions(error_of([&] { settings.expect_only("bias", false); }), "bias", "expected false",
                 "found true");
}

TEST_CASE("what was not read is refused by name, but for what says nothing of the computation") {
  const io::Json json =
      parse(R"({"use_cache": false, "torch_dtype": "float16", "none": null, "soft_cap": 30.0})");
  Settings settings(json, "config.json");
  check_mentions(error_of([&] { settings.expect_no_other(); }), "config.json: soft_cap",
                 "not known", "found 30.0");
  settings.pass("soft_cap");
  CHECK_NOTHROW(settings.expect_no_other());
}

TEST_CASE("objects within have a path, and may be compared") {
  const io::Json json = parse(R"({"in": {"a": 1, "b": 2}, "old": {"a": 1, "c": null}, "no": 3})");
  Settings settings(json, "config.json");
  Settings in = settings.object("in");
  CHECK(in.where() == "config.json: in");
  CHECK(in.includes(settings.object("old")));
  CHECK_FALSE(settings.object("old").includes(in));
  CHECK_FALSE(in.includes(Settings(parse(R"({"a": 2})"), "other")));
  check_mentions(error_of([&] { settings.object("no"); }), "config.json: no", "object", "number");
  check_mentions(error_of([&] { settings.object("absent"); }), "absent", "found none");
  check_mentions(error_of([&] { Settings(parse("[]"), "list.json"); }), "list.json", "array");
}
