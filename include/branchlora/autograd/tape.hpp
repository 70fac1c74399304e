/// @file
/// The tape: operations run as they are called and are remembered for the backward pass.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "branchlora/autograd/arena.hpp"
#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/backend.hpp"

namespace branchlora {

/// A matrix on the tape: its value and, where it depends on something trained, its gradient.
template <class T>
struct Node {
  MatrixView<T> value;
  MatrixView<T> grad;
  bool needs_grad = false;
  bool has_grad = false;
  Parameter<T>* parameter = nullptr;
};

/// A handle of a node. Copies refer to the same node; valid until the tape is reset.
template <class T>
class Var {
 public:
  Var() = default;
  explicit Var(Node<T>* node) : node_(node) {}

  const MatrixView<T>& value() const { return node_->value; }
  Index rows() const { return node_->value.rows; }
  Index cols() const { return node_->value.cols; }
  bool needs_grad() const { return node_->needs_grad; }
  /// The gradient that the operations after this node have left here.
  MatrixView<const T> grad() const { return node_->grad; }
  /// Whether any operation has written the gradient in this backward pass.
  bool has_grad() const { return node_->has_grad; }
  Node<T>* node() const { return node_; }

 private:
  Node<T>* node_ = nullptr;
};

/// Records operations and plays their gradients back.
///
/// An operation is a trivially destructible struct with `void backward(Tape&)`; the function that
/// creates it computes its value and calls `record` or `finish`. Nodes, operations and values live
/// in two arenas that `reset` takes back, so a steady-state step allocates nothing.
template <Backend B>
class Tape {
 public:
  using T = typename B::Scalar;

  explicit Tape(B& backend) : backend_(&backend), values_(backend), host_(memory_) {}

  B& backend() const { return *backend_; }

  /// A node for a matrix that needs no gradient. The memory stays the caller's.
  Var<T> constant(MatrixView<T> value) { return node(value, false); }

  /// A node for a parameter; its gradient goes to the parameter itself.
  Var<T> parameter(Parameter<T>& p) {
    Var<T> v = node(p.value, recording_ && p.trainable);
    v.node()->parameter = &p;
    return v;
  }

  /// An uninitialised result of an operation on inputs of which any may need a gradient.
  template <class... Inputs>
  Var<T> result(Index rows, Index cols, const Inputs&... inputs) {
    return node(scratch(rows, cols), (inputs.needs_grad() || ...));
  }

  /// A result that lies in memory which an input or the operation itself already has.
  template <class... Inputs>
  Var<T> view(MatrixView<T> value, const Inputs&... inputs) {
    return node(value, (inputs.needs_grad() || ...));
  }

  /// Uninitialised backend memory for `rows x cols` scalars, valid until `reset`.
  MatrixView<T> scratch(Index rows, Index cols) { return {array<T>(rows * cols), rows, cols}; }

  /// Uninitialised backend memory for `n` trivial elements, valid until `reset`.
  template <class U>
  U* array(Index n) {
    static_assert(std::is_trivially_copyable_v<U>);
    return static_cast<U*>(values_.allocate(static_cast<std::size_t>(n) * sizeof(U)));
  }

  /// A copy of host data in backend memory, valid until `reset`.
  template <class U>
  U* upload(std::span<const U> data) {
    U* p = array<U>(static_cast<Index>(data.size()));
    if (!data.empty()) backend_->upload(p, data.data(), data.size_bytes());
    return p;
  }

  /// A copy of a host object that stays in host memory until `reset`.
  template <class U>
  U* keep(const U& object) {
    static_assert(std::is_trivially_destructible_v<U>,
                  "what a tape keeps is dropped without a destructor, so it must need none");
    return new (host_.allocate(sizeof(U))) U(object);
  }

  /// Remembers the operation that made `y`, if y needs a gradient. `backward` plays it back if
  /// something after it left y one.
  template <class Operation>
  void record(Var<T> y, const Operation& operation) {
    if (!y.needs_grad()) return;
    last_ = keep(
        RecordedOperation{[](void* op, Tape& tape) { static_cast<Operation*>(op)->backward(tape); },
                          keep(operation), y.node(), last_});
  }

  /// Ends an operation whose result is in memory that an input or the operation has: makes its
  /// node, which needs a gradient if `trained`, as `operation.out`, and remembers the operation.
  template <class Operation>
  Var<T> finish(Operation& operation, MatrixView<T> value, bool trained) {
    operation.out = node(value, trained);
    record(operation.out, operation);
    return operation.out;
  }

  /// Where to write the gradient of `v`, which must need one.
  GradientSink<T> gradient(Var<T> v) {
    Node<T>& n = *v.node();
    if (n.parameter != nullptr) return n.parameter->sink();
    if (n.grad.data == nullptr) n.grad = scratch(n.value.rows, n.value.cols);
    return {n.grad, std::exchange(n.has_grad, true)};
  }

  /// Makes the gradient of `y` that of `x` as well, without a copy: for an operation that added to
  /// x in place and is x's only reader.
  void share_gradient(Var<T> y, Var<T> x) {
    if (!x.needs_grad()) return;
    x.node()->grad = y.node()->grad;
    x.node()->has_grad = true;
  }

  /// Plays back from `loss`, a 1 x 1 node whose gradient is set to `scale`.
  void backward(Var<T> loss, T scale = T(1)) {
    expect_shape(loss.value(), 1, 1, "the loss of a backward pass");
    if (!loss.needs_grad()) return;
    loss_scale_ = scale;
    backend_->fill(gradient(loss).view, scale);
    play_back();
  }

  /// Plays back from `y`, whose gradient is `grad`, as a part of the pass of `outer`.
  void backward(Var<T> y, MatrixView<T> grad, const Tape& outer) {
    loss_scale_ = outer.loss_scale_;
    y.node()->grad = grad;
    y.node()->has_grad = true;
    play_back();
  }

  /// A tape of its own for what lives within one operation, which resets it.
  Tape& nested() {
    if (!nested_) nested_ = std::make_unique<Tape>(*backend_);
    return *nested_;
  }

  /// The `scale` of the running backward pass, for operations that add a loss of their own.
  T loss_scale() const { return loss_scale_; }

  /// Whether operations are remembered. Off, nothing needs a gradient (inference).
  void set_recording(bool on) { recording_ = on; }
  bool recording() const { return recording_; }

  /// Drops every node and operation.
  void reset() {
    values_.reset();
    host_.reset();
    last_ = nullptr;
  }

  /// The most bytes of values and gradients that were in use so far, and those of the nested tape.
  std::size_t peak_bytes() const { return values_.peak() + (nested_ ? nested_->peak_bytes() : 0); }

 private:
  struct RecordedOperation {
    void (*backward)(void*, Tape&);
    void* operation;
    Node<T>* result;
    RecordedOperation* previous;
  };

  void play_back() {
    for (RecordedOperation* step = last_; step != nullptr; step = step->previous) {
      if (step->result->has_grad) step->backward(step->operation, *this);
    }
  }

  Var<T> node(MatrixView<T> value, bool needs_grad) {
    return Var<T>(keep(Node<T>{value, {}, needs_grad && recording_, false, nullptr}));
  }

  B* backend_;
  HostMemory memory_;
  Arena<B> values_;
  Arena<HostMemory> host_;
  RecordedOperation* last_ = nullptr;
  T loss_scale_ = T(1);
  bool recording_ = true;
  std::unique_ptr<Tape> nested_;
};

}  // namespace branchlora
