/// @file
/// Softmax attention (Vaswani et al., arXiv 1706.03762) within the spans of a batch.
#pragma once

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// The attention of one layer. `sequences` must outlive the step.
template <Backend B>
struct Attention {
  using T = typename B::Scalar;
  const Sequences* sequences;
  AttentionShape shape;
  Var<T> q, k, v, y;
  T* saved;

  void backward(Tape<B>& tape) const {
    auto& backend = tape.backend();
    const auto sink = [&](Var<T> x) {
      if (!x.needs_grad()) return fresh(tape, x);
      const auto [view, add] = tape.gradient(x);
      if (!add) backend.fill(view, T(0));
      return view;
    };
    backend.attention_backward(*sequences, shape, q.value(), k.value(), v.value(), saved, y.grad(),
                               sink(q), sink(k), sink(v));
  }

 private:
  static MatrixView<T> fresh(Tape<B>& tape, Var<T> x) {
    const auto view = tape.scratch(x.rows(), x.cols());
    tape.backend().fill(view, T(0));
    return view;
  }

 public:
  Attention(const Sequences* sequences_, AttentionShape shape_, Var<T> q_, Var<T> k_, Var<T> v_,
            Var<T> y_, T* saved_)
      : sequences(sequences_), shape(shape_), q(q_), k(k_), v(v_), y(y_), saved(saved_) {}
};

/// softmax(q k^T / sqrt(head size)) v for every head; q tokens x (heads * head_size), k and v
/// tokens x (kv_heads * head_size).
template <Backend B>
Var<typename B::Scalar> attention(Tape<B>& tape, const Sequences& sequences,
                                  const AttentionShape& shape, Var<typename B::Scalar> q,
                                  Var<typename B::Scalar> k, Var<typename B::Scalar> v) {
  expect(shape.kv_heads >= 1 && shape.heads % shape.kv_heads == 0,
         "attention: {} heads can not share {} key-value heads", shape.heads, shape.kv_heads);
  expect_shape(q.value(), sequences.tokens(), shape.heads * shape.head_size, "attention's queries");
  expect_shape(k.value(), sequences.tokens(), shape.kv_heads * shape.head_size, "attention's keys");
  expect_shape(v.value(), sequences.tokens(), shape.kv_heads * shape.head_size,
               "attention's values");
  auto y = tape.result(q.rows(), q.cols(), q, k, v);
  auto* saved =
      tape.template array<typename B::Scalar>(tape.backend().attention_saved(sequences, shape));
  tape.backend().attention_forward(sequences, shape, q.value(), k.value(), v.value(), y.value(),
                                   saved);
  tape.record(y, Attention<B>(&sequences, shape, q, k, v, y, saved));
  return y;
}

}  // namespace branchlora::op
