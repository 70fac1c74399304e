/// @file
/// A device that is the host: what the stand-ins of the CUDA runtime and cuBLAS share.
///
/// Work is queued and runs when somebody waits for it, as on a real stream, so that memory which is
/// reused too early gives wrong results. Device memory can be touched by queued work only: the host
/// gets a fault. Every call is recorded, and any of them can be made to fail.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cuda_on_host {

class Device {
 public:
  /// That of this thread: threads are as separate as processes with a device each.
  static Device& get() {
    static thread_local Device device;
    return device;
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { munmap(memory_, reserved); }

  /// How often a function was called since `forget_calls`.
  int calls(const std::string& name) const {
    const auto found = calls_.find(name);
    return found == calls_.end() ? 0 : found->second;
  }
  /// Kernels and products.
  int launches() const {
    return calls("cudaLaunchKernel") + calls("cublasGemmEx") + calls("cublasLtMatmul");
  }
  void forget_calls() {
    calls_.clear();
    all_calls_ = 0;
  }
  /// All calls that can fail.
  int all_calls() const { return all_calls_; }

  /// Lets the nth call from now on that can fail do so (1 is the next), of `name` or of any.
  void fail_at(int nth, std::string name = {}) {
    countdown_ = nth;
    failing_ = std::move(name);
    failed_ = false;
  }
  /// Whether the call that was to fail did.
  bool failed() const { return failed_; }
  void fail_never() { countdown_ = 0; }

  /// What no correct program does: copies outside of an allocation, freeing twice, ...
  const std::vector<std::string>& violations() const { return violations_; }
  void forget_violations() { violations_.clear(); }

  std::size_t allocations() const { return live_.size(); }
  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t peak() const { return peak_; }
  std::size_t handles() const { return handles_.size(); }

  /// The memory of the device; fewer bytes than are in use let the next allocation fail.
  std::size_t capacity = std::size_t{1} << 30;
  /// How many devices there are.
  int count = 1;
  /// Whether cuBLASLt has an algorithm for a product with a bias.
  bool has_algorithms = true;
  /// Whether blocks run from the last to the first.
  bool reversed = false;
  /// What cudaGetLastError returns next.
  int last_error = 0;

  // What the stand-ins call.

  /// Records a call; true if it is to fail.
  bool enter(const char* name) {
    ++calls_[name];
    ++all_calls_;
    if (countdown_ == 0 || (!failing_.empty() && failing_ != name) || --countdown_ > 0)
      return false;
    return failed_ = true;
  }

  void violate(std::string what) { violations_.push_back(std::move(what)); }

  void* allocate(std::size_t bytes) {
    if (recording_) violate("allocated in a step that is recorded");
    if (in_use_ + bytes > capacity) return nullptr;
    if (live_.empty() && queue_.empty()) check_freed();
    const std::size_t needed = (bytes + guard + 255) / 256 * 256;
    if (used_ + needed > reserved) return nullptr;
    std::byte* p = memory_ + used_;
    used_ += needed;
    open();
    if (bytes <= spoilt) std::memset(p, garbage, bytes);
    std::memset(p + bytes, guard_byte, needed - bytes);
    close();
    live_[p] = bytes;
    in_use_ += bytes;
    peak_ = in_use_ > peak_ ? in_use_ : peak_;
    return p;
  }

  bool release(void* pointer) {
    const auto found = live_.find(static_cast<std::byte*>(pointer));
    if (found == live_.end()) {
      violate("freed memory that is not allocated");
      return false;
    }
    const auto [p, bytes] = *found;
    live_.erase(found);
    in_use_ -= bytes;
    queue([this, p = p, bytes = bytes] {
      check_guard(p, bytes);
      if (bytes > spoilt) return;
      std::memset(p, garbage, bytes);
      freed_[p] = bytes;
    });
    return true;
  }

  /// Whether `bytes` from `pointer` on lie within one live allocation.
  bool inside(const void* pointer, std::size_t bytes) const {
    const auto* p = static_cast<const std::byte*>(pointer);
    auto after = live_.upper_bound(const_cast<std::byte*>(p));
    if (after == live_.begin()) return false;
    --after;
    return p + bytes <= after->first + after->second;
  }
  bool on_device(const void* pointer) const {
    const auto* p = static_cast<const std::byte*>(pointer);
    return p >= memory_ && p < memory_ + reserved;
  }

  /// `rows` pieces of `width` bytes, `pitch` apart, for a violation's text under the name `what`.
  void expect_inside(const void* pointer, std::size_t pitch, std::size_t width, std::size_t rows,
                     const char* what) {
    if (rows == 0 || width == 0) return;
    if (!inside(pointer, pitch * (rows - 1) + width)) {
      violate(std::string(what) + ": outside of allocated device memory");
    }
  }

  void queue(std::function<void()> work) {
    if (recording_) {
      recorded_.push_back(std::move(work));
      return;
    }
    queue_.push_back(std::move(work));
    ++queued_;
  }
  /// From now on work is recorded in place of being queued.
  void record() { recording_ = true; }
  bool recording() const { return recording_; }
  /// Ends that and returns a handle of what was recorded.
  void* end_recording() {
    recording_ = false;
    void* handle = new_handle();
    graphs_[handle] = std::exchange(recorded_, {});
    return handle;
  }
  /// Another handle of what was recorded.
  void* copy_of_graph(const void* graph) {
    void* handle = new_handle();
    graphs_[handle] = graphs_.at(graph);
    return handle;
  }
  /// Lets a program do what `graph` does from its next launch on; false if that is of another size.
  bool update_graph(const void* program, const void* graph) {
    auto& old = graphs_.at(program);
    const auto& now = graphs_.at(graph);
    if (old.size() != now.size()) return false;
    old = now;
    return true;
  }
  void queue_graph(const void* graph) {
    for (const auto& work : graphs_.at(graph)) queue(work);
  }

  /// Whether all that was queued has run.
  bool idle() const { return queue_.empty(); }
  /// The number of the work queued last.
  std::uint64_t queued() const { return queued_; }
  /// Runs the queued work up to number `last`.
  void run_until(std::uint64_t last) {
    open();
    for (; !queue_.empty() && done_ < last; ++done_) {
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
    close();
  }
  void run_all() { run_until(queued_); }

  void* new_handle() {
    auto* handle = new char;
    handles_.insert(handle);
    return handle;
  }
  void delete_handle(void* handle) {
    if (handles_.erase(handle) == 0) {
      violate("destroyed a handle that does not exist");
    } else {
      graphs_.erase(handle);
      delete static_cast<char*>(handle);
    }
  }
  bool is_handle(const void* handle) const { return handles_.contains(const_cast<void*>(handle)); }

  std::map<void*, std::size_t> pinned;
  std::map<const void*, std::uint64_t> events;

 private:
  Device()
      : memory_(static_cast<std::byte*>(mmap(
            nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}

  static constexpr std::size_t reserved = std::size_t{16} << 30;
  static constexpr std::size_t guard = 64;
  static constexpr int garbage = 0xFF;  // NaN in every floating type, -1 in every integer.
  static constexpr int guard_byte = 0xA5;
  /// Larger allocations are not filled with garbage, which would take most of a test's time.
  static constexpr std::size_t spoilt = std::size_t{4} << 20;

  void open() {
    if (open_++ == 0) mprotect(memory_, pages(), PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--open_ == 0) mprotect(memory_, pages(), PROT_NONE);
  }
  std::size_t pages() const { return (used_ + 4095) / 4096 * 4096; }

  void check_guard(const std::byte* p, std::size_t bytes) {
    for (std::size_t i = 0; i < guard; ++i) {
      if (p[bytes + i] != std::byte{guard_byte}) return violate("written behind an allocation");
    }
  }

  /// Nothing is allocated: what was freed must be as freeing left it. Starts over.
  void check_freed() {
    open();
    for (const auto& [p, bytes] : freed_) {
      for (std::size_t i = 0; i < bytes; ++i) {
        if (p[i] != std::byte{garbage}) {
          violate("written after it was freed");
          break;
        }
      }
    }
    close();
    freed_.clear();
    madvise(memory_, pages(), MADV_DONTNEED);
    used_ = 0;
  }

  std::byte* memory_;
  std::size_t used_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  int open_ = 0;
  std::map<std::byte*, std::size_t> live_, freed_;
  std::set<void*> handles_;
  std::deque<std::function<void()>> queue_;
  bool recording_ = false;
  std::vector<std::function<void()>> recorded_;
  std::map<const void*, std::vector<std::function<void()>>> graphs_;
  std::uint64_t queued_ = 0;
  std::uint64_t done_ = 0;
  std::map<std::string, int> calls_;
  int all_calls_ = 0;
  int countdown_ = 0;
  std::string failing_;
  bool failed_ = false;
  std::vector<std::string> violations_;
};

}  // namespace cuda_on_host
