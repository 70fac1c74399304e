/// @file
/// The bodies of `tensorboard.hpp`.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/tensorboard.hpp"

namespace branchlora::report {

namespace detail {

/// Little-endian bytes of an unsigned integer.
template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
  return bytes;
}

/// Protocol-buffer fields: a key, then the value.
BRANCHLORA_INLINE std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

BRANCHLORA_INLINE std::string varint_field(std::uint64_t field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}

BRANCHLORA_INLINE std::string double_field(std::uint64_t field, double value) {
  return varint(field << 3 | 1) + little_endian(std::bit_cast<std::uint64_t>(value));
}

BRANCHLORA_INLINE std::string bytes_field(std::uint64_t field, std::string_view bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}

BRANCHLORA_INLINE std::string float_field(std::uint64_t field, float value) {
  return varint(field << 3 | 5) + little_endian(std::bit_cast<std::uint32_t>(value));
}

}  // namespace detail

BRANCHLORA_INLINE std::string event_record(std::string_view data) {
  const std::string length = detail::little_endian(std::uint64_t{data.size()});
  return length + detail::little_endian(masked_crc32c(length)) + std::string(data) +
         detail::little_endian(masked_crc32c(data));
}

BRANCHLORA_INLINE EventWriter::EventWriter(const std::filesystem::path& directory, double wall_time)
    : path_(directory / fmt::format("events.out.tfevents.{:.0f}.branchlora", wall_time)) {
  std::filesystem::create_directories(directory);
  file_.open(path_, std::ios::binary | std::ios::trunc);
  expect(file_.is_open(), "{}: cannot be opened for writing", path_.string());
  append(detail::double_field(1, wall_time) + detail::bytes_field(3, "brain.Event:2"));
}

BRANCHLORA_INLINE void EventWriter::add_scalar(std::string_view tag, double value, Index step,
                                               double wall_time) {
  const std::string scalar =
      detail::bytes_field(1, tag) + detail::float_field(2, static_cast<float>(value));
  append(detail::double_field(1, wall_time) +
         detail::varint_field(2, static_cast<std::uint64_t>(step)) +
         detail::bytes_field(5, detail::bytes_field(1, scalar)));
}

BRANCHLORA_INLINE double EventWriter::now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

BRANCHLORA_INLINE void EventWriter::append(std::string_view event) {
  file_ << event_record(event) << std::flush;
  expect(file_.good(), "{}: cannot be written", path_.string());
}

BRANCHLORA_INLINE std::string accuracy_tag(std::size_t task) {
  return fmt::format("Top1_Acc_Exp/eval_phase/test_stream/Task{0:03}/Exp{0:03}", task);
}

BRANCHLORA_INLINE void add_stage(EventWriter& events, const RunResult& run, std::size_t stage,
                                 double wall_time) {
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
