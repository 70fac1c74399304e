/// @file
/// Softmax attention within spans, on the device, without ever storing the score matrix: a block
/// of threads works on one query or key of one head and goes over the others in tiles.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "branchlora/core/backend.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::cuda::attention {

/// Keys or queries that a block looks at together: one for each of its threads.
inline constexpr int tile = 128;
/// The widest head.
inline constexpr int max_head_size = 256;
/// Scalars that a block shares: two tiles and one head.
inline constexpr int memory_size = 2 * tile + max_head_size;

/// Rows `first .. first + count`, after the rows `prefix_first .. prefix_first + prefix_count`.
struct Rows {
  Index prefix_first = 0;
  Index prefix_count = 0;
  Index first = 0;
  Index count = 0;

  BRANCHLORA_HD Index size() const { return prefix_count + count; }
  BRANCHLORA_HD Index row(Index i) const {
    return i < prefix_count ? prefix_first + i : first + i - prefix_count;
  }
};

/// A span, and the range of spans that may have some of its rows as their prefix.
struct LinkedSpan {
  Span span;
  Index first_user = 0;
  Index last_user = 0;
};

/// The spans of a batch and the span of each token, in device memory.
struct SpanTable {
  const LinkedSpan* spans = nullptr;
  const std::int32_t* span_of = nullptr;

  BRANCHLORA_HD const LinkedSpan& of(Index token) const { return spans[span_of[token]]; }

  /// The keys that a query sees.
  BRANCHLORA_HD Rows keys(Index query, bool causal) const {
    const Span& s = of(query).span;
    return {s.prefix_first, s.prefix_count, s.first, causal ? query - s.first + 1 : s.count};
  }
};

/// The spans of a batch as `SpanTable` holds them.
inline void link_spans(const Sequences& sequences, std::vector<LinkedSpan>& spans,
                       std::vector<std::int32_t>& span_of) {
  spans.clear();
  span_of.clear();
  for (const Span& span : sequences.spans) {
    const auto number = std::ssize(spans);
    if (span.prefix_count > 0) {
      const auto last = static_cast<std::size_t>(span.prefix_first + span.prefix_count - 1);
      expect(span.prefix_first >= 0 && last < span_of.size(),
             "attention: the prefix of span {} ends at row {}; expected it in earlier spans, of {} "
             "rows",
             number, last, span_of.size());
      for (auto s = span_of[static_cast<std::size_t>(span.prefix_first)]; s <= span_of[last]; ++s) {
        LinkedSpan& used = spans[static_cast<std::size_t>(s)];
        if (used.last_user == 0) used.first_user = number;
        used.last_user = number + 1;
      }
    }
    spans.push_back({span, 0, 0});
    span_of.resize(span_of.size() + static_cast<std::size_t>(span.count),
                   static_cast<std::int32_t>(number));
  }
}

/// sum of a[c] b[c].
template <class T>
BRANCHLORA_HD T dot(const T* a, const T* b, Index n) {
  T sum = 0;
  for (Index c = 0; c < n; ++c) sum += a[c] * b[c];
  return sum;
}

/// What all kernels know of a layer.
template <class T>
struct Layer {
  AttentionShape shape;
  MatrixView<const T> q, k, v;

  BRANCHLORA_HD T scale() const { return T(1) / std::sqrt(static_cast<T>(shape.head_size)); }
  BRANCHLORA_HD Index group() const { return shape.heads / shape.kv_heads; }
  BRANCHLORA_HD Index column(Index head) const { return head * shape.head_size; }
  BRANCHLORA_HD Index kv_column(Index head) const { return head / group() * shape.head_size; }
};

/// out = softmax(scale q k^T) v of one query and head. `keys(query)` is what it sees; `saved`, if
/// any, receives log sum exp of the scores, queries x heads.
template <class T, class Keys>
struct Forward {
  Layer<T> layer;
  Keys keys;
  MatrixView<T> out;
  T* saved;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index item, T* memory) const {
    const Index query = item / layer.shape.heads;
    const Index head = item % layer.shape.heads;
    const Index width = layer.shape.head_size;
    const T scale = layer.scale();
    const Rows rows = keys(query);
    const T* qi = layer.q.row(query) + layer.column(head);
    const auto k = layer.k.middle_cols(layer.kv_column(head), width);
    const auto v = layer.v.middle_cols(layer.kv_column(head), width);
    T* weights = memory;
    T* result = memory + 2 * tile;
    T highest = math::lowest<T>();
    T total = 0;
    team.loop(width, [=](Index c) { result[c] = T(0); });
    for (Index first = 0; first < rows.size(); first += tile) {
      const Index n = rows.size() - first < tile ? rows.size() - first : tile;
      team.loop(n,
                [=](Index j) { weights[j] = scale * dot(qi, k.row(rows.row(first + j)), width); });
      const T top = team.max(n, [=](Index j) { return weights[j]; });
      const T before = highest;
      highest = top > before ? top : before;
      team.loop(n, [=, shift = highest](Index j) { weights[j] = math::exp(weights[j] - shift); });
      const T correction = first == 0 ? T(0) : math::exp(before - highest);
      total = correction * total + team.sum(n, [=](Index j) { return weights[j]; });
      team.loop(width, [=](Index c) {
        T sum = correction * result[c];
        for (Index j = 0; j < n; ++j) sum += weights[j] * v(rows.row(first + j), c);
        result[c] = sum;
      });
    }
    const T inverse = total > T(0) ? T(1) / total : T(0);
    T* o = out.row(query) + layer.column(head);
    team.loop(width, [=](Index c) { o[c] = inverse * result[c]; });
    if (saved != nullptr) saved[item] = highest + std::log(total);
  }
};

