#include "branchlora/report/tensorboard.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/io/atomic_file.hpp"
#include "runs.hpp"

using namespace branchlora::report;
using namespace std::string_literals;
using branchlora::Error;

namespace {

struct Scalar {
  std::string tag;
  float value = 0;
  std::uint64_t step = 0;
  double time = 0;
  std::string version;
};

std::uint64_t read_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(0));
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

template <class T>
T read_raw(std::string_view& bytes) {
  T value;
  REQUIRE(bytes.size() >= sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

std::string_view read_bytes(std::string_view& bytes) {
  const auto size = static_cast<std::size_t>(read_varint(bytes));
  REQUIRE(size <= bytes.size());
  const std::string_view content = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return content;
}

Scalar read_event(std::string_view bytes) {
  Scalar event;
  while (!bytes.empty()) {
    switch (read_varint(bytes)) {
      case 1 << 3 | 1:
        event.time = read_raw<double>(bytes);
        break;
      case 2 << 3 | 0:
        event.step = read_varint(bytes);
        break;
      case 3 << 3 | 2:
        event.version = read_bytes(bytes);
        break;
      case 5 << 3 | 2: {
        std::string_view summary = read_bytes(bytes);
        REQUIRE(read_varint(summary) == (1 << 3 | 2));
        std::string_view value = read_bytes(summary);
        CHECK(summary.empty());
        REQUIRE(read_varint(value) == (1 << 3 | 2));
        event.tag = read_bytes(value);
        REQUIRE(read_varint(value) == (2 << 3 | 5));
        event.value = read_raw<float>(value);
        CHECK(value.empty());
        break;
      }
      default:
        FAIL("unknown field");
    }
  }
  return event;
}

std::vector<Scalar> read_events(const std::filesystem::path& path) {
  const std::string file = branchlora::io::read_file(path);
  std::string_view rest = file;
  std::vector<Scalar> events;
  while (!rest.empty()) {
    const std::string_view length_bytes = rest.substr(0, 8);
    const auto length = static_cast<std::size_t>(read_raw<std::uint64_t>(rest));
    CHECK(read_raw<std::uint32_t>(rest) == masked_crc32c(length_bytes));
    const std::string_view data = rest.substr(0, length);
    rest.remove_prefix(length);
    CHECK(read_raw<std::uint32_t>(rest) == masked_crc32c(data));
    events.push_back(read_event(data));
  }
  return events;
}

}  // namespace

TEST_CASE("CRC-32C of the vectors in RFC 3720, B.4") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283U);  // the check value of the polynomial
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aaU);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43U);
  std::string up;
  std::string down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  CHECK(crc32c(up) == 0x46dd794eU);
  CHECK(crc32c(down) == 0x113fdb5cU);
  static_assert(crc32c("123456789") == 0xe3069283U, "the checksum is known at compile time");
}

TEST_CASE("the mask: rotate right by 15, add 0xa282ead8") {
  // 0xe3069283 >> 15 = 0x1c60d, 0xe3069283 << 17 = 0x25060000 (mod 2^32); together 0x2507c60d,
  // plus 0xa282ead8 is 0xc78ab0e5.
  CHECK(masked_crc32c("123456789") == 0xc78ab0e5U);
}

TEST_CASE("the bytes of a record") {
  // Every event file begins with a record of 24 bytes: the time and "brain.Event:2".
  const std::string record = event_record(std::string(24, 'x'));
  CHECK(record.substr(0, 12) == "\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22"s);
  CHECK(record.size() == 8 + 4 + 24 + 4);
}

TEST_CASE("scalars can be read back") {
  const auto directory = std::filesystem::temp_directory_path() / "branchlora_tensorboard_test";
  std::filesystem::remove_all(directory);
  const RunResult run = test::make_run("A", 0);
  std::filesystem::path path;
  {
    EventWriter events(directory, 1000.25);
    path = events.path();
    events.add_scalar("loss", 0.1, 300, 1001.5);
    add_stage(events, run, 1, 1002);
  }
  CHECK(path.filename() == "events.out.tfevents.1000.branchlora");
  const std::vector<Scalar> read = read_events(path);
  std::filesystem::remove_all(directory);
  REQUIRE(read.size() == 6);
  CHECK(read[0].version == "brain.Event:2");
  CHECK(read[0].time == 1000.25);
  CHECK(read[1].tag == "loss");
  CHECK(read[1].value == 0.1F);
  CHECK(read[1].step == 300);
  CHECK(read[1].time == 1001.5);
  CHECK(read[2].tag == "Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000");
  CHECK(read[2].value == 0.4F);
  CHECK(read[2].step == 600);
  CHECK(read[4].tag == "Top1_Acc_Exp/eval_phase/test_stream/Task002/Exp002");
  CHECK(read[4].value == 0.08F);
  CHECK(read[5].value == 0.55F);  // the mean of 40 and 70, the tasks seen
  CHECK_THROWS_AS(EventWriter("/dev/null/nowhere", 0), std::exception);
}

TEST_CASE("a stage that does not exist is refused") {
  const auto directory = std::filesystem::temp_directory_path() / "branchlora_tensorboard_test_2";
  EventWriter events(directory, 0);
  CHECK_THROWS_WITH_AS(add_stage(events, test::make_run("A", 0), 3),
                       "A: expected a stage below 3, found 3", Error);
  std::filesystem::remove_all(directory);
}
