#include "branchlora/generator/checkpoint_bank.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "generator/toy_bank.hpp"
#include "io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::generator;
using namespace branchlora::test;

TEST_CASE("every tensor of a checkpoint has mean 0 and deviation 1 in the bank") {
  const CheckpointBank bank = toy_bank();
  CHECK(bank.snapshots().size() == 2 * toy_snapshots);
  CHECK(bank.bytes() == 2 * toy_snapshots * 42 * 4);
  for (const auto& snapshot : bank.snapshots()) {
    for (const auto& e : bank.layout().entries()) {
      const auto z = Statistics::of(
          std::span<const float>(snapshot.values)
              .subspan(static_cast<std::size_t>(e.first), static_cast<std::size_t>(e.size)));
      // Each z-score is below 5 and rounded to float: off by 5 u = 3e-7 at most.
      CHECK(std::abs(z.mean) <= 3e-7);
      CHECK(std::abs(z.deviation - 1) <= 3e-7);
    }
  }
}

TEST_CASE("weights come back from the bank") {
  const CheckpointBank bank = toy_bank();
  const auto& snapshot = bank.reference(1);
  const Weights found = bank.weights(snapshot);
  const Weights expected = toy_weights(1, toy_snapshots - 1);
  REQUIRE(found.size() == 2);
  for (std::size_t t = 0; t < 2; ++t) {
    const NamedTensor& e = expected[1 - t];  // alphabetical here, not there
    CHECK(found[t].name == e.name);
    CHECK(found[t].shape == e.shape);
    for (std::size_t i = 0; i < e.values.size(); ++i) {
      // Two roundings: of z (|z| < 5, times the deviation) and of the result.
      const double u = std::numeric_limits<float>::epsilon() / 2.0;
      const double tolerance =
          u * (5 * snapshot.statistics[t].deviation + std::abs(double{e.values[i]})) * 1.01;
      CHECK(std::abs(double{found[t].values[i]} - double{e.values[i]}) <= tolerance);
    }
  }
}

TEST_CASE("the newest checkpoint of a task is its reference") {
  CheckpointBank bank;
  bank.add(4, {{"a", {1, 2}, {1, 3}}});
  bank.add(0, {{"a", {1, 2}, {9, 9}}});
  bank.add(4, {{"a", {1, 2}, {5, 9}}});
  CHECK(bank.reference(4).statistics == std::vector<Statistics>{{7, 2}});
  CHECK(bank.reference(4).values == std::vector<float>{-1, 1});
  // Constant: nothing but zeros, and its mean brings it back.
  CHECK(bank.reference(0).values == std::vector<float>{0, 0});
  CHECK(bank.weights(bank.reference(0))[0].values == std::vector<float>{9, 9});
  check_mentions(error_of([&] { bank.reference(1); }), "task 1", "none");
}

TEST_CASE("checkpoints in files are those in memory") {
  const TemporaryFolder folder;
  const CheckpointBank expected = toy_bank();
  CheckpointBank bank;
  for (const auto& snapshot : expected.snapshots()) {
    const Index k = std::ssize(bank.snapshots()) % toy_snapshots;
    std::vector<io::TensorOut> tensors;
    const Weights weights = toy_weights(snapshot.task, k);
    for (const NamedTensor& t : weights) {
      tensors.push_back(io::tensor_out(t.name, t.shape, std::span<const float>(t.values)));
    }
    const std::vector<float> other{1, 2};
    tensors.push_back(io::tensor_out("projector.bias", {2}, std::span<const float>(other)));
    const auto path = folder.path() / "adapter.safetensors";
    io::write_safetensors(path, tensors);
    bank.add(snapshot.task, path, [](const std::string& name) { return name.starts_with("q."); });
  }
  CHECK(bank.layout() == expected.layout());
  for (std::size_t i = 0; i < bank.snapshots().size(); ++i) {
    CHECK(bank.snapshots()[i].values == expected.snapshots()[i].values);
    CHECK(bank.snapshots()[i].statistics == expected.snapshots()[i].statistics);
  }
}

TEST_CASE("the bank refuses what it can not use") {
  CheckpointBank bank;
  bank.add(0, {{"a", {1, 2}, {1, 3}}});
  check_mentions(error_of([&] { bank.add(-1, {{"a", {1, 2}, {1, 3}}}); }), "task", "-1");
  check_mentions(error_of([&] {
                   bank.add(0, {{"a", {2, 1}, {1, 3}}});
                 }),
                 "'a'", "[1, 2]", "[2, 1]");
  check_mentions(error_of([&] { bank.add(0, {{"b", {1, 2}, {1, 3}}}); }), "'a'", "'b'");
  check_mentions(error_of([&] {
                   bank.add(0, {{"a", {1, 2}, {1, 3}}, {"b", {1, 1}, {1}}});
                 }),
                 "1 tensors", "found 2");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  check_mentions(error_of([&] { bank.add(0, {{"a", {1, 2}, {1, nan}}}); }), "'a'", "finite");
  CHECK(bank.snapshots().size() == 1);

  const TemporaryFolder folder;
  const auto path = folder.path() / "other.safetensors";
  const std::vector<float> values{1, 2};
  io::write_safetensors(path, {io::tensor_out("c", {1, 2}, std::span<const float>(values))});
  const auto all = [](const std::string&) { return true; };
  const auto none = [](const std::string&) { return false; };
  check_mentions(error_of([&] { bank.add(0, path, all); }), "other.safetensors", "'a'", "'c'");
  check_mentions(error_of([&] { bank.add(0, path, none); }), "other.safetensors", "none");
}

TEST_CASE("a bank that refused its first checkpoint takes another") {
  CheckpointBank bank;
  const float infinite = std::numeric_limits<float>::infinity();
  check_mentions(error_of([&] { bank.add(0, {{"a", {1, 2}, {1, infinite}}}); }), "finite");
  bank.add(0, {{"b", {1, 3}, {1, 2, 3}}});
  CHECK(bank.layout().size() == 3);
}
