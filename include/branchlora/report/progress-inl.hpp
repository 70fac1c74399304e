/// @file
/// The bodies of `progress.hpp`.
#pragma once

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/progress.hpp"
#include "branchlora/report/text.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE std::string format_duration(double seconds) {
  const auto s = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

BRANCHLORA_INLINE std::string progress_bar(double fraction, std::size_t width) {
  static constexpr std::string_view eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled =
      static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(8 * width));
  std::string bar;
  for (std::size_t i = 0; i < filled / 8; ++i) bar += "█";
  bar += eighths[filled % 8];
  return pad(bar, width);
}

BRANCHLORA_INLINE std::size_t terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

BRANCHLORA_INLINE bool at_terminal() { return ::isatty(STDERR_FILENO) == 1; }

BRANCHLORA_INLINE void write_to_stderr(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

BRANCHLORA_INLINE Progress::Progress(Index total, Index done, ProgressOptions options)
    : total_(total),
      done_(done),
      resumed_(done),
      options_(std::move(options)),
      start_(options_.now()) {
  expect(0 <= done && done <= total, "progress: expected 0 to {} steps done, found {}", total,
         done);
  plain_at_ = plain_due(fraction());
}

BRANCHLORA_INLINE Progress::~Progress() {
  if (!options_.live) return;
  try {
    const std::scoped_lock lock(mutex_);
    draw();
    options_.write("\n");
  } catch (...) {  // NOLINT(bugprone-empty-catch): a lost line is no harm, a throw here would be
  }
}

BRANCHLORA_INLINE Progress::Job Progress::start(std::string name) {
  const std::scoped_lock lock(mutex_);
  jobs_.emplace_back(std::move(name), std::string());
  return {*this, std::prev(jobs_.end())};
}

BRANCHLORA_INLINE void Progress::print(std::string_view line) {
  const std::scoped_lock lock(mutex_);
  options_.write(fmt::format("{}{}\n", options_.live ? clear_line : "", line));
  if (options_.live) draw();
}

BRANCHLORA_INLINE double Progress::fraction() const {
  return total_ == 0 ? 1.0 : static_cast<double>(done_) / static_cast<double>(total_);
}

BRANCHLORA_INLINE int Progress::plain_due(double f) {
  return static_cast<int>(std::floor(f * 10 + 1e-9)) + 1;
}

BRANCHLORA_INLINE std::string Progress::time_left() const {
  if (done_ >= total_) {
    const std::chrono::duration<double> all = options_.now() - start_;
    return "done in " + format_duration(all.count());
  }
  if (done_ == resumed_) return "time left unknown";
  const std::chrono::duration<double> elapsed = options_.now() - start_;
  const double each = elapsed.count() / static_cast<double>(done_ - resumed_);
  return format_duration(each * static_cast<double>(total_ - done_)) + " left";
}

BRANCHLORA_INLINE std::string Progress::labels() const {
  std::string text;
  for (const auto& [name, detail] : jobs_) {
    if (!text.empty()) text += " | ";
    text += name;
    if (!detail.empty()) text.append(": ").append(detail);
  }
  return text;
}

BRANCHLORA_INLINE void Progress::draw() {
  const auto percent = static_cast<int>(100 * fraction());
  const std::string line = fmt::format("{:3} % ▕{}▏ {}  {}", percent, progress_bar(fraction(), 24),
                                       time_left(), labels());
  options_.write(std::string(clear_line) + truncate(line, options_.width - 1));
  drawn_ = options_.now();
}

BRANCHLORA_INLINE void Progress::advance(Job::Label label, Index steps,
                                         std::optional<std::string_view> detail) {
  const std::scoped_lock lock(mutex_);
  done_ = std::min(total_, done_ + steps);
  if (detail) label->second = *detail;
  if (options_.live) {
    if (!drawn_ || options_.now() - *drawn_ >= redraw_period) draw();
  } else if (fraction() * 10 + 1e-9 >= plain_at_) {
    plain_at_ = plain_due(fraction());
    options_.write(fmt::format("{:3} % ({} of {} steps), {}; {}\n",
                               static_cast<int>(100 * fraction()), done_, total_, time_left(),
                               labels()));
  }
}

BRANCHLORA_INLINE void Progress::finish(Job::Label label) {
  const std::scoped_lock lock(mutex_);
  jobs_.erase(label);
}

}  // namespace branchlora::report
