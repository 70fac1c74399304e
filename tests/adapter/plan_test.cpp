#include "branchlora/core/plan.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "branchlora/core/buffer.hpp"
#include "branchlora/eigen/backend.hpp"

using namespace branchlora;

namespace {

using B = eigen::Backend<float>;
using Rows = MatrixView<const float>;

/// Adds steps that keep note of their calls, such as "a[0, 5)".
struct Notes {
  std::string text;

  auto step(char name) {
    return [this, name](B&, Index first, Index count) {
      text += fmt::format("{}[{}, {}) ", name, first, first + count);
    };
  }
  auto barrier(char name) {
    return [this, name] { text += fmt::format("{} ", name); };
  }
};

/// How often each row was done, and how far a sum has come.
struct Progress {
  explicit Progress(Index rows) : done(static_cast<std::size_t>(rows)) {}

  void add_to(Plan<B>& plan, Rows reads) {
    plan.rowwise(reads, [this](B&, Index first, Index count) {
      for (Index i = first; i < first + count; ++i) ++done[static_cast<std::size_t>(i)];
    });
    plan.sum(reads, [this](B&, Index first, Index count) {
      const std::scoped_lock lock(mutex);
      in_order = in_order && first == summed;
      summed = first + count;
      ++parts;
      for (Index i = first; i < first + count; ++i) {
        after_rows = after_rows && done[static_cast<std::size_t>(i)].load() == 1;
      }
    });
  }

  void check(Index rows) const {
    for (const auto& times : done) REQUIRE(times.load() == 1);
    CHECK(summed == rows);
    CHECK(in_order);
    CHECK(after_rows);
  }

  std::vector<std::atomic<int>> done;
  std::mutex mutex;
  Index summed = 0;
  int parts = 0;
  bool in_order = true;
  bool after_rows = true;
};

}  // namespace

TEST_CASE("without a barrier, all steps are left for the product, in their order") {
  B backend;
  Notes notes;
  Plan<B> plan;
  plan.rowwise({}, notes.step('a'));
  plan.sum({}, notes.step('s'));
  plan.rowwise({}, notes.step('b'));
  plan.sum({}, notes.step('t'));
  const RowWork<B> work = plan.begin(backend, 9);
  CHECK(notes.text.empty());
  work.rows(backend, 0, 4);
  work.sums(backend, 0, 4);
  work.rows(backend, 4, 5);
  work.sums(backend, 4, 5);
  CHECK(notes.text == "a[0, 4) b[0, 4) s[0, 4) t[0, 4) a[4, 9) b[4, 9) s[4, 9) t[4, 9) ");
}

TEST_CASE("a barrier comes after all rows of the steps before it, and before those after it") {
  B backend;
  Notes notes;
  Plan<B> plan;
  plan.rowwise({}, notes.step('a'));
  plan.sum({}, notes.step('s'));
  plan.batch(notes.barrier('x'));
  plan.batch(notes.barrier('y'));
  plan.rowwise({}, notes.step('b'));
  plan.batch(notes.barrier('z'));
  plan.sum({}, notes.step('t'));
  const RowWork<B> work = plan.begin(backend, 5);
  CHECK(notes.text == "a[0, 5) s[0, 5) x y b[0, 5) z ");
  notes.text.clear();
  CHECK_FALSE(static_cast<bool>(work.rows));
  work.sums(backend, 0, 5);
  CHECK(notes.text == "t[0, 5) ");
}

TEST_CASE("a plan without steps, or one that ends in a barrier, leaves no work") {
  B backend;
  Notes notes;
  Plan<B> plan;
  const RowWork<B> nothing = plan.begin(backend, 5);
  CHECK_FALSE(static_cast<bool>(nothing.rows));
  CHECK_FALSE(static_cast<bool>(nothing.sums));
  plan.rowwise({}, notes.step('a'));
  plan.batch(notes.barrier('x'));
  const RowWork<B> none = plan.begin(backend, 5);
  CHECK_FALSE(static_cast<bool>(none.rows));
  CHECK_FALSE(static_cast<bool>(none.sums));
  CHECK(notes.text == "a[0, 5) x ");
}

TEST_CASE("a sum is made from the first row on, of rows that are done, by one thread at a time") {
  const Index rows = 700;
  for (const int threads : {1, 3}) {
    CAPTURE(threads);
    B backend(threads);
    const Buffer<B> weight(backend, 96, 64);
    const Buffer<B> x(backend, rows, 64);
    const Buffer<B> y(backend, rows, 96);

    Progress before(rows);  // by themselves, before a barrier
    Progress beside(rows);  // interleaved with a product
    Plan<B> plan;
    before.add_to(plan, x.view());
    plan.batch([] {});
    beside.add_to(plan, x.view());
    const RowWork<B> work = plan.begin(backend, rows);
    before.check(rows);
    CHECK(beside.parts == 0);
    const auto frozen = backend.freeze(weight.view(), Storage::full);
    fused::frozen_forward(backend, Rows(x.view()), frozen, y.view(), {}, work);
    beside.check(rows);
    if (threads == 1) CHECK(beside.parts > 1);
  }
}

TEST_CASE("the work names the large matrices that its steps read, each once") {
  B backend;
  Notes notes;
  std::array<float, 12> memory{};
  const Rows x(memory.data(), 2, 3);
  const Rows y(memory.data() + 6, 2, 3);
  const auto reads_of = [&](std::vector<Rows> reads) {
    Plan<B> plan;
    for (const Rows& r : reads) plan.rowwise(r, notes.step('a'));
    std::vector<const float*> found;
    for (const Rows& r : plan.begin(backend, 2).reads) found.push_back(r.data);
    return found;
  };
  using Found = std::vector<const float*>;
  CHECK(reads_of({{}, {}}) == Found{nullptr, nullptr});
  CHECK(reads_of({{}, x, x}) == Found{x.data, nullptr});
  CHECK(reads_of({y, {}, x, y}) == Found{y.data, x.data});

  Plan<B> plan;
  plan.sum(x, notes.step('s'));
  plan.batch(notes.barrier('b'));
  plan.sum(y, notes.step('s'));
  const RowWork<B> work = plan.begin(backend, 2);
  CHECK(work.reads[0].data == y.data);  // x was read before the barrier
  CHECK(work.reads[0].rows == 2);
  CHECK(work.reads[0].cols == 3);
  CHECK(work.reads[1].empty());
}

TEST_CASE("a step too many is an error") {
  B backend;
  Notes notes;
  Plan<B> plan;
  for (int i = 0; i < 10; ++i) plan.rowwise({}, notes.step('a'));
  CHECK_THROWS_WITH_AS(plan.rowwise({}, notes.step('b')),
                       "a plan of 10 steps has no room for another", Error);
  CHECK_THROWS_AS(plan.batch(notes.barrier('b')), Error);
  plan.begin(backend, 1).rows(backend, 0, 1);
  CHECK(notes.text.find('b') == std::string::npos);
}
