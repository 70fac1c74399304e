/// @file
/// Softmax attention within spans, on the CPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "branchlora/core/backend.hpp"
#include "branchlora/eigen/parallel.hpp"
#include "branchlora/eigen/product.hpp"
#include "branchlora/eigen/team.hpp"

namespace branchlora::eigen {

namespace detail {

/// Scalars that a span needs to keep its attention weights: one n x (prefix + n) matrix a head.
inline Index saved_size(const Span& span, const AttentionShape& shape) {
  return shape.heads * span.count * (span.prefix_count + span.count);
}

/// Softmax over the first `visible` entries of a row; zero after them.
template <class T>
void softmax_prefix(T* row, Index visible, Index cols) {
  const Team<T> team;
  const T highest = team.max(visible, [=](Index j) { return row[j]; });
  team.loop(visible, [=](Index j) { row[j] = math::exp(row[j] - highest); });
  const T inverse = T(1) / team.sum(visible, [=](Index j) { return row[j]; });
  team.loop(visible, [=](Index j) { row[j] *= inverse; });
  std::fill(row + visible, row + cols, T(0));
}

/// Calls `body(span, saved, head)` for each span and head. Spans of one sequence and heads of one
/// key-value group run in order on one thread, since they add to the same gradients.
template <class T, class Body>
void for_spans(const Sequences& sequences, const AttentionShape& shape, T* saved, int threads,
               Body body) {
  struct Item {
    const Span* span;
    T* saved;
  };
  thread_local std::vector<Item> item_memory;  // kept, so that a steady state allocates nothing
  thread_local std::vector<std::size_t> start_memory;
  auto& items = item_memory;
  auto& starts = start_memory;
  items.clear();
  starts.assign(1, 0);
  for (const Span& span : sequences.spans) {
    while (span.first >= sequences.offsets[starts.size()]) starts.push_back(items.size());
    items.push_back({&span, saved});
    saved += saved_size(span, shape);
  }
  while (std::ssize(starts) <= sequences.count()) starts.push_back(items.size());
  const Index group_heads = shape.heads / shape.kv_heads;
  parallel_blocks(sequences.count() * shape.kv_heads, {1, 1}, threads,
                  [&](Index first, Index last) {
                    for (Index task = first; task < last; ++task) {
                      const Index kv = task % shape.kv_heads;
                      const auto sequence = static_cast<std::size_t>(task / shape.kv_heads);
                      for (std::size_t i = starts[sequence]; i < starts[sequence + 1]; ++i) {
                        const Span& span = *items[i].span;
                        const Index size = span.count * (span.prefix_count + span.count);
                        for (Index h = kv * group_heads; h < (kv + 1) * group_heads; ++h) {
                          body(span, items[i].saved + h * size, h);
                        }
                      }
                    }
                  });
}

}  // namespace detail

/// out = softmax(q k^T / sqrt(head size)) v for each head, where a token sees its span (up to
/// itself if causal) and the span's prefix. q and out are tokens x (heads * head_size), k and v
/// tokens x (kv_heads * head_size). `saved` receives the attention weights.
template <class T>
void attention_forward(const Sequences& sequences, const AttentionShape& shape,
                       MatrixView<const T> q, MatrixView<const T> k, MatrixView<const T> v,
                       MatrixView<T> out, T* saved, int threads) {
  const T scale = T(1) / std::sqrt(static_cast<T>(shape.head_size));
  detail::for_spans(
      sequences, shape, saved, threads, [&](const Span& span, T* weights, Index head) {
        const Index width = shape.head_size;
        const Index kv = head / (shape.heads / shape.kv_heads);
        const Index n = span.count;
        const Index p = span.prefix_count;
        const auto rows = [&](const auto& m, Index first, Index count, Index h) {
          return m.middle_rows(first, count).middle_cols(h * width, width);
        };
        const MatrixView<T> w(weights, n, p + n);
        const auto qs = rows(q, span.first, n, head);
        product(Op::none, Op::transpose, scale, qs, rows(k, span.prefix_first, p, kv),
                w.middle_cols(0, p), false);
        product(Op::none, Op::transpose, scale, qs, rows(k, span.first, n, kv), w.middle_cols(p, n),
                false);
        for (Index i = 0; i < n; ++i) {
          detail::softmax_prefix(weights + i * (p + n), shape.causal ? p + i + 1 : p + n, p + n);
        }
        const auto o = rows(out, span.first, n, head);
        product(Op::none, Op::none, 1, w.middle_cols(p, n), rows(v, span.first, n, kv), o, false);
        product(Op::none, Op::none, 1, w.middle_cols(0, p), rows(v, span.prefix_first, p, kv), o,
                true);
      });
}

/// The gradients of `attention_forward`, added to dq, dk and dv.
template <class T>
void attention_backward(const Sequences& sequences, const AttentionShape& shape,
                        MatrixView<const T> q, MatrixView<const T> k, MatrixView<const T> v,
                        const T* saved, MatrixView<const T> dout, MatrixView<T> dq,
                        MatrixView<T> dk, MatrixView<T> dv, int threads) {
  const T scale = T(1) / std::sqrt(static_cast<T>(shape.head_size));
  detail::for_spans(
      sequences, shape, saved, threads, [&](const Span& span, const T* weights, Index head) {
        const Index width = shape.head_size;
        const Index kv = head / (shape.heads / shape.kv_heads);
        const Index n = span.count;
        const Index p = span.prefix_count;
        const auto rows = [&](const auto& m, Index first, Index count, Index h) {
          return m.middle_rows(first, count).middle_cols(h * width, width);
        };
        const MatrixView<const T> w(weights, n, p + n);
        const auto g = rows(dout, span.first, n, head);
        thread_local std::vector<T> memory;
        memory.resize(static_cast<std::size_t>(n * (p + n)));
        const MatrixView<T> ds(memory.data(), n, p + n);
        product(Op::none, Op::transpose, 1, g, rows(v, span.prefix_first, p, kv),
                ds.middle_cols(0, p), false);
        product(Op::none, Op::transpose, 1, g, rows(v, span.first, n, kv), ds.middle_cols(p, n),
                false);
        const Team<T> team;
        for (Index i = 0; i < n; ++i) {
          const T* wi = weights + i * (p + n);
          T* di = memory.data() + i * (p + n);
          const T dot = team.sum(p + n, [=](Index j) { return wi[j] * di[j]; });
          team.loop(p + n, [=](Index j) { di[j] = scale * wi[j] * (di[j] - dot); });
        }
        const auto qs = rows(q, span.first, n, head);
        const auto add = [&](Index column, Index first, Index count) {
          const auto dsc = ds.middle_cols(column, count);
          const auto wc = w.middle_cols(column, count);
          product(Op::none, Op::none, 1, dsc, rows(k, first, count, kv),
                  rows(dq, span.first, n, head), true);
          product(Op::transpose, Op::none, 1, dsc, qs, rows(dk, first, count, kv), true);
          product(Op::transpose, Op::none, 1, wc, g, rows(dv, first, count, kv), true);
        };
        add(p, span.first, n);
        add(0, span.prefix_first, p);
      });
}

/// One decoding step: query i attends to the rows `ranges[i]` of the caches.
template <class T>
void attention_cached(const KeyRange* ranges, const AttentionShape& shape, MatrixView<const T> q,
                      MatrixView<const T> k, MatrixView<const T> v, MatrixView<T> out,
                      int threads) {
  const T scale = T(1) / std::sqrt(static_cast<T>(shape.head_size));
  const Index width = shape.head_size;
  parallel_blocks(q.rows, {1, 1}, threads, [&](Index first, Index last) {
    thread_local std::vector<T> memory;
    for (Index i = first; i < last; ++i) {
      const KeyRange range = ranges[i];
      memory.resize(static_cast<std::size_t>(range.count));
      T* w = memory.data();
      for (Index h = 0; h < shape.heads; ++h) {
        const Index kv = h / (shape.heads / shape.kv_heads);
        const T* qi = q.row(i) + h * width;
        const Team<T> team;
        for (Index j = 0; j < range.count; ++j) {
          const T* kj = k.row(range.first + j) + kv * width;
          w[j] = scale * team.sum(width, [=](Index c) { return qi[c] * kj[c]; });
        }
        detail::softmax_prefix(w, range.count, range.count);
        T* o = out.row(i) + h * width;
        std::fill(o, o + width, T(0));
        for (Index j = 0; j < range.count; ++j) {
          const T* vj = v.row(range.first + j) + kv * width;
          const T weight = w[j];
          team.loop(width, [=](Index c) { o[c] += weight * vj[c]; });
        }
      }
    }
  });
}

}  // namespace branchlora::eigen
