/// @file
/// The base of adapters that know neither branches nor tasks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/any_adapter.hpp"

namespace branchlora {

/// An adapter of one branch, which trains in every task alike and has no state beside its
/// parameters. A layer derives from it and says what it adds to its linear, and how it merges if it
/// can.
template <Backend B>
class PlainAdapter : public AnyAdapter<B> {
 public:
  explicit PlainAdapter(std::string name) : name_(std::move(name)) {}

  void begin_task(Index /*task*/) override {}
  void end_task() override {}
  std::vector<std::uint64_t> state() const override { return {}; }
  void restore(std::span<const std::uint64_t> state) override {
    expect(state.empty(), "{}: the saved state has {} numbers, expected none", name_, state.size());
  }
  void merge_into(MatrixView<typename B::Scalar> /*weight*/) const override {
    fail("{}: only an adapter whose output is linear in the input can be merged", name_);
  }
  std::vector<double> activity() const override { return {0.0}; }
  BranchSet active() const override { return 1; }
  BranchSet frozen() const override { return 0; }
  const std::string& name() const override { return name_; }

 private:
  std::string name_;
};

}  // namespace branchlora
