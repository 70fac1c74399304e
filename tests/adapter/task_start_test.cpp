// What begins and stops with a task: a trunk that freezes, a branch that starts at another's
// values.
#include <doctest/doctest.h>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/layer.hpp"
#include "support/adapter_bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using BankOfFrozenTrunk = LoraBank<2, 6, trunk::FrozenAfter<2>>;
using BranchOfFrozenTrunk = Branch::with<trunk::FrozenAfter<2>>;
using MoeOfFrozenTrunk = Moe::with<trunk::FrozenAfter<2>>;
using NearestBank = Bank6::with<branch_start::Nearest>;
using LatestBank = BankShared::with<branch_start::Latest>;

template <class V>
bool trains(AdapterBench<V>& bench, const std::string& name) {
  return bench.parameters.find("layer." + name)->trainable;
}

}  // namespace

TYPE_TO_STRING(BankOfFrozenTrunk);
TYPE_TO_STRING(BranchOfFrozenTrunk);
TYPE_TO_STRING(MoeOfFrozenTrunk);

TEST_CASE_TEMPLATE("a trunk trains in the first tasks, and its bits are kept after them", V,
                   BankOfFrozenTrunk, BranchOfFrozenTrunk, MoeOfFrozenTrunk) {
  AdapterBench<V> bench;
  std::vector<std::vector<std::uint64_t>> states;
  for (Index task = 0; task < 4; ++task) {
    CAPTURE(task);
    bench.begin_task(task);
    CHECK(trains(bench, "lora_A") == (task < 2));
    for (auto& t : bench.tasks) t = V::per_task_router ? static_cast<std::int32_t>(task) : 0;
    Tape<Double> tape(bench.backend);
    bench.parameters.clear_gradients();
    const auto y = bench.forward(tape);
    tape.backward(weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 7)));
    // A router whose rows lie below A opens the gradient of both, but A does not train.
    const auto& a = *bench.parameters.find("layer.lora_A");
    CHECK((a.has_grad && a.trainable) == (task < 2));
    bench.adapter().end_task();
    states.push_back(bench.adapter().state());
  }
  // A layer that is restored between tasks goes on as this one did.
  for (const Index ended : {1, 2}) {
    CAPTURE(ended);
    AdapterBench<V> restored;
    restored.adapter().restore(states[static_cast<std::size_t>(ended) - 1]);
    CHECK(restored.adapter().state() == states[static_cast<std::size_t>(ended) - 1]);
    restored.begin_task(ended);
    CHECK(trains(restored, "lora_A") == (ended < 2));
  }
}

TEST_CASE("a branch starts at the values of an earlier task, which keeps its own") {
  AdapterBench<NearestBank> bench;
  for (Index task = 0; task < 2; ++task) {
    bench.begin_task(task);
    assign(bench.parameters.find(numbered("layer.lora_A", task))->value,
           random_dense(2, 10, 20 + static_cast<std::uint64_t>(task)));
    assign(bench.parameters.find(numbered("layer.lora_B", task))->value,
           random_dense(2, 7, 30 + static_cast<std::uint64_t>(task)));
    bench.adapter().end_task();
  }
  bench.begin_task(2);
  CHECK(largest(bench.branch("lora_B", 2)) == 0);
  for (const Index earlier : {1, 0}) {
    bench.adapter().start_branch_at(earlier);
    CHECK(bench.branch("lora_A", 2) == bench.branch("lora_A", earlier));
    CHECK(bench.branch("lora_B", 2) == bench.branch("lora_B", earlier));
  }
  CHECK_FALSE(bench.branch("lora_A", 0) == bench.branch("lora_A", 1));
  CHECK(trains(bench, "lora_B.2"));
  CHECK_FALSE(trains(bench, "lora_B.0"));
  // What the new branch adds is what the earlier one does.
  bench.tasks.assign(bench.tasks.size(), 0);
  const Dense first = bench.output();
  bench.tasks.assign(bench.tasks.size(), 2);
  CHECK(bench.output() == first);
  check_mentions(error_of([&] { bench.adapter().start_branch_at(2); }), "layer", "task 2", "2");
  check_mentions(error_of([&] { bench.adapter().start_branch_at(-1); }), "layer", "task 2", "-1");
}

TEST_CASE("where branches share a trunk, B alone starts so") {
  AdapterBench<LatestBank> bench;
  bench.begin_task(0);
  assign(bench.parameters.find("layer.lora_B.0")->value, random_dense(2, 7, 30));
  bench.adapter().end_task();
  const Dense trunk = bench.value("layer.lora_A");
  bench.begin_task(1);
  bench.adapter().start_branch_at(0);
  CHECK(bench.branch("lora_B", 1) == bench.branch("lora_B", 0));
  CHECK(bench.value("layer.lora_A") == trunk);
}

TEST_CASE("the policies say what they are") {
  CHECK(NearestBank::describe().find("branch_start::Nearest") != std::string::npos);
  CHECK(BankOfFrozenTrunk::describe().find("trunk::FrozenAfter<2>") != std::string::npos);
  CHECK(Bank6::describe().find("branch_start") == std::string::npos);
  static_assert(NearestBank::parameters(10, 7) == Bank6::parameters(10, 7));
  static_assert(BankOfFrozenTrunk::parameters(10, 7) == BankShared::parameters(10, 7));
}
