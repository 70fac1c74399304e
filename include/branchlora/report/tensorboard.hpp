/// @file
/// Scalars as an event file that TensorBoard reads, without its libraries.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

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

/// One record of an event file: length, its checksum, data, its checksum.
std::string event_record(std::string_view data);

/// Writes scalars to an event file as they come, so that TensorBoard shows a run that still goes
/// on. Times are seconds since 1970.
class EventWriter {
 public:
  /// Creates `directory/events.out.tfevents.<seconds>.branchlora`; an existing file of that name is
  /// replaced. Throws if it cannot be created.
  explicit EventWriter(const std::filesystem::path& directory, double wall_time = now());

  /// Appends the value of `tag` at a training step. Throws if the file cannot be written.
  void add_scalar(std::string_view tag, double value, Index step, double wall_time = now());

  const std::filesystem::path& path() const { return path_; }

  /// Seconds since 1970.
  static double now();

 private:
  void append(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
};

/// Tag of a task's test score in the style that users of Avalanche know.
std::string accuracy_tag(std::size_t task);

/// Writes the scores of stage `stage` of `run` (one tag a task, as fractions of one) and their
/// mean over the tasks seen, at the number of training steps done by then, or at the number of
/// stages where steps were not recorded. A score that was not measured is left out.
void add_stage(EventWriter& events, const RunResult& run, std::size_t stage,
               double wall_time = EventWriter::now());

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/tensorboard-inl.hpp"
#endif
