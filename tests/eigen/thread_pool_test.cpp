#include "branchlora/eigen/thread_pool.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "branchlora/eigen/backend.hpp"
#include "branchlora/eigen/parallel.hpp"

namespace {

using branchlora::Chosen;
using branchlora::Index;
using branchlora::MatrixView;
using branchlora::eigen::Backend;
using branchlora::eigen::parallel_blocks;
using branchlora::eigen::parallel_timed;
using branchlora::eigen::ThreadPool;
using branchlora::eigen::worthwhile;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// How often each of some blocks was done.
class Counts {
 public:
  explicit Counts(Index blocks) : counts_(static_cast<std::size_t>(blocks)) {}
  void operator()(Index block) { ++counts_[static_cast<std::size_t>(block)]; }
  bool all(int times) const {
    return std::all_of(counts_.begin(), counts_.end(), [=](const auto& n) { return n == times; });
  }

 private:
  std::vector<std::atomic<int>> counts_;
};

}  // namespace

TEST_CASE("a pool does every block once, whatever the numbers of threads and blocks") {
  ThreadPool pool;
  for (int round = 0; round < 20; ++round) {
    for (const int threads : {1, 2, 3, 7, 2}) {
      for (const Index blocks : {0, 1, 2, 3, 16, 100}) {
        Counts counts(blocks);
        pool.run(threads, blocks, [&](Index block) { counts(block); });
        CHECK(counts.all(1));
        CHECK_FALSE(ThreadPool::busy());
      }
    }
  }
}

TEST_CASE("helpers take part, and what they leave others do") {
  ThreadPool pool;
  // Each of three blocks waits until all have begun, so three threads must be at work.
  std::atomic<int> begun = 0;
  pool.run(3, 3, [&](Index) {
    ++begun;
    for (int i = 0; i < 10000 && begun < 3; ++i) std::this_thread::sleep_for(milliseconds(1));
    CHECK(begun == 3);
  });
  CHECK(begun == 3);

  // A helper that is held up in its first block keeps nobody from the others of its share.
  std::atomic<int> done = 0;
  std::atomic<bool> held = false;
  const auto owner = std::this_thread::get_id();
  pool.run(2, 50, [&](Index) {
    if (std::this_thread::get_id() != owner && !held.exchange(true)) {
      for (int i = 0; i < 2000 && done < 49; ++i) std::this_thread::sleep_for(milliseconds(1));
      CHECK(done == 49);
    }
    ++done;
  });
  CHECK(done == 50);
}

TEST_CASE("the first exception reaches the caller, and the pool goes on") {
  ThreadPool pool;
  for (const Index guilty : {0, 5, 9}) {
    std::atomic<int> done = 0;
    CHECK_THROWS_WITH_AS(pool.run(3, 10,
                                  [&](Index block) {
                                    if (block == guilty) throw std::runtime_error("out of luck");
                                    ++done;
                                  }),
                         "out of luck", std::runtime_error);
    CHECK(done < 10);
    CHECK_FALSE(ThreadPool::busy());
    Counts counts(10);
    pool.run(3, 10, [&](Index block) { counts(block); });
    CHECK(counts.all(1));
  }
  CHECK_THROWS_AS(pool.run(3, 10, [](Index) { throw std::runtime_error("all"); }),
                  std::runtime_error);
  // Blocks that nobody has begun are left out.
  std::atomic<int> begun = 0;
  CHECK_THROWS_AS(parallel_blocks(1000, {1, 1}, 2,
                                  [&](Index, Index) {
                                    ++begun;
                                    std::this_thread::sleep_for(milliseconds(1));
                                    throw std::runtime_error("stop");
                                  }),
                  std::runtime_error);
  CHECK(begun <= 2);
}

TEST_CASE("a region inside a region is done by the thread that enters it") {
  ThreadPool pool;
  std::atomic<int> done = 0;
  std::atomic<int> strangers = 0;
  pool.run(2, 8, [&](Index) {
    CHECK(ThreadPool::busy());
    const auto self = std::this_thread::get_id();
    const auto regions = ThreadPool::of_thread().regions();
    parallel_blocks(64, {1, 1}, 4, [&](Index first, Index last) {
      done += static_cast<int>(last - first);
      if (std::this_thread::get_id() != self) ++strangers;
    });
    ThreadPool::of_thread().run(4, 4, [&](Index) {
      ++done;
      if (std::this_thread::get_id() != self) ++strangers;
    });
    CHECK(ThreadPool::of_thread().regions() == regions);
    CHECK(ThreadPool::busy());
  });
  CHECK(done == 8 * 68);
  CHECK(strangers == 0);
}

