/// @file
/// The decoder and its adapters written down row by row, without batches, cache or tape.
#pragma once

#include "branchlora/adapter/adapter.hpp"
#include "model/tiny_model.hpp"

namespace branchlora::test {

/// What a naive adapter needs to know of a variant.
struct NaiveAdapter {
  Index rank = 0, branches = 0, top_k = 0;
  bool shared = false, routed = false, per_task = false, per_sequence = false, first = false;
  double scale = 0;

  template <class V>
  static NaiveAdapter of(const Hyper& hyper) {
    using G = typename V::Granularity;
    return {
        V::rank,          V::branches,        V::top_k,        V::Trunk::shared,
        V::gate_rows > 0, V::per_task_router, G::per_sequence, std::is_same_v<G, per::FirstToken>,
        V::scale(hyper)};
  }
};

/// One sequence at a time: rows of a prompt, then rows of an answer.
class NaiveDecoder {
 public:
  NaiveDecoder(TinyModel<double>& tiny, NaiveAdapter adapter)
      : tiny_(&tiny), config_(tiny.net.config().decoder), adapter_(adapter) {}

  /// The logits of every row. `x` are the embedded rows, of which the first `prompt` choose the
  /// gates of the whole sequence where gates are per sequence.
  Dense logits(Dense x, Index prompt, Index task) {
    for (Index l = 0; l < config_.layers; ++l) {
      const std::string name = "decoder.block." + std::to_string(l);
      const auto linear = [&](const char* which, const Dense& in) {
        return adapted(name + which, in, prompt, task);
      };
      const Dense h = norm(x, name + ".norm1.weight");
      const Dense a = attention(rope(linear(".q", h)), rope(linear(".k", h)), linear(".v", h));
      add(x, linear(".o", a));
      const Dense g = norm(x, name + ".norm2.weight");
      Dense s = linear(".gate", g);
      const Dense u = linear(".up", g);
      for (std::size_t i = 0; i < s.data.size(); ++i) {
        s.data[i] *= u.data[i] / (1 + std::exp(-s.data[i]));
      }
      add(x, linear(".down", s));
    }
    return times_transposed(norm(x, "decoder.norm.weight"), tiny_->value("decoder.embedding"));
  }

 private:
  static void add(Dense& x, const Dense& y) {
    for (std::size_t i = 0; i < x.data.size(); ++i) x.data[i] += y.data[i];
  }

  Dense norm(const Dense& x, const std::string& name) const {
    const Dense gain = tiny_->value(name);
    Dense y = x;
    for (Index i = 0; i < x.rows; ++i) {
      double square = 0;
      for (Index c = 0; c < x.cols; ++c) square += x(i, c) * x(i, c);
      const double root = std::sqrt(square / static_cast<double>(x.cols) + config_.epsilon);
      for (Index c = 0; c < x.cols; ++c) y(i, c) = x(i, c) / root * gain(0, c);
    }
    return y;
  }

  Dense rope(const Dense& x) const {
    const Index size = config_.head_size();
    return dense(x.rows, x.cols, [&](Index i, Index c) {
      const Index head = c / size * size;
      const Index j = (c - head) % (size / 2);
      const double angle =
          static_cast<double>(i) *
          std::pow(config_.rope_base, -2.0 * static_cast<double>(j) / static_cast<double>(size));
      const double a = x(i, head + j);
      const double b = x(i, head + j + size / 2);
      return c - head < size / 2 ? a * std::cos(angle) - b * std::sin(angle)
                                 : b * std::cos(angle) + a * std::sin(angle);
    });
  }

  Dense attention(const Dense& q, const Dense& k, const Dense& v) const {
    const Index size = config_.head_size();
    Dense out(q.rows, q.cols);
    for (Index h = 0; h < config_.heads; ++h) {
      const Index from = h / (config_.heads / config_.kv_heads) * size;
      for (Index i = 0; i < q.rows; ++i) {
        std::vector<double> scores;
        for (Index j = 0; j <= i; ++j) {
          double dot = 0;
          for (Index c = 0; c < size; ++c) dot += q(i, h * size + c) * k(j, from + c);
          scores.push_back(dot / std::sqrt(static_cast<double>(size)));
        }
        scores = softmax(scores);
        for (Index j = 0; j <= i; ++j) {
          for (Index c = 0; c < size; ++c) {
            out(i, h * size + c) += scores[static_cast<std::size_t>(j)] * v(j, from + c);
          }
        }
      }
    }
    return out;
  }

  /// The gate weight of each branch for one router input, zero where it is not chosen.
  std::vector<double> gates(const Dense& router, const std::vector<double>& input) const {
    std::vector<double> scores;
    std::vector<std::size_t> order;
    for (Index b = 0; b < adapter_.branches; ++b) {
      double score = 0;
      for (Index c = 0; c < router.cols; ++c) {
        score += router(b, c) * input[static_cast<std::size_t>(c)];
      }
      order.push_back(scores.size());
      scores.push_back(score);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    order.resize(static_cast<std::size_t>(adapter_.top_k));
    std::vector<double> chosen;
    for (const std::size_t b : order) chosen.push_back(scores[b]);
    chosen = softmax(chosen);
    std::vector<double> weights(scores.size(), 0.0);
    for (std::size_t k = 0; k < order.size(); ++k) weights[order[k]] = chosen[k];
    return weights;
  }

  /// W x + s sum over i of g_i B_i A_i x.
  Dense adapted(const std::string& name, const Dense& x, Index prompt, Index task) const {
    Dense y = times_transposed(x, tiny_->value(name + ".weight"));
    if (adapter_.branches == 0) return y;
    Dense router;
    if (adapter_.routed) {
      router =
          tiny_->value(name + ".router" + (adapter_.per_task ? "." + std::to_string(task) : ""));
    }
    for (Index t = 0; t < x.rows; ++t) {
      std::vector<double> g(1, 1.0);
      if (adapter_.routed) {
        const Index first = adapter_.per_sequence ? 0 : t;
        const Index count = adapter_.per_sequence && !adapter_.first ? prompt : 1;
        std::vector<double> input(static_cast<std::size_t>(x.cols), 0.0);
        for (Index r = first; r < first + count; ++r) {
          for (Index c = 0; c < x.cols; ++c) {
            input[static_cast<std::size_t>(c)] += x(r, c) / static_cast<double>(count);
          }
        }
        g = gates(router, input);
      }
      for (Index b = 0; b < adapter_.branches; ++b) {
        const std::string branch = "." + std::to_string(b);
        const bool single = adapter_.branches == 1;
        const Dense down =
            tiny_->value(name + ".lora_A" + (single || adapter_.shared ? "" : branch));
        const Dense up = tiny_->value(name + ".lora_B" + (single ? "" : branch));
        for (Index r = 0; r < adapter_.rank; ++r) {
          double u = 0;
          for (Index c = 0; c < x.cols; ++c) u += down(r, c) * x(t, c);
          for (Index o = 0; o < y.cols; ++o) {
            y(t, o) += adapter_.scale * g[static_cast<std::size_t>(b)] * up(r, o) * u;
          }
        }
      }
    }
    return y;
  }

  TinyModel<double>* tiny_;
  model::DecoderConfig config_;
  NaiveAdapter adapter_;
};

}  // namespace branchlora::test