/// The keys of a query within its span.
struct SpanKeys {
  SpanTable table;
  bool causal;
  BRANCHLORA_HD Rows operator()(Index query) const { return table.keys(query, causal); }
};

/// The keys of a decoding query: a range of the cache.
struct CachedKeys {
  const KeyRange* ranges;
  BRANCHLORA_HD Rows operator()(Index query) const {
    return {0, 0, ranges[query].first, ranges[query].count};
  }
};

/// What both kernels of the backward pass know: the weight of a key in a query's softmax, and the
/// gradient of its score.
template <class T>
struct Gradients {
  Layer<T> layer;
  SpanTable table;
  const T* saved;  ///< Log sum exp, queries x heads.
  MatrixView<const T> dout;
  T* means;  ///< The mean under the softmax of the gradient of its weights, queries x heads.

  BRANCHLORA_HD T weight(Index query, Index key, Index head) const {
    const T score =
        layer.scale() * dot(layer.q.row(query) + layer.column(head),
                            layer.k.row(key) + layer.kv_column(head), layer.shape.head_size);
    return math::exp(score - saved[query * layer.shape.heads + head]);
  }
  BRANCHLORA_HD T dweight(Index query, Index key, Index head) const {
    return dot(dout.row(query) + layer.column(head), layer.v.row(key) + layer.kv_column(head),
               layer.shape.head_size);
  }
};

/// dq of one query and head, and its `means`.
template <class T>
struct BackwardQuery {
  Gradients<T> g;
  MatrixView<T> dq;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index item, T* memory) const {
    const Index query = item / g.layer.shape.heads;
    const Index head = item % g.layer.shape.heads;
    const Index width = g.layer.shape.head_size;
    const Rows rows = g.table.keys(query, g.layer.shape.causal);
    const auto k = g.layer.k.middle_cols(g.layer.kv_column(head), width);
    T* d = dq.row(query) + g.layer.column(head);
    const Gradients<T> grad = g;
    const T mean = team.sum(rows.size(), [=](Index j) {
      const Index key = rows.row(j);
      return grad.weight(query, key, head) * grad.dweight(query, key, head);
    });
    g.means[item] = mean;
    for (Index first = 0; first < rows.size(); first += tile) {
      const Index n = rows.size() - first < tile ? rows.size() - first : tile;
      team.loop(n, [=](Index j) {
        const Index key = rows.row(first + j);
        memory[j] = grad.layer.scale() * grad.weight(query, key, head) *
                    (grad.dweight(query, key, head) - mean);
      });
      team.loop(width, [=](Index c) {
        T sum = 0;
        for (Index j = 0; j < n; ++j) sum += memory[j] * k(rows.row(first + j), c);
        d[c] += sum;
      });
    }
  }
};

/// dk and dv of one key and key-value head, over all queries that see it.
template <class T>
struct BackwardKey {
  Gradients<T> g;
  MatrixView<T> dk, dv;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index item, T* memory) const {
    const Index key = item / g.layer.shape.kv_heads;
    const LinkedSpan& own = g.table.of(key);
    const Index first = g.layer.shape.causal ? key : own.span.first;
    add(team, item, first, own.span.first + own.span.count, memory);
    for (Index s = own.first_user; s < own.last_user; ++s) {
      const Span& user = g.table.spans[s].span;
      if (key < user.prefix_first || key >= user.prefix_first + user.prefix_count) continue;
      add(team, item, user.first, user.first + user.count, memory);
    }
  }

 private:
  /// The part of the queries first .. last - 1.
  template <class Team>
  BRANCHLORA_BODY void add(const Team& team, Index item, Index begin, Index end, T* memory) const {
    const Index key = item / g.layer.shape.kv_heads;
    const Index kv = item % g.layer.shape.kv_heads;
    const Index width = g.layer.shape.head_size;
    T* weights = memory;
    T* dscores = memory + tile;
    T* dk_row = dk.row(key) + kv * width;
    T* dv_row = dv.row(key) + kv * width;
    const Gradients<T> grad = g;
    for (Index head = kv * g.layer.group(); head < (kv + 1) * g.layer.group(); ++head) {
      const auto q = g.layer.q.middle_cols(g.layer.column(head), width);
      const auto dout = g.dout.middle_cols(g.layer.column(head), width);
      for (Index first = begin; first < end; first += tile) {
        const Index n = end - first < tile ? end - first : tile;
        team.loop(n, [=](Index i) {
          const Index query = first + i;
          weights[i] = grad.weight(query, key, head);
          dscores[i] =
              grad.layer.scale() * weights[i] *
              (grad.dweight(query, key, head) - grad.means[query * grad.layer.shape.heads + head]);
        });
        team.loop(width, [=](Index c) {
          T to_k = 0;
          T to_v = 0;
          for (Index i = 0; i < n; ++i) {
            to_k += dscores[i] * q(first + i, c);
            to_v += weights[i] * dout(first + i, c);
          }
          dk_row[c] += to_k;
          dv_row[c] += to_v;
        });
      }
    }
  }
};

}  // namespace branchlora::cuda::attention
