/// @file
/// Scalars as an event file that TensorBoard reads, without its libraries.
#pragma once

#include <fmt/format.h>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/report/run_record.hpp"

namespace branchlora::report {

/// CRC-32C (Castagnoli): reflected polynomial 0x82f63b78, as in RFC 3720.
constexpr std::uint32_t crc32c(std::string_view bytes) {
  constexpr auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t remainder = i;
      for (int bit = 0; bit < 8; ++bit)
        remainder = remainder >> 1 ^ ((remainder & 1) != 0 ? 0x82f63b78U : 0U);
      entries[i] = remainder;
    }
    return entries;
  }();
  std::uint32_t crc = 0xffffffffU;
  for (const char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ crc >> 8;
  return ~crc;
}

/// The checksum that event files store: `crc32c` rotated right by 15, plus 0xa282ead8.
constexpr std::uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

namespace detail {

/// Little-endian bytes of an unsigned integer.
template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

/// Protocol-buffer fields: a key, then the value.
inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
inline std::string varint_field(std::uint64_t field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
inline std::string double_field(std::uint64_t field, double value) {
  return varint(field << 3 | 1) + little_endian(std::bit_cast<std::uint64_t>(value));
}
inline std::string bytes_field(std::uint64_t field, std::string_view bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string float_field(std::uint64_t field, float value) {
  return varint(field << 3 | 5) + little_endian(std::bit_cast<std::uint32_t>(value));
}

}  // namespace detail

/// One record of an event file: length, its checksum, data, its checksum.
inline std::string event_record(std::string_view data) {
  const std::string length = detail::little_endian(std::uint64_t{data.size()});
  return length + detail::little_endian(masked_crc32c(length)) + std::string(data) +
         detail::little_endian(masked_crc32c(data));
}

/// Writes scalars to an event file as they come, so that TensorBoard shows a run that still goes
/// on. Times are seconds since 1970.
class EventWriter {
 public:
  /// Creates `directory/events.out.tfevents.<seconds>.branchlora`; an existing file of that name is
  /// replaced. Throws if it cannot be created.
  explicit EventWriter(const std::filesystem::path& directory, double wall_time = now())
      : path_(directory / fmt::format("events.out.tfevents.{:.0f}.branchlora", wall_time)) {
    std::filesystem::create_directories(directory);
    file_.open(path_, std::ios::binary | std::ios::trunc);
    expect(file_.is_open(), "{}: cannot be opened for writing", path_.string());
    append(detail::double_field(1, wall_time) + detail::bytes_field(3, "brain.Event:2"));
  }

  /// Appends the value of `tag` at a training step. Throws if the file cannot be written.
  void add_scalar(std::string_view tag, double value, Index step, double wall_time = now()) {
    const std::string scalar =
        detail::bytes_field(1, tag) + detail::float_field(2, static_cast<float>(value));
    append(detail::double_field(1, wall_time) +
           detail::varint_field(2, static_cast<std::uint64_t>(step)) +
           detail::bytes_field(5, detail::bytes_field(1, scalar)));
  }

  const std::filesystem::path& path() const { return path_; }

  /// Seconds since 1970.
  static double now() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since).count();
  }

 private:
  void append(std::string_view event) {
    file_ << event_record(event) << std::flush;
    expect(file_.good(), "{}: cannot be written", path_.string());
  }

  std::filesystem::path path_;
  std::ofstream file_;
};

/// Tag of a task's test score in the style that users of Avalanche know.
inline std::string accuracy_tag(std::size_t task) {
  return fmt::format("Top1_Acc_Exp/eval_phase/test_stream/Task{0:03}/Exp{0:03}", task);
}

/// Writes the scores of stage `stage` of `run` (one tag a task, as fractions of one) and their
/// mean over the tasks seen, at the number of training steps done by then, or at the number of
/// stages where steps were not recorded. A score that was not measured is left out.
inline void add_stage(EventWriter& events, const RunResult& run, std::size_t stage,
                      double wall_time = EventWriter::now()) {
  expect(stage < run.tasks.size(), "{}: expected a stage below {}, found {}", run.method,
         run.tasks.size(), stage);
  Index step = static_cast<Index>(stage) + 1;
  if (!run.stage_steps.empty()) {
    step = 0;
    for (std::size_t i = 0; i <= stage; ++i) step += run.stage_steps[i];
  }
  double seen = 0;
  for (std::size_t j = 0; j < run.tasks.size(); ++j) {
    const double score = run.R(stage, j) / 100;
    if (j <= stage) seen += score;
    if (!std::isnan(score)) events.add_scalar(accuracy_tag(j), score, step, wall_time);
  }
  if (!std::isnan(seen)) {
    events.add_scalar("Top1_Acc_Stream/eval_phase/test_stream/seen_tasks",
                      seen / static_cast<double>(stage + 1), step, wall_time);
  }
}

}  // namespace branchlora::report
