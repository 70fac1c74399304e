#include "branchlora/autograd/tape.hpp"

#include <doctest/doctest.h>

#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

struct Fixture {
  Double backend;
  ParameterSet<Double> parameters{backend};
  Parameter<double>& p = parameters.add("p", 1, 1);
  Tape<Double> tape{backend};

  Fixture() {
    parameters.set_trainable(p, true);
    p.value(0, 0) = 3;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a result that nothing uses has no part in the backward pass") {
  const auto x = tape.parameter(p);
  op::gelu(tape, op::add(tape, x, x));
  const auto loss = op::add(tape, x, x, -0.25);
  op::gelu(tape, loss);
  tape.backward(loss);
  CHECK(p.grad(0, 0) == 0.75);
}

TEST_CASE_FIXTURE(Fixture, "gradients of several passes add up until they are cleared") {
  for (const double expected : {2.0, 3.0}) {
    tape.reset();
    const auto x = tape.parameter(p);
    tape.backward(op::add(tape, x, x), expected == 2.0 ? 1.0 : 0.5);
    CHECK(p.grad(0, 0) == expected);
  }
  parameters.clear_gradients();
  tape.reset();
  const auto x = tape.parameter(p);
  tape.backward(op::add(tape, x, x));
  CHECK(p.grad(0, 0) == 2);
}

TEST_CASE_FIXTURE(Fixture, "nothing is recorded without recording, or without need") {
  tape.set_recording(false);
  const auto x = tape.parameter(p);
  CHECK_FALSE(op::add(tape, x, x).needs_grad());
  tape.set_recording(true);
  CHECK(op::add(tape, tape.parameter(p), x).needs_grad());
  parameters.set_trainable(p, false);
  const auto y = op::add(tape, tape.parameter(p), x);
  CHECK_FALSE(y.needs_grad());
  tape.backward(y);
  CHECK_FALSE(p.has_grad);
}

TEST_CASE_FIXTURE(Fixture, "the backward pass starts from a scalar") {
  CHECK_THROWS_WITH_AS(tape.backward(tape.constant(tape.scratch(2, 1))),
                       "the loss of a backward pass: expected shape 1 x 1, found 2 x 1", Error);
}

TEST_CASE_FIXTURE(Fixture, "equal steps after the first use the same memory") {
  std::size_t peak = 0;
  for (int step = 0; step < 5; ++step) {
    tape.reset();
    const auto first = tape.scratch(1000, 1000);
    const auto second = tape.scratch(500, 700);
    CHECK(reinterpret_cast<std::uintptr_t>(first.data) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(second.data) % 64 == 0);
    if (step == 0) peak = tape.peak_bytes();
    CHECK(tape.peak_bytes() == peak);
  }
  CHECK(peak == 8 * (1000 * 1000 + 500 * 700));
}

namespace {

// Counts what an arena asks for.
struct CountingMemory {
  int allocations = 0;
  int live = 0;
  void* allocate(std::size_t bytes) {
    ++allocations;
    ++live;
    return HostMemory::allocate(bytes);
  }
  void release(void* pointer) {
    --live;
    HostMemory::release(pointer);
  }
};

}  // namespace

TEST_CASE("an arena merges its chunks and then allocates no more") {
  CountingMemory memory;
  {
    Arena<CountingMemory> arena(memory, 256);
    const auto step = [&] {
      for (const std::size_t bytes : {100U, 1000U, 3U, 5000U, 1U}) {
        auto* p = static_cast<unsigned char*>(arena.allocate(bytes));
        std::fill_n(p, bytes, static_cast<unsigned char>(7));
      }
    };
    step();
    CHECK(memory.live > 1);
    arena.reset();
    CHECK(memory.live == 1);
    const int merged = memory.allocations;
    for (int i = 0; i < 3; ++i) {
      step();
      arena.reset();
    }
    CHECK(memory.allocations == merged);
  }
  CHECK(memory.live == 0);
}
