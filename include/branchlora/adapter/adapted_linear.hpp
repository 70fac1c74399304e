/// @file
/// A linear layer with an adapter beside it, or with none.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/adapter/start_sums.hpp"
#include "branchlora/nn/linear.hpp"

namespace branchlora {

/// A linear layer of a model: the base product, and the output of an adapter added to it in place.
template <Backend B>
class AdaptedLinear {
 public:
  using T = typename B::Scalar;

  AdaptedLinear(ParameterSet<B>& parameters, const std::string& name, Index in, Index out)
      : parameters_(&parameters), name_(name), base_(parameters, name, in, out, false) {}

  /// Adds an adapter; the layer is one of block `block` of `blocks`. Before that the layer is its
  /// base alone, whose weight must have its values.
  void attach(const Method<B>& method, const Hyper& hyper, const Random& random, Index block = 0,
              Index blocks = 1) {
    adapter_ =
        method.make(*parameters_, {name_, block, blocks}, base_.weight().value, hyper, random);
  }

  /// Adds an adapter that was made elsewhere.
  void attach(std::unique_ptr<AnyAdapter<B>> adapter) { adapter_ = std::move(adapter); }

  Var<T> operator()(Tape<B>& tape, Var<T> x, const RoutingContext& context) {
    if (!adapter_) return base_(tape, x);
    const auto* frozen = base_.frozen();
    const Var<T> y = frozen != nullptr ? adapter_->with_base(tape, x, *frozen, context)
                                       : (*adapter_)(tape, x, base_(tape, x), context);
    return sums_ ? (*sums_)(tape, x, y) : y;
  }

  /// Sums up, until `start`, what passes through the layer, if its adapter waits for a start that
  /// asks for it.
  void prepare_start() {
    if (!adapter_ || !adapter_->needs().any()) return;
    sums_ = std::make_unique<StartSums<B>>(parameters_->backend(), adapter_->needs(), base_.in(),
                                           base_.out());
  }

  /// Starts the branches of the adapter that wait for it, with what was summed up. Throws `Error`
  /// if something that they ask for is not there.
  void start() {
    if (!adapter_) return;
    const init::Needs needs = adapter_->needs();
    if (!needs.any()) return;
    init::Given given;
    given.layer = name_;
    if (needs.weight) {
      expect_present(base_.weight());
      given.weight = to_host_matrix<B>(parameters_->backend(), base_.weight().value);
    }
    if (needs.inputs || needs.gradient) {
      expect(sums_ != nullptr,
             "{}: its adapter starts from what passes through it: call "
             "`prepare_start` before a batch of the task",
             name_);
      sums_->give(given);
    }
    sums_.reset();
    adapter_->start(std::move(given));
  }

  const std::string& name() const { return name_; }
  nn::Linear<B>& base() { return base_; }
  /// The adapter, or null.
  AnyAdapter<B>* adapter() { return adapter_.get(); }

 private:
  ParameterSet<B>* parameters_;
  std::string name_;
  nn::Linear<B> base_;
  std::unique_ptr<AnyAdapter<B>> adapter_;
  std::unique_ptr<StartSums<B>> sums_;  ///< Between `prepare_start` and `start`.
};

}  // namespace branchlora
