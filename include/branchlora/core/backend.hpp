/// @file
/// What a backend must offer. Everything above this floor is written once against the concept;
/// `backends/eigen` is its reference model.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "branchlora/core/chosen.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/sequences.hpp"

namespace branchlora {

/// Whether a product reads an operand as it stands or transposed.
enum class Op : std::uint8_t { none, transpose };

/// How a frozen weight is held: as it came, or rounded to bfloat16 (float accumulation).
enum class Storage : std::uint8_t { full, bfloat16 };

/// The shape of an attention layer. `heads` query heads share `kv_heads` key and value heads
/// (equal unless attention is grouped); each is `head_size` wide.
struct AttentionShape {
  Index heads = 1;
  Index kv_heads = 1;
  Index head_size = 1;
  bool causal = true;
};

/// Where the keys of one decoding query lie: rows `first .. first + count` of the cache.
struct KeyRange {
  Index first = 0;
  Index count = 0;
};

/// Bodies of every kind that a backend must take. Named, since nvcc refuses lambdas in a concept.
namespace archetype {

struct Part {
  Index size = 0;
};
struct Element {
  void operator()(Index) const {}
  void operator()(const Part&, Index) const {}
};
struct Row {
  template <class Team>
  void operator()(const Team&, Index) const {}
};
template <class Value>
struct Term {
  Value operator()(Index) const { return {}; }
  Value operator()(Index, Index) const { return {}; }
  Value operator()(const Part&, Index) const { return {}; }
};

}  // namespace archetype

/// A set of primitives on matrices of one scalar type. All of them are ordered on one stream and
/// give results that do not depend on the number of threads. Bodies are marked `BRANCHLORA_BODY`,
/// capture by value, and read backend memory only.
///
/// - `allocate`, `release`: 64-byte aligned memory of the backend.
/// - `upload`, `download`: host to backend memory and back, in bytes.
/// - `fill`, `copy`: of matrices.
/// - `gemm`: c = alpha op(a) op(b) + beta c.
/// - `for_each(n, body)`: body(i) for each element; bodies run in any order.
/// - `for_rows(n, body)`: body(team, i) for each row; `team.loop(n, f)`, `team.sum(n, f)` and
///   `team.max(n, f)` go over the row's elements together. A team may be many threads, which all
///   run what stands between these calls: it may set a scalar, but not add to one.
/// - `reduce_columns(rows, cols, f, out, add)`: out[c] (+)= sum over r of f(r, c).
/// - `scatter_add_rows(from, to, scale, target)`: to[target(i)] += scale * from[i] where target(i)
///   is not negative; rows that meet in one target are added in order.
/// - `sum(n, f)`: the sum of f(i), on the host.
/// - `for_each(parts, body)`, `sum(parts, f)`: as above for body(part, i) and f(part, i), with i
///   below the `size` of each part of a list: many small arrays in one call. Parts are trivial
///   structs.
/// - `skinny_dot`, `skinny_axpy`, `skinny_outer`: the three products of a low-rank adapter, whose
///   weight has few rows: u = s x w^T, y = s u w, g = s u^T x, with optional selection of row
///   blocks for each token.
/// - `freeze`, `frozen_forward`, `frozen_backward`: a weight that never changes, laid out as
///   suits the backend: y = x w^T and dx = dy w.
/// - `attention_*`: softmax attention within spans (see `Span`), and of one query over a cache.
///
/// What a backend may have beside these is in `core/fused.hpp`.
template <class B>
concept Backend = requires(B& b, MatrixView<typename B::Scalar> m,
                           MatrixView<const typename B::Scalar> c, typename B::Scalar s,
                           void* memory, std::size_t bytes, Index n, const Sequences& sequences,
                           const AttentionShape& shape, const KeyRange* ranges, Chosen chosen,
                           typename B::FrozenWeight& frozen, typename B::Scalar* out,
                           std::span<const archetype::Part> parts) {
  requires std::floating_point<typename B::Scalar>;
  { b.allocate(bytes) } -> std::same_as<void*>;
  b.release(memory);
  b.upload(memory, static_cast<const void*>(memory), bytes);
  b.download(memory, static_cast<const void*>(memory), bytes);
  b.fill(m, s);
  b.copy(c, m);
  b.gemm(Op::none, Op::transpose, s, c, c, s, m);
  b.for_each(n, archetype::Element{});
  b.for_rows(n, archetype::Row{});
  b.reduce_columns(n, n, archetype::Term<typename B::Scalar>{}, out, true);
  b.scatter_add_rows(c, m, s, archetype::Term<Index>{});
  { b.sum(n, archetype::Term<double>{}) } -> std::same_as<double>;
  b.for_each(parts, archetype::Element{});
  { b.sum(parts, archetype::Term<double>{}) } -> std::same_as<double>;
  b.skinny_dot(c, c, s, m, false, chosen);
  b.skinny_axpy(c, c, s, m, false, chosen);
  b.skinny_outer(c, c, s, m, false, chosen);
  frozen = b.freeze(c, Storage::full);
  { b.reads_weight(frozen) } -> std::same_as<bool>;
  b.frozen_forward(c, frozen, m);
  b.frozen_backward(c, frozen, m, false);
  { b.attention_saved(sequences, shape) } -> std::same_as<Index>;
  b.attention_forward(sequences, shape, c, c, c, m, out);
  b.attention_backward(sequences, shape, c, c, c, out, c, m, m, m);
  b.attention_cached(ranges, shape, c, c, c, m);
};

}  // namespace branchlora
