/// @file
/// Threads that help another with its work, where that pays.
///
/// Longer than most files: what sleeps, wakes and takes work shares its atomics, whose orders are
/// argued for in one place.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <exception>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__unix__)
#include <unistd.h>
#endif

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/memory.hpp"

namespace branchlora::eigen {

/// Threads that help their owner, the thread that calls `run`. Every owner has a pool of its own.
///
/// They sleep between two regions. The owner works like they do and waits for no helper that has
/// not begun, so a region with help ends later than without it only where a helper has begun a
/// block and lost its processor before the end. `worth` keeps account of what that costs: after a
/// loss the owner works alone for twenty times as long, so help costs a twentieth at most.
class ThreadPool {
 public:
  /// Shortest work, on one thread, that others are woken for: a helper takes a quarter of this to
  /// wake up, so it still saves a quarter.
  static constexpr std::chrono::nanoseconds least{100'000};

  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() {
    stop_ = true;
    signal_.fetch_add(1, std::memory_order_release);
    signal_.notify_all();
    if (forked()) forget();
    for (std::thread& thread : threads_) thread.join();
  }

  /// The pool of the calling thread. What the thread does after its end, it does alone.
  static ThreadPool& of_thread() {
    struct Owned {
      ThreadPool pool;
      ~Owned() { busy() = true; }
    };
    thread_local Owned owned;
    return owned.pool;
  }

  /// Whether the calling thread is inside `run`, as owner or as helper. It gets no help there.
  static bool& busy() {
    thread_local bool is_busy = false;
    return is_busy;
  }

  /// Whether to ask for help with work that takes one thread so long.
  bool worth(std::chrono::nanoseconds work) const {
    return work >= least && Clock::now() >= alone_until_;
  }

  /// Calls `body(block)` for the blocks 0 .. `blocks` - 1, on `threads` threads at most. Each takes
  /// its even share of blocks that follow each other, in ascending order, and then what others have
  /// left of theirs. The first exception of a body is thrown here; blocks that nobody has begun are
  /// then left out. Inside another region the calling thread does all blocks.
  template <class Body>
  void run(int threads, Index blocks, Body&& body) {
    const int helpers = busy() ? 0 : grow(std::min<Index>(threads, blocks) - 1);
    if (helpers == 0) {
      for (Index block = 0; block < blocks; ++block) body(block);
      return;
    }
    context_ = &body;
    call_ = [](const void* context, Index block) {
      (*static_cast<std::remove_reference_t<Body>*>(const_cast<void*>(context)))(block);
    };
    run_with(helpers, blocks);
  }

  /// Regions in which others were asked for help.
  std::int64_t regions() const { return regions_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  /// Longest time for which a thread looks for what it waits for before it sleeps.
  static constexpr std::chrono::microseconds patience{20};
  /// Gains that losses are set against.
  static constexpr Seconds most_credit{5e-3};

  /// The blocks of one thread that nobody has taken yet.
  struct alignas(cache_line) Share {
    std::atomic<Index> next{0};
    Index end = 0;
  };

  /// Ends the calling thread's being busy, whatever happens.
  struct Busy {
    Busy() { busy() = true; }
    ~Busy() { busy() = false; }
  };

  /// Makes sure of so many helpers, or of fewer if the system refuses more. Returns their number.
  int grow(Index helpers) {
    if (helpers <= 0) return 0;
    if (forked()) forget();
    try {
      while (std::ssize(threads_) < helpers) {
        const std::uint32_t seen = signal_;
        threads_.emplace_back([this, seen] { help(seen); });
      }
    } catch (const std::system_error&) {
      helpers = std::ssize(threads_);
    }
    if (std::ssize(shares_) <= helpers)
      shares_ = std::vector<Share>(static_cast<std::size_t>(helpers + 1));
    return static_cast<int>(helpers);
  }

  void run_with(int helpers, Index blocks) {
    const Busy busy_here;
    ++regions_;
    members_ = helpers + 1;
    failed_ = false;
    for (int m = 0; m < members_; ++m) {
      shares_[static_cast<std::size_t>(m)].next = blocks * m / members_;
      shares_[static_cast<std::size_t>(m)].end = blocks * (m + 1) / members_;
    }
    const Clock::time_point start = Clock::now();
    const Seconds processor_start = processor_time();
    state_.store(static_cast<std::uint32_t>(helpers) * place, std::memory_order_release);
    wake(helpers);
    const Index own = work(0);
    const Seconds processor = processor_time() - processor_start;
    // Who has not begun by now does not begin any more.
    std::uint32_t inside = state_.fetch_and(place - 1, std::memory_order_acq_rel) & (place - 1);
    for (; inside != 0; inside = state_.load(std::memory_order_acquire)) await(state_, inside);
    const Clock::time_point end = Clock::now();
    settle(processor * (static_cast<double>(blocks) / static_cast<double>(std::max<Index>(own, 1))),
           end - start, end);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  /// Books what a region took that takes `alone` on the owner's processor.
  void settle(Seconds alone, Seconds taken, Clock::time_point now) {
    credit_ = std::min(credit_ + alone - taken, most_credit);
    if (credit_ >= Seconds(0)) return;
    alone_until_ = now + std::chrono::duration_cast<Clock::duration>(-20 * credit_);
    credit_ = Seconds(0);
  }

  void wake(int helpers) {
    signal_.fetch_add(1, std::memory_order_release);
    if (helpers == std::ssize(threads_)) return signal_.notify_all();
    for (; helpers > 0; --helpers) signal_.notify_one();
  }

  /// What a helper does from its start to its end.
  void help(std::uint32_t seen) {
    busy() = true;
    for (;;) {
      await(signal_, seen);
      seen = signal_.load(std::memory_order_acquire);
      if (stop_) return;
      const int member = enter();
      if (member == 0) continue;
      work(member);
      if (state_.fetch_sub(1, std::memory_order_acq_rel) == 1) state_.notify_one();
    }
  }

  /// Takes one of the places that the owner offers; 0 if there is none.
  int enter() {
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    while (state >= place) {
      if (state_.compare_exchange_weak(state, state - place + 1, std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
        return static_cast<int>(state / place);
    }
    return 0;
  }

  /// Does blocks until there are none. Returns how many.
  Index work(int member) {
    Index done = 0;
    for (int m = 0; m < members_; ++m) {
      Share& share = shares_[static_cast<std::size_t>((member + m) % members_)];
      for (Index block = 0; (block = share.next.fetch_add(1)) < share.end; ++done) {
        if (failed_) return done;
        try {
          call_(context_, block);
        } catch (...) {
          if (!failed_.exchange(true)) error_ = std::current_exception();
        }
      }
    }
    return done;
  }

  /// Waits until `value` is no longer `old`, asleep if that takes long.
  static void await(std::atomic<std::uint32_t>& value, std::uint32_t old) {
    const Clock::time_point end = Clock::now() + patience;
    while (value.load(std::memory_order_acquire) == old) {
      if (Clock::now() >= end) return value.wait(old, std::memory_order_acquire);
    }
  }

  /// Processor time of the calling thread; where the system does not tell it, the time.
  static Seconds processor_time() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    std::timespec time{};
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
      return Seconds(static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec));
#endif
    return Clock::now().time_since_epoch();
  }

  /// Whether this process is a fork of the one that started the helpers, and so has none.
  bool forked() const {
#if defined(__unix__)
    return process_ != getpid();
#else
    return false;
#endif
  }
  void forget() {
    for (std::thread& thread : threads_) thread.detach();
    threads_.clear();
    state_ = 0;
#if defined(__unix__)
    process_ = getpid();
#endif
  }

  /// Of `state_`: places that the owner offers, in units of this, plus helpers that are inside.
  static constexpr std::uint32_t place = 1U << 16U;

  alignas(cache_line) std::atomic<std::uint32_t> signal_{0};  ///< Changes with every region.
  alignas(cache_line) std::atomic<std::uint32_t> state_{0};
  std::atomic<bool> stop_ = false;
  std::atomic<bool> failed_ = false;
  std::exception_ptr error_;

  // Of the region. Helpers that are inside read it.
  void (*call_)(const void*, Index) = nullptr;
  const void* context_ = nullptr;
  int members_ = 0;
  std::vector<Share> shares_;

  // The owner's alone.
  std::vector<std::thread> threads_;
  std::int64_t regions_ = 0;
  Seconds credit_{0};
  Clock::time_point alone_until_{};
#if defined(__unix__)
  pid_t process_ = getpid();
#endif
};

}  // namespace branchlora::eigen
