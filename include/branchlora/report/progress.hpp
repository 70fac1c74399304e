/// @file
/// How far a run is and when it will be done: a live line on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/matrix.hpp"

namespace branchlora::report {

/// A span of time as `m:ss` or `h:mm:ss`.
std::string format_duration(double seconds);

/// A bar of `width` columns, filled to an eighth of a column.
std::string progress_bar(double fraction, std::size_t width);

/// Columns of the terminal at standard error; 80 if it is none.
std::size_t terminal_width();

/// Whether standard error is a terminal.
bool at_terminal();

/// Writes `text` to standard error at once.
void write_to_stderr(std::string_view text);

/// Where the lines go and how. The default suits standard error.
struct ProgressOptions {
  bool live = at_terminal();             ///< one line, drawn again and again
  std::size_t width = terminal_width();  ///< columns of the live line
  std::function<void(std::string_view)> write = write_to_stderr;
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
  explicit Progress(Index total, Index done = 0, ProgressOptions options = {});

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Leaves the last state on the terminal.
  ~Progress();

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
  Job start(std::string name);

  /// Prints a line for good, above the live one.
  void print(std::string_view line);

 private:
  static constexpr std::string_view clear_line = "\r\x1b[K";
  static constexpr std::chrono::milliseconds redraw_period{100};

  double fraction() const;
  /// The next whole tenth after `f`.
  static int plain_due(double f);

  std::string time_left() const;

  std::string labels() const;

  void draw();

  void advance(Job::Label label, Index steps, std::optional<std::string_view> detail);

  void finish(Job::Label label);

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

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/progress-inl.hpp"
#endif
