// Gates that mix the branches of tasks as a selector weighs them. That of one task is in
// contract_test.
#include "branchlora/adapter/gate/weighed_branches_gate.hpp"

#include <doctest/doctest.h>

#include "../../io/temporary_folder.hpp"
#include "support/adapter_bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using BankSoftShared = BankShared::with<TopK<6>, selector::Uniform>;
using BankSoftSparseShared = BankShared::with<TopK<2>, selector::SoftmaxKeys<>>;

/// A bank of three tasks that have been learned, and three sequences.
template <class V>
class Bank : public AdapterBench<V> {
 public:
  Bank() {
    for (Index task = 0; task < 3; ++task) this->begin_task(task);
    this->randomise();
  }

  Dense output(const RoutingContext& routing) {
    Tape<Double> tape(this->backend);
    tape.set_recording(false);
    return to_dense(this->linear(tape, tape.parameter(*this->x), routing).value());
  }
  /// Where each sequence is of `task`.
  Dense of_task(std::int32_t task) {
    const std::vector<std::int32_t> same(3, task);
    return output({.sequences = &this->sequences, .tasks = same});
  }
  RoutingContext mixed(const std::vector<double>& weights) {
    RoutingContext routing = this->routing();
    routing.task_weights = weights;
    return routing;
  }
};

/// Of each sequence, what three tasks weigh; some less than the rounding of others.
const std::vector<double> weights{0.5, 0.2, 0.3, 0, 1, 0, 1e-17, 0.25, 0.75};

/// The weights of which two are left.
const std::vector<double> best_two{0.625, 0, 0.375, 0, 1, 0, 0, 0.25, 0.75};

}  // namespace

TYPE_TO_STRING(BankSoftShared);
TYPE_TO_STRING(BankSoftSparseShared);

TEST_CASE_TEMPLATE("the output is the mean of the tasks', as they weigh", V, BankSoft,
                   BankSoftShared, BankSoftSparse, BankSoftSparseShared) {
  Bank<V> bank;
  const std::vector<Dense> each{bank.of_task(0), bank.of_task(1), bank.of_task(2)};
  const std::vector<double>& w = V::dense ? weights : best_two;
  const Dense expected = dense(8, 7, [&](Index t, Index c) {
    double sum = 0;
    for (Index task = 0; task < 3; ++task) {
      const auto weight = w[static_cast<std::size_t>(3 * bank.sequence_of(t) + task)];
      sum += weight * each[static_cast<std::size_t>(task)](t, c);
    }
    return sum;
  });
  CHECK(distance(each[0], each[1]) > 0.1);
  CHECK(distance(bank.output(bank.mixed(weights)), expected) < 1e-13 * largest(expected));

  // All weight on one task is that task.
  const std::vector<double> second{0, 1, 0, 1, 0, 0, 0, 0, 1};
  bank.tasks = {1, 0, 2};
  CHECK(bank.output(bank.mixed(second)) == bank.output(bank.routing()));
}

TEST_CASE_TEMPLATE("gradients go to each branch as it weighs", V, BankSoft, BankSoftSparse,
                   BankSoftSparseShared) {
  Bank<V> bank;
  for (auto& p : bank.parameters) {
    if (bank.is_adapter(p.name)) bank.parameters.set_trainable(p, true);
  }
  const Dense direction = random_dense(8, 7, 60);
  check_gradients(
      bank.parameters,
      [&](Tape<Double>& tape) {
        return weighted_sum(tape, bank.linear(tape, tape.parameter(*bank.x), bank.mixed(weights)),
                            direction);
      },
      [] { return 0.0; });
}

TEST_CASE("of tasks that weigh the same, the earlier are chosen") {
  Bank<BankSoftSparse> bank;
  const std::vector<double> equal(9, 1.0 / 3);
  const std::vector<double> first_two{0.5, 0.5, 0, 0.5, 0.5, 0, 0.5, 0.5, 0};
  CHECK(distance(bank.output(bank.mixed(equal)), bank.output(bank.mixed(first_two))) < 1e-15);
}

TEST_CASE("weights that are no row of tasks for each sequence are refused") {
  Bank<BankSoft> bank;
  const auto refused = [&](std::size_t numbers) {
    const std::vector<double> w(numbers, 0.25);
    return error_of([&] { bank.output(bank.mixed(w)); });
  };
  check_mentions(refused(12), "layer", "at most 3 tasks", "3 sequences", "found 12 numbers");
  check_mentions(refused(8), "layer", "found 8 numbers");
  AdapterBench<Bank6> hard;
  hard.begin_task(0);
  RoutingContext routing = hard.routing();
  const std::vector<double> w(3, 1.0);
  routing.task_weights = w;
  Tape<Double> tape(hard.backend);
  check_mentions(error_of([&] { hard.linear(tape, tape.parameter(*hard.x), routing); }), "layer",
                 "one task of each sequence");
}