TEST_CASE("many callers at once have a pool each") {
  constexpr int callers = 6;
  std::array<bool, callers> good{};
  std::vector<std::thread> threads;
  for (int c = 0; c < callers; ++c) {
    threads.emplace_back([&good, c] {
      bool all = true;
      for (int i = 0; i < 50; ++i) {
        Counts counts(23);
        ThreadPool::of_thread().run(1 + (c + i) % 4, 23, [&](Index block) { counts(block); });
        all = all && counts.all(1);
      }
      good[static_cast<std::size_t>(c)] = all;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::count(good.begin(), good.end(), true) == callers);
}

TEST_CASE("small work wakes nobody") {
  // On a thread of its own, whose pool has no losses to make up for.
  std::thread([] {
    ThreadPool& pool = ThreadPool::of_thread();
    CHECK(worthwhile(4, ThreadPool::least) == 4);
    CHECK(worthwhile(4, ThreadPool::least - nanoseconds(1)) == 1);
    CHECK(worthwhile(1, milliseconds(50)) == 1);

    Backend<float> backend(4);
    std::vector<float> a(256 * 256, 1.0F), b(256 * 256, 1.0F), c(256 * 256);
    const MatrixView<float> x(a.data(), 8, 64), w(b.data(), 64, 64), y(c.data(), 8, 64);
    for (int i = 0; i < 100; ++i) {
      backend.gemm(branchlora::Op::none, branchlora::Op::none, 1, x, w, 0, y);
      backend.skinny_dot(x, w.middle_rows(0, 4), 1, y.middle_cols(0, 4), false);
      backend.skinny_outer(x.middle_cols(0, 4), x, 1, y.middle_rows(0, 4), false);
      backend.reduce_columns(
          8, 64, [=](Index r, Index k) { return x(r, k); }, c.data(), false);
      backend.for_each(512, [&](Index k) { c[static_cast<std::size_t>(k)] = 1; });
      const auto frozen = backend.freeze(w, branchlora::Storage::full);
      backend.frozen_forward(x, frozen, y);
    }
    CHECK(pool.regions() == 0);

    const MatrixView<float> square(a.data(), 256, 256), other(b.data(), 256, 256);
    backend.gemm(branchlora::Op::none, branchlora::Op::none, 1, square, other, 0,
                 MatrixView<float>(c.data(), 256, 256));
    CHECK(pool.regions() == 1);
    CHECK(c[1000] == 256);
  }).join();
}

TEST_CASE("work of unknown duration is timed on its first grain") {
  std::thread([] {
    ThreadPool& pool = ThreadPool::of_thread();
    Counts counts(64);
    parallel_timed(64, 4, 3, [&](Index first, Index last) {
      CHECK(first % 4 == 0);
      for (Index i = first; i < last; ++i) counts(i);
      std::this_thread::sleep_for(milliseconds(1));
    });
    CHECK(counts.all(1));
    CHECK(pool.regions() == 1);
    for (const Index n : {0, 1, 4, 7, 9}) {
      Counts few(n);
      parallel_timed(n, 4, 3, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) few(i);
      });
      CHECK(few.all(1));
    }
  }).join();
}

TEST_CASE("after a helper has held up its owner, the owner works alone for twenty times as long") {
  std::thread([] {
    ThreadPool& pool = ThreadPool::of_thread();
    CHECK(pool.worth(milliseconds(1)));
    const auto owner = std::this_thread::get_id();
    std::atomic<bool> helped = false;
    const auto start = std::chrono::steady_clock::now();
    pool.run(2, 2, [&](Index) {
      if (std::this_thread::get_id() == owner) {
        for (int i = 0; i < 10000 && !helped; ++i) std::this_thread::sleep_for(milliseconds(1));
      } else {
        helped = true;
        std::this_thread::sleep_for(milliseconds(40));
      }
    });
    const auto lost = std::chrono::steady_clock::now() - start;
    CHECK_FALSE(pool.worth(milliseconds(1)));
    CHECK(worthwhile(2, std::chrono::seconds(1)) == 1);
    while (!pool.worth(milliseconds(1)) &&
           std::chrono::steady_clock::now() - start < 30 * lost + std::chrono::seconds(1))
      std::this_thread::sleep_for(milliseconds(10));
    CHECK(pool.worth(milliseconds(1)));
    CHECK(std::chrono::steady_clock::now() - start > milliseconds(400));
  }).join();
}

// The thread sanitizer refuses such copies.
#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a copy of the process has threads of its own") {
  ThreadPool::of_thread().run(3, 12, [](Index) {});
  const pid_t child = fork();
  if (child == 0) {
    Counts counts(40);
    ThreadPool::of_thread().run(3, 40, [&](Index block) { counts(block); });
    {
      ThreadPool other;
      other.run(2, 4, [](Index) {});
    }
    _exit(counts.all(1) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  Counts counts(40);
  ThreadPool::of_thread().run(3, 40, [&](Index block) { counts(block); });
  CHECK(counts.all(1));
}
#endif

TEST_CASE("what runs at the end of a thread is done by that thread") {
  struct Last {
    std::atomic<int>* done = nullptr;
    ~Last() {
      parallel_blocks(10, {1, 1}, 3,
                      [this](Index first, Index last) { *done += static_cast<int>(last - first); });
    }
  };
  std::atomic<int> done = 0;
  std::thread([&] {
    thread_local Last last;  // made before the thread's pool, so gone after it
    last.done = &done;
    ThreadPool::of_thread().run(2, 2, [](Index) {});
  }).join();
  CHECK(done == 10);
}
