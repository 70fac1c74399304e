#include "branchlora/report/progress.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/report/text.hpp"

using namespace branchlora::report;
using branchlora::Error;
using branchlora::Index;

namespace {

/// A clock that stands still until told, and a place for what would be printed.
struct Bench {
  std::chrono::steady_clock::time_point now{};
  std::string printed;

  ProgressOptions options(bool live, std::size_t width = 200) {
    return {.live = live,
            .width = width,
            .write = [this](std::string_view text) { printed += text; },
            .now = [this] { return now; }};
  }
  std::string take() { return std::exchange(printed, {}); }
};

}  // namespace

TEST_CASE("durations") {
  CHECK(format_duration(0) == "0:00");
  CHECK(format_duration(59.4) == "0:59");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_duration(3599) == "59:59");
  CHECK(format_duration(3661) == "1:01:01");
  CHECK(format_duration(-5) == "0:00");
}

TEST_CASE("bars fill by eighths") {
  CHECK(progress_bar(0, 4) == "    ");
  CHECK(progress_bar(0.5, 4) == "██  ");
  CHECK(progress_bar(1.0 / 32, 4) == "▏   ");
  CHECK(progress_bar(1, 4) == "████");
  CHECK(progress_bar(7, 4) == "████");
}

TEST_CASE("plain output: a line a tenth, with the time left") {
  Bench bench;
  Progress progress(1000, 0, bench.options(false));
  Progress::Job job = progress.start("LoRA, seed 0");
  for (int step = 0; step < 99; ++step) job.advance(1, "Letters");
  CHECK(bench.take().empty());
  bench.now += std::chrono::seconds(10);
  job.advance(1);
  CHECK(bench.take() == " 10 % (100 of 1000 steps), 1:30 left; LoRA, seed 0: Letters\n");
  job.advance(1);
  CHECK(bench.take().empty());
  bench.now += std::chrono::seconds(70);
  job.advance(699, "Counting");  // several tenths at once are one line
  CHECK(bench.take() == " 80 % (800 of 1000 steps), 0:20 left; LoRA, seed 0: Counting\n");
  bench.now += std::chrono::seconds(20);
  job.advance(200);
  CHECK(bench.take() == "100 % (1000 of 1000 steps), done in 1:40; LoRA, seed 0: Counting\n");
  job.advance(50);  // more than promised
  CHECK(bench.take().empty());
}

TEST_CASE("steps of an earlier session count as done, not as speed") {
  Bench bench;
  Progress progress(1000, 500, bench.options(false));
  Progress::Job job = progress.start("A");
  bench.now += std::chrono::seconds(10);
  job.advance(100);
  CHECK(bench.take() == " 60 % (600 of 1000 steps), 0:40 left; A\n");
  CHECK_THROWS_WITH_AS(Progress(10, 11), "progress: expected 0 to 10 steps done, found 11", Error);
}

TEST_CASE(
    "live output: one line, drawn at most ten times a second, never wider than the terminal") {
  Bench bench;
  {
    Progress progress(100, 0, bench.options(true, 70));
    Progress::Job first = progress.start("LoRA");
    Progress::Job second = progress.start("a method with a long name indeed");
    bench.now += std::chrono::seconds(5);
    first.advance(50, "Letters");
    const std::string line = bench.take();
    REQUIRE(line.starts_with("\r\x1b[K 50 % ▕████████████            ▏ 0:05 left  LoRA: Letters"));
    CHECK(display_width(std::string_view(line).substr(4)) == 69);
    CHECK(line.ends_with("…"));

    first.advance(1);
    CHECK(bench.take().empty());
    bench.now += std::chrono::milliseconds(100);
    first.advance(1);
    CHECK(bench.take().starts_with("\r\x1b[K 52 %"));

    progress.print("checkpoint written");
    CHECK(bench.take().starts_with("\r\x1b[Kcheckpoint written\n\r\x1b[K 52 %"));
  }
  CHECK(bench.printed.ends_with("\n"));
}

TEST_CASE("jobs of several threads lose no step") {
  Bench bench;
  constexpr int threads = 4;
  constexpr int steps = 500;
  {
    Progress progress(Index{threads * steps}, 0, bench.options(false));
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t)
      workers.emplace_back([&progress, t] {
        Progress::Job job = progress.start("job " + std::to_string(t));
        for (int s = 0; s < steps; ++s) job.advance(1, "step");
      });
    for (std::thread& worker : workers) worker.join();
  }
  CHECK(bench.printed.find("100 % (2000 of 2000 steps), done in 0:00") != std::string::npos);
}
