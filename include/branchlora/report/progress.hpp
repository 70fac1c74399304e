/// @file
/// How far a run is and when it will be done: a live line on a terminal, plain lines elsewhere.
#pragma once

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/report/text.hpp"

namespace branchlora::report {

/// A span of time as `m:ss` or `h:mm:ss`.
inline std::string format_duration(double seconds) {
  const auto s = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

/// A bar of `width` columns, filled to an eighth of a column.
inline std::string progress_bar(double fraction, std::size_t width) {
  static constexpr std::string_view eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled =
      static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(8 * width));
  std::string bar;
  for (std::size_t i = 0; i < filled / 8; ++i) bar += "█";
  bar += eighths[filled % 8];
  return pad(bar, width);
}

/// Columns of the terminal at standard error; 80 if it is none.
inline std::size_t terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

/// Where the lines go and how. The default suits standard error.
struct ProgressOptions {
  bool live = ::isatty(STDERR_FILENO) == 1;  ///< one line, drawn again and again
  std::size_t width = terminal_width();      ///< columns of the live line
  std::function<void(std::string_view)> write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

/// The progress of several jobs that share one count of training steps. Every member may be called
/// from any thread; the jobs must not outlive their `Progress`.
///
///     Progress progress(total_steps);
///     Progress::Job job = progress.start("BranchLoRA, seed 0");
///     job.advance(1, "TextVQA");
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  /// `total` steps are to do, of which a resumed run has `done` behind it; those do not count for
  /// the speed. Throws unless 0 <= done <= total.
  explicit Progress(Index total, Index done = 0, ProgressOptions options = {})
      : total_(total),
        done_(done),
        resumed_(done),
        options_(std::move(options)),
        start_(options_.now()) {
    expect(0 <= done && done <= total, "progress: expected 0 to {} steps done, found {}", total,
           done);
    plain_at_ = plain_due(fraction());
  }

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Leaves the last state on the terminal.
  ~Progress() {
    if (!options_.live) return;
    try {
      const std::scoped_lock lock(mutex_);
      draw();
      options_.write("\n");
    } catch (...) {  // NOLINT(bugprone-empty-catch): a lost line is no harm, a throw here would be
    }
  }

  /// A job at work. It shows until it is destroyed.
  class Job {
   public:
    Job(Job&& other) noexcept
        : progress_(std::exchange(other.progress_, nullptr)), label_(other.label_) {}
    Job& operator=(Job&&) = delete;
    ~Job() {
      if (progress_ != nullptr) progress_->finish(label_);
    }

    /// Counts steps as done; `detail` (a task, an evaluation) shows after the job's name until
    /// the next one.
    void advance(Index steps, std::optional<std::string_view> detail = {}) {
      progress_->advance(label_, steps, detail);
    }
    /// Shows `detail` without counting a step.
    void note(std::string_view detail) { advance(0, detail); }

   private:
    friend class Progress;
    using Label = std::list<std::pair<std::string, std::string>>::iterator;
    Job(Progress& progress, Label label) : progress_(&progress), label_(label) {}

    Progress* progress_;
    Label label_;
  };

  /// Begins a job of this name.
  Job start(std::string name) {
    const std::scoped_lock lock(mutex_);
    jobs_.emplace_back(std::move(name), std::string());
    return {*this, std::prev(jobs_.end())};
  }

  /// Prints a line for good, above the live one.
  void print(std::string_view line) {
    const std::scoped_lock lock(mutex_);
    options_.write(fmt::format("{}{}\n", options_.live ? clear_line : "", line));
    if (options_.live) draw();
  }

 private:
  static constexpr std::string_view clear_line = "\r\x1b[K";
  static constexpr std::chrono::milliseconds redraw_period{100};

  double fraction() const {
    return total_ == 0 ? 1.0 : static_cast<double>(done_) / static_cast<double>(total_);
  }
  /// The next whole tenth after `f`.
  static int plain_due(double f) { return static_cast<int>(std::floor(f * 10 + 1e-9)) + 1; }

  std::string time_left() const {
    if (done_ >= total_) {
      const std::chrono::duration<double> all = options_.now() - start_;
      return "done in " + format_duration(all.count());
    }
    if (done_ == resumed_) return "time left unknown";
    const std::chrono::duration<double> elapsed = options_.now() - start_;
    const double each = elapsed.count() / static_cast<double>(done_ - resumed_);
    return format_duration(each * static_cast<double>(total_ - done_)) + " left";
  }

  std::string labels() const {
    std::string text;
    for (const auto& [name, detail] : jobs_) {
      if (!text.empty()) text += " | ";
      text += name;
      if (!detail.empty()) text.append(": ").append(detail);
    }
    return text;
  }

  void draw() {
    const auto percent = static_cast<int>(100 * fraction());
    const std::string line = fmt::format("{:3} % ▕{}▏ {}  {}", percent,
                                         progress_bar(fraction(), 24), time_left(), labels());
    options_.write(std::string(clear_line) + truncate(line, options_.width - 1));
    drawn_ = options_.now();
  }

  void advance(Job::Label label, Index steps, std::optional<std::string_view> detail) {
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

  void finish(Job::Label label) {
    const std::scoped_lock lock(mutex_);
    jobs_.erase(label);
  }

  std::mutex mutex_;
  Index total_;
  Index done_;
  Index resumed_;
  ProgressOptions options_;
  Clock::time_point start_;
  std::optional<Clock::time_point> drawn_;
  int plain_at_ = 1;
  std::list<std::pair<std::string, std::string>> jobs_;
};

}  // namespace branchlora::report
