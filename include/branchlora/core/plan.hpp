/// @file
/// The steps of a pass over the rows of a batch, apart from when they are done.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "branchlora/core/error.hpp"
#include "branchlora/core/fused.hpp"

namespace branchlora {

/// A pass as a list of steps. The reference schedule, which is right by the order of the list
/// alone, does each step for all rows before the next one. A backend that interleaves work with a
/// product
/// (`RowWork`) does all steps on some rows before it goes on to the next rows; the kind of a step
/// says whether it may be cut in this way:
///
/// - `rowwise`: each row by itself, in any order, on any thread;
/// - `sum`: adds rows to sums over all rows, from the first row on, one thread at a time;
/// - `batch`: a barrier, which needs all rows of the steps before it.
///
/// A step is a closure that refers to what it works on and owns nothing; a plan allocates nothing.
template <Backend B>
class Plan {
 public:
  using T = typename B::Scalar;
  using Rows = MatrixView<const T>;

  /// Adds a row-wise step, `step(backend, first, count)` for the rows `first .. first + count`.
  /// `reads` is the large matrix that it reads the same rows of, if it reads one.
  template <std::invocable<B&, Index, Index> F>
  void rowwise(Rows reads, F step) {
    add(Kind::rowwise, reads, step);
  }
  /// Adds a sum over rows, `step(backend, first, count)` for some more rows.
  template <std::invocable<B&, Index, Index> F>
  void sum(Rows reads, F step) {
    add(Kind::sum, reads, step);
  }
  /// Adds a barrier: `step()` is done once, after all rows of the steps before it.
  template <std::invocable<> F>
  void batch(F step) {
    add(Kind::batch, {}, [step](B&, Index, Index) { step(); });
  }

  /// Does the steps up to the last barrier on all `rows` rows, and returns the others as work to be
  /// interleaved with a product of the same rows. The work refers to this plan.
  RowWork<B> begin(B& backend, Index rows) const {
    std::uint8_t from = 0;
    for (std::uint8_t i = 0; i < size_; ++i) {
      if (steps_[i].kind != Kind::batch) continue;
      fused::do_work(backend, work(from, i), rows);
      steps_[i](backend, 0, rows);
      from = static_cast<std::uint8_t>(i + 1);
    }
    return work(from, size_);
  }

 private:
  enum class Kind : std::uint8_t { rowwise, sum, batch };

  struct Step {
    Kind kind{};
    Rows reads;
    void (*call)(const void* closure, B&, Index first, Index count) = nullptr;
    alignas(void*) std::array<std::byte, 5 * sizeof(void*)> closure{};

    void operator()(B& backend, Index first, Index count) const {
      call(closure.data(), backend, first, count);
    }
  };

  template <class F>
  void add(Kind kind, Rows reads, F step) {
    static_assert(sizeof(F) <= sizeof(Step::closure) && std::is_trivially_copyable_v<F>,
                  "A step of a Plan must refer to what it works on and own nothing.");
    expect(size_ < steps_.size(), "a plan of {} steps has no room for another", steps_.size());
    Step& added = steps_[size_++];
    added.kind = kind;
    added.reads = reads;
    added.call = [](const void* closure, B& backend, Index first, Index count) {
      (*static_cast<const F*>(closure))(backend, first, count);
    };
    ::new (static_cast<void*>(added.closure.data())) F(step);
  }

  /// The steps `from .. to`, none of which is a barrier.
  RowWork<B> work(std::uint8_t from, std::uint8_t to) const {
    RowWork<B> all;
    std::size_t reads = 0;
    for (std::uint8_t i = from; i < to; ++i) {
      const Step& step = steps_[i];
      (step.kind == Kind::rowwise ? all.rows : all.sums) = Those{this, from, to, step.kind};
      bool known = step.reads.empty();
      for (const Rows& r : all.reads) known = known || r.data == step.reads.data;
      if (!known && reads < all.reads.size()) all.reads[reads++] = step.reads;
    }
    return all;
  }

  /// The steps of one kind between two barriers; small enough for a `std::function` to keep in
  /// place.
  struct Those {
    const Plan* plan;
    std::uint8_t from, to;
    Kind kind;

    void operator()(B& backend, Index first, Index count) const {
      for (std::uint8_t i = from; i < to; ++i) {
        if (plan->steps_[i].kind == kind) plan->steps_[i](backend, first, count);
      }
    }
  };

  std::array<Step, 10> steps_;
  std::uint8_t size_ = 0;
};

}  // namespace branchlora
