#include "branchlora/continual/strategy/replay.hpp"

#include <doctest/doctest.h>

#include <set>

#include "branchlora/adapter/variant/lora.hpp"
#include "continual/lesson.hpp"
#include "io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::Pick;
using continual::strategy::Replay;

namespace {

using B = eigen::Backend<double>;
using On = continual::strategy::ReplayOn<B>;
using Room = Classroom<Lora<2>>;

/// Of a picture: 4 tokens of 16 doubles.
constexpr Index picture_bytes = 4 * 16 * 8;

/// The numbers of the samples stored of each task.
std::vector<std::vector<Index>> stored(const On& replay) {
  std::vector<std::vector<Index>> numbers;
  for (const auto& task : replay.stored()) {
    auto& of = numbers.emplace_back();
    for (const Pick<B>& p : task) of.push_back(p.sample);
  }
  return numbers;
}

/// Batches of four samples of the present task after `steps` choices.
std::vector<std::vector<Pick<B>>> chosen(On& replay, const Room& room, Index steps) {
  std::vector<std::vector<Pick<B>>> batches;
  const auto& split = room.tasks[2].train;
  for (Index step = 0; step < steps; ++step) {
    auto& batch = batches.emplace_back(
        std::vector<Pick<B>>{{&split, 0}, {&split, 1}, {&split, 2}, {&split, 3}});
    replay.choose(batch, step);
  }
  return batches;
}

}  // namespace

TEST_CASE("a sample costs its picture's features and its tokens") {
  Room room;
  const auto cost = [&](Index i) { return On::cost({&room.tasks[0].train, i}); };
  CHECK(cost(0) == picture_bytes + 5 * 4);
  CHECK(cost(1) == 3 * 4);
  CHECK(cost(2) == picture_bytes + 9 * 4);  // both turns
  CHECK(cost(3) == picture_bytes + 4 * 4);
}

TEST_CASE("the buffer never exceeds its bytes, holds every task before, and shares alike") {
  Room room;
  for (const Index bytes : {1200, 1500, 2200, 3000, 5000, 100000}) {
    CAPTURE(bytes);
    const auto replay = strategy_of(room, Replay{.bytes = bytes});
    for (std::size_t tasks = 1; tasks <= 3; ++tasks) {
      CAPTURE(tasks);
      replay->begin_task(room.lesson(tasks));
      REQUIRE(replay->stored().size() == tasks - 1);
      Index total = 0;
      for (std::size_t t = 0; t < tasks - 1; ++t) {
        Index part = 0;
        std::set<Index> different;
        for (const Pick<B>& p : replay->stored()[t]) {
          CHECK(p.split == &room.tasks[t].train);
          different.insert(p.sample);
          part += On::cost(p);
        }
        CHECK(!different.empty());
        CHECK(different.size() == replay->stored()[t].size());
        CHECK(part <= bytes / static_cast<Index>(tasks - 1));
        if (different.size() < 5) {  // no room for one more of the largest
          CHECK(part + picture_bytes + 9 * 4 > bytes / static_cast<Index>(tasks - 1));
        }
        total += part;
      }
      CHECK(total <= bytes);
      CHECK(replay->bytes() == total);
    }
  }
}

TEST_CASE(
    "what a part loses to a new task is its end, so nothing that was dropped is needed again") {
  Room room;
  const auto replay = strategy_of(room, Replay{.bytes = 2200});
  replay->begin_task(room.lesson(2));
  const auto before = stored(*replay)[0];
  replay->begin_task(room.lesson(3));
  const auto after = stored(*replay)[0];
  CHECK(after.size() < before.size());
  CHECK(std::equal(after.begin(), after.end(), before.begin()));
}

TEST_CASE("the seed decides what is stored and what is replayed") {
  Room room;
  const auto once = [&](std::uint64_t seed) {
    room.options.seed = seed;
    const auto replay = strategy_of(room, Replay{.bytes = 2400});
    replay->begin_task(room.lesson(3));
    std::vector<std::pair<Index, Index>> replayed;
    for (const auto& batch : chosen(*replay, room, 20)) {
      for (const Pick<B>& p : batch) replayed.push_back({p.example().task, p.sample});
    }
    return std::pair(stored(*replay), replayed);
  };
  CHECK(once(1) == once(1));
  std::set<std::vector<std::vector<Index>>> buffers;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) buffers.insert(once(seed).first);
  CHECK(buffers.size() > 4);
  // A buffer that was filled at once is the same as one that saw every task begin.
  room.options.seed = 1;
  const auto replay = strategy_of(room, Replay{.bytes = 2400});
  for (std::size_t tasks = 1; tasks <= 3; ++tasks) replay->begin_task(room.lesson(tasks));
  CHECK(stored(*replay) == once(1).first);
}

TEST_CASE("a share of each batch comes from the buffer, from its tasks alike") {
  Room room;
  const auto& now = room.tasks[2].train;
  for (const auto& [share, expected] :
       {std::pair<double, int>{0.5, 2}, {0.25, 1}, {1.0, 4}, {0.01, 1}, {0.0, 0}}) {
    CAPTURE(share);
    const auto replay = strategy_of(room, Replay{.bytes = 2400, .share = share});
    replay->begin_task(room.lesson(3));
    std::vector<double> of_task(2);
    for (const auto& batch : chosen(*replay, room, 400)) {
      REQUIRE(batch.size() == 4);
      for (std::size_t i = 0; i < 4; ++i) {
        const bool replayed = i >= static_cast<std::size_t>(4 - expected);
        CHECK((batch[i].split != &now) == replayed);
        if (!replayed) CHECK(batch[i].sample == static_cast<Index>(i));
        if (replayed) of_task[static_cast<std::size_t>(batch[i].example().task)] += 1;
      }
    }
    // 400 or more fair coins: half of them, within five standard deviations.
    const double total = 400.0 * expected;
    CHECK(std::abs(of_task[0] - total / 2) <= 2.5 * std::sqrt(total));
  }
}

TEST_CASE("the first task replays nothing") {
  Room room;
  const auto replay = strategy_of(room, Replay{});
  replay->begin_task(room.lesson(1));
  for (const auto& batch : chosen(*replay, room, 3)) {
    for (const Pick<B>& p : batch) CHECK(p.split == &room.tasks[2].train);
  }
  CHECK(replay->bytes() == 0);
}

TEST_CASE("a budget that can not hold every task is refused") {
  Room room;
  const auto replay = strategy_of(room, Replay{.bytes = 10});
  check_mentions(error_of([&] { replay->begin_task(room.lesson(3)); }), "replay", "2 tasks",
                 "5 bytes", "task 0");
  check_mentions(error_of([&] { strategy_of(room, Replay{.share = 1.5}); }), "replay", "1.5");
}
