#include "branchlora/autograd/ops.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

// The roundings of a sum of n products, and of the function before or after it. A sum in any order
// errs by at most n u times the sum of magnitudes; the last is taken as `spread` times the largest
// result.
constexpr auto sum_over = [](double n, double spread = 4) { return spread * (n + 8); };

// Elementwise functions: a few roundings, those of `math::exp` (3e-7 is 5 u) or `math::erf`
// (5e-7 is 8.4 u), and the loss weights, which are normal numbers below 5.
constexpr auto elementwise = [](Index, Index) { return 64.0; };

constexpr auto sum_over_width = [](Index, Index width) {
  return sum_over(static_cast<double>(width));
};
constexpr auto sum_over_both = [](Index tokens, Index width) {
  return sum_over(static_cast<double>(tokens + width));
};

constexpr auto square = [](Index tokens, Index width) {
  return Inputs{random_dense(tokens, width, 1)};
};
constexpr auto pair_of_squares = [](Index tokens, Index width) {
  return Inputs{random_dense(tokens, width, 1), random_dense(tokens, width, 2)};
};

template <class F>
Dense map(const Dense& x, F f) {
  return dense(x.rows, x.cols, [&](Index i, Index j) { return f(x(i, j)); });
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Holds a host object for as long as the tape needs it.
template <class U>
const U& hold(Keep& keep, U object) {
  const auto owner = std::make_shared<U>(std::move(object));
  keep.push_back(owner);
  return *owner;
}

}  // namespace

TEST_CASE("linear") {
  const auto inputs = [](Index tokens, Index width) {
    return Inputs{random_dense(tokens, width, 1), random_dense(width - 3, width, 2)};
  };
  check_operation(Operation{
      inputs, [](auto& tape, const auto& in, Keep&) { return op::linear(tape, in[0], in[1]); },
      [](const Inputs& in) { return times_transposed(in[0], in[1]); }, sum_over_both});
}

TEST_CASE("linear with a bias") {
  const auto inputs = [](Index tokens, Index width) {
    return Inputs{random_dense(tokens, width, 1), random_dense(width - 3, width, 2),
                  random_dense(1, width - 3, 3)};
  };
  check_operation(Operation{
      inputs,
      [](auto& tape, const auto& in, Keep&) { return op::linear(tape, in[0], in[1], in[2]); },
      [](const Inputs& in) {
        const Dense product = times_transposed(in[0], in[1]);
        return dense(product.rows, product.cols,
                     [&](Index i, Index j) { return product(i, j) + in[2](0, j); });
      },
      sum_over_both});
}

TEST_CASE("frozen linear with a bias") {
  const auto weight = [](Index width) { return random_dense(width + 3, width, 20); };
  const auto bias = [](Index width) { return random_dense(1, width + 3, 21); };
  check_operation(Operation{square,
                            [=](auto& tape, const auto& in, Keep& keep) {
                              auto& backend = tape.backend();
                              using B = std::remove_reference_t<decltype(backend)>;
                              const Index width = in[0].cols();
                              const auto& w = hold(keep, Buffer<B>(backend, width + 3, width));
                              const auto& b = hold(keep, Buffer<B>(backend, 1, width + 3));
                              assign(w.view(), weight(width));
                              assign(b.view(), bias(width));
                              const auto& frozen =
                                  hold(keep, backend.freeze(w.view(), Storage::full));
                              return op::frozen_linear(tape, in[0], frozen, b.view());
                            },
                            [=](const Inputs& in) {
                              const Dense product = times_transposed(in[0], weight(in[0].cols));
                              return dense(product.rows, product.cols, [&](Index i, Index j) {
                                return product(i, j) + bias(in[0].cols)(0, j);
                              });
                            },
                            sum_over_width});
}

TEST_CASE("add") {
  check_operation(Operation{
      pair_of_squares,
      [](auto& tape, const auto& in, Keep&) { return op::add(tape, in[0], in[1], -0.75F); },
      [](const Inputs& in) {
        return dense(in[0].rows, in[0].cols,
                     [&](Index i, Index j) { return in[0](i, j) - 0.75 * in[1](i, j); });
      },
      elementwise});
}

TEST_CASE("add a matrix to itself") {
  check_operation(Operation{
      square, [](auto& tape, const auto& in, Keep&) { return op::add(tape, in[0], in[0], 2.0F); },
      [](const Inputs& in) { return map(in[0], [](double x) { return 3 * x; }); }, elementwise});
}

TEST_CASE("add rows") {
  // Three periods in 3 n rows.
  const auto inputs = [](Index tokens, Index width) {
    return Inputs{random_dense(3 * tokens, width, 1), random_dense(tokens, width, 2)};
  };
  check_operation(Operation{
      inputs, [](auto& tape, const auto& in, Keep&) { return op::add_rows(tape, in[0], in[1]); },
      [](const Inputs& in) {
        return dense(in[0].rows, in[0].cols,
                     [&](Index i, Index j) { return in[0](i, j) + in[1](i % in[1].rows, j); });
      },
      elementwise});
}

TEST_CASE("RMS norm") {
  const auto inputs = [](Index tokens, Index width) {
    return Inputs{random_dense(tokens, width, 1), random_dense(1, width, 2)};
  };
  check_operation(Operation{
      inputs,
      [](auto& tape, const auto& in, Keep&) { return op::rms_norm(tape, in[0], in[1], 0.01); },
      [](const Inputs& in) {
        const auto& [x, gain] = std::tie(in[0], in[1]);
        return dense(x.rows, x.cols, [&](Index i, Index j) {
          double square_sum = 0;
          for (Index c = 0; c < x.cols; ++c) square_sum += x(i, c) * x(i, c);
          return x(i, j) / std::sqrt(square_sum / static_cast<double>(x.cols) + 0.01) * gain(0, j);
        });
      },
      sum_over_both});
}

TEST_CASE("layer norm") {
  const auto inputs = [](Index tokens, Index width) {
    return Inputs{random_dense(tokens, width, 1), random_dense(1, width, 2),
                  random_dense(1, width, 3)};
  };
  check_operation(Operation{inputs,
                            [](auto& tape, const auto& in, Keep&) {
                              return op::layer_norm(tape, in[0], in[1], in[2], 0.01);
                            },
                            [](const Inputs& in) {
                              const auto& [x, gain, bias] = std::tie(in[0], in[1], in[2]);
                              const auto n = static_cast<double>(x.cols);
                              return dense(x.rows, x.cols, [&](Index i, Index j) {
                                double mean = 0;
                                for (Index c = 0; c < x.cols; ++c) mean += x(i, c) / n;
                                double variance = 0;
                                for (Index c = 0; c < x.cols; ++c)
                                  variance += (x(i, c) - mean) * (x(i, c) - mean) / n;
                                return (x(i, j) - mean) / std::sqrt(variance + 0.01) * gain(0, j) +
                                       bias(0, j);
                              });
                            },
                            sum_over_both});
}

TEST_CASE("GELU") {
  check_operation(Operation{
      square, [](auto& tape, const auto& in, Keep&) { return op::gelu(tape, in[0]); },
      [](const Inputs& in) {
        return map(in[0], [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); });
      },
      elementwise});
}

TEST_CASE("quick GELU") {
  check_operation(Operation{
      square, [](auto& tape, const auto& in, Keep&) { return op::quick_gelu(tape, in[0]); },
      [](const Inputs& in) { return map(in[0], [](double x) { return x * sigmoid(1.702 * x); }); },
      elementwise});
}

TEST_CASE("SwiGLU") {
  check_operation(
      Operation{pair_of_squares,
                [](auto& tape, const auto& in, Keep&) { return op::swiglu(tape, in[0], in[1]); },
                [](const Inputs& in) {
                  return dense(in[0].rows, in[0].cols, [&](Index i, Index j) {
                    return in[0](i, j) * sigmoid(in[0](i, j)) * in[1](i, j);
                  });
                },
                elementwise});
}

TEST_CASE("RoPE") {
  // Heads of 4; positions that repeat and jump.
  const auto position = [](Index i) { return static_cast<std::int32_t>((i * 5) % 11); };
  check_operation(Operation{
      square,
      [=](auto& tape, const auto& in, Keep& keep) {
        using B = std::remove_reference_t<decltype(tape.backend())>;
        const auto& table = hold(keep, op::RopeTable<B>(tape.backend(), 11, 4, 100.0));
        std::vector<std::int32_t> positions;
        for (Index i = 0; i < in[0].rows(); ++i) positions.push_back(position(i));
        return op::rope(tape, in[0], table, tape.upload(std::span<const std::int32_t>(positions)));
      },
      [=](const Inputs& in) {
        // Pair j of a head is the complex number (x_j, x_{j+2}), turned by position 100^(-2j/4).
        return dense(in[0].rows, in[0].cols, [&](Index i, Index c) {
          const Index head = c / 4 * 4;
          const Index j = c % 2;
          const double angle = position(i) * std::pow(100.0, -2.0 * static_cast<double>(j) / 4.0);
          const double a = in[0](i, head + j);
          const double b = in[0](i, head + j + 2);
          return c % 4 < 2 ? a * std::cos(angle) - b * std::sin(angle)
                           : a * std::sin(angle) + b * std::cos(angle);
        });
      },
      elementwise});
}

namespace {

// Several sequences of which one is an image with three turns, as many tokens as asked for.
Sequences with_turns(Index tokens) {
  Sequences sequences;
  if (tokens < 10) {
    sequences.push(1, {2, 2});
  } else {
    sequences.push(3);
    sequences.push(12, {3, 1, 5});
    sequences.push(1);
  }
  sequences.push(tokens - sequences.tokens());
  return sequences;
}

// The attention of query row i over the rows that it may see.
Dense naive_attention(const Sequences& sequences, const AttentionShape& shape, const Inputs& in) {
  const auto& [q, k, v] = std::tie(in[0], in[1], in[2]);
  Dense y(q.rows, q.cols);
  for (const Span& span : sequences.spans) {
    for (Index i = span.first; i < span.first + span.count; ++i) {
      std::vector<Index> visible;
      for (Index j = 0; j < span.prefix_count; ++j) visible.push_back(span.prefix_first + j);
      for (Index j = 0; j < span.count; ++j) {
        if (!shape.causal || span.first + j <= i) visible.push_back(span.first + j);
      }
      for (Index h = 0; h < shape.heads; ++h) {
        const Index from = h * shape.head_size;
        const Index shared = h * shape.kv_heads / shape.heads * shape.head_size;
        std::vector<double> scores;
        for (const Index j : visible) {
          double dot = 0;
          for (Index c = 0; c < shape.head_size; ++c) dot += q(i, from + c) * k(j, shared + c);
          scores.push_back(dot / std::sqrt(static_cast<double>(shape.head_size)));
        }
        scores = softmax(scores);
        for (std::size_t n = 0; n < visible.size(); ++n) {
          for (Index c = 0; c < shape.head_size; ++c) {
            y(i, from + c) += scores[n] * v(visible[n], shared + c);
          }
        }
      }
    }
  }
  return y;
}

// Heads of `size`, `group` query heads to a key-value head.
void check_attention(bool causal, Index group, Index size) {
  const auto shape_for = [=](Index width) {
    return AttentionShape{width / size, width / size / group, size, causal};
  };
  check_operation(Operation{
      [=](Index tokens, Index width) {
        return Inputs{random_dense(tokens, width, 1), random_dense(tokens, width / group, 2),
                      random_dense(tokens, width / group, 3)};
      },
      [=](auto& tape, const auto& in, Keep& keep) {
        const Sequences& sequences = hold(keep, with_turns(in[0].rows()));
        return op::attention(tape, sequences, shape_for(in[0].cols()), in[0], in[1], in[2]);
      },
      [=](const Inputs& in) {
        return naive_attention(with_turns(in[0].rows), shape_for(in[0].cols), in);
      },
      sum_over_both});
}

}  // namespace

TEST_CASE("causal attention") { check_attention(true, 1, 4); }
TEST_CASE("full attention") { check_attention(false, 1, 4); }
TEST_CASE("causal attention of grouped heads") { check_attention(true, 2, 4); }
TEST_CASE("full attention of one key-value head") { check_attention(false, 4, 2); }

TEST_CASE("attention of a matrix with itself") {
  check_operation(Operation{
      square,
      [](auto& tape, const auto& in, Keep& keep) {
        const Sequences& sequences = hold(keep, with_turns(in[0].rows()));
        return op::attention(tape, sequences, {in[0].cols() / 4, in[0].cols() / 4, 4, true}, in[0],
                             in[0], in[0]);
      },
      [](const Inputs& in) {
        return naive_attention(with_turns(in[0].rows), {in[0].cols / 4, in[0].cols / 4, 4, true},
                               {in[0], in[0], in[0]});
      },
      sum_over_both});
}

TEST_CASE("attention over a cache is the last row of attention") {
  const AttentionShape shape{4, 2, 8, true};
  const Index tokens = 23;
  Double backend(2);
  Tape<Double> tape(backend);
  Sequences sequences;
  sequences.push(tokens);
  const auto variable = [&](Index rows, Index cols, std::uint64_t stream) {
    const auto m = tape.scratch(rows, cols);
    assign(m, random_dense(rows, cols, stream));
    return tape.constant(m);
  };
  const auto q = variable(tokens, 32, 1);
  const auto k = variable(tokens, 16, 2);
  const auto v = variable(tokens, 16, 3);
  const Dense whole = to_dense(op::attention(tape, sequences, shape, q, k, v).value());
  // Query i of the decoding step is row 10 + i of the batch, which sees rows 0 .. 10 + i.
  const Index first = 10;
  std::vector<KeyRange> ranges;
  for (Index i = first; i < tokens; ++i) ranges.push_back({0, i + 1});
  const auto out = tape.scratch(tokens - first, 32);
  backend.attention_cached(ranges.data(), shape, q.value().middle_rows(first, tokens - first),
                           k.value(), v.value(), out);
  Dense expected(tokens - first, 32);
  for (Index i = 0; i < expected.rows; ++i) {
    for (Index c = 0; c < 32; ++c) expected(i, c) = whole(first + i, c);
  }
  CHECK(distance(to_dense(out), expected) < 1e-14);
}

TEST_CASE("gather") {
  // Some rows twice, some not at all.
  const auto index = [](Index tokens) {
    std::vector<std::int32_t> rows;
    for (Index i = 0; i < tokens + 2; ++i)
      rows.push_back(static_cast<std::int32_t>(i * i % tokens));
    return rows;
  };
  check_operation(Operation{square,
                            [=](auto& tape, const auto& in, Keep&) {
                              return op::gather(tape, in[0], index(in[0].rows()), 0.5F);
                            },
                            [=](const Inputs& in) {
                              const auto rows = index(in[0].rows);
                              return dense(std::ssize(rows), in[0].cols, [&](Index i, Index j) {
                                return 0.5 * in[0](rows[static_cast<std::size_t>(i)], j);
                              });
                            },
                            elementwise});
}

TEST_CASE("interleave") {
  const auto inputs = [](Index tokens, Index width) {
    return Inputs{random_dense(tokens, width, 1), random_dense(3, width, 2)};
  };
  // Backwards through a, with rows of b in between, one of them twice; not all of a.
  const auto index = [](Index tokens) {
    std::vector<std::int32_t> rows{-3};
    for (Index i = tokens - 1; i > 0; --i) rows.push_back(static_cast<std::int32_t>(i));
    rows.insert(rows.end(), {-1, -1, -2, 2});
    return rows;
  };
  check_operation(Operation{inputs,
                            [=](auto& tape, const auto& in, Keep&) {
                              return op::interleave(tape, in[0], in[1], index(in[0].rows()));
                            },
                            [=](const Inputs& in) {
                              const auto rows = index(in[0].rows);
                              return dense(std::ssize(rows), in[0].cols, [&](Index i, Index j) {
                                const Index row = rows[static_cast<std::size_t>(i)];
                                return row >= 0 ? in[0](row, j) : in[1](-1 - row, j);
                              });
                            },
                            elementwise});
}

TEST_CASE("dropout") {
  const Random random(7, 3);
  const double p = 0.3;
  check_operation(Operation{
      square,
      [=](auto& tape, const auto& in, Keep&) { return op::dropout(tape, in[0], p, random); },
      [=](const Inputs& in) {
        return dense(in[0].rows, in[0].cols, [&](Index i, Index j) {
          const bool zeroed = random.uniform(static_cast<std::uint64_t>(i * in[0].cols + j)) < p;
          return zeroed ? 0.0 : in[0](i, j) / (1 - p);
        });
      },
      elementwise});
}

TEST_CASE("dropout zeroes its share, and none at probability 0") {
  Single backend;
  Tape<Single> tape(backend);
  const auto ones = tape.scratch(200, 500);
  backend.fill(ones, 1.0F);
  const auto x = tape.constant(ones);
  CHECK(op::dropout(tape, x, 0.0, Random(1)).node() == x.node());
  const Dense y = to_dense(op::dropout(tape, x, 0.1, Random(1)).value());
  const auto zeros = static_cast<double>(std::count(y.data.begin(), y.data.end(), 0.0));
  // 100,000 draws: the standard deviation of the share is sqrt(0.1 * 0.9 / 1e5) < 0.001.
  CHECK(zeros / 1e5 == doctest::Approx(0.1).epsilon(0.05));
  CHECK_THROWS_WITH_AS(op::dropout(tape, x, 1.0, Random(1)),
                       "dropout: expected a probability in [0, 1), found 1", Error);
}

TEST_CASE("reshape") {
  check_operation(
      Operation{square,
                [](auto& tape, const auto& in, Keep&) {
                  return op::reshape(tape, in[0], in[0].rows() * 2, in[0].cols() / 2);
                },
                [](const Inputs& in) { return Dense(in[0].rows * 2, in[0].cols / 2, in[0].data); },
                elementwise});
}

TEST_CASE("cross-entropy") {
  const auto targets = [](Index tokens, Index classes) {
    std::vector<std::int32_t> t;
    for (Index i = 0; i < tokens; ++i) {
      t.push_back(i % 3 == 1 ? op::ignored : static_cast<std::int32_t>(i * 3 % classes));
    }
    return t;
  };
  check_operation(Operation{square,
                            [=](auto& tape, const auto& in, Keep&) {
                              return op::cross_entropy(tape, in[0],
                                                       targets(in[0].rows(), in[0].cols()));
                            },
                            [=](const Inputs& in) {
                              const auto t = targets(in[0].rows, in[0].cols);
                              double sum = 0;
                              int counted = 0;
                              for (Index i = 0; i < in[0].rows; ++i) {
                                const auto target = t[static_cast<std::size_t>(i)];
                                if (target == op::ignored) continue;
                                double total = 0;
                                for (Index c = 0; c < in[0].cols; ++c)
                                  total += std::exp(in[0](i, c) - in[0](i, target));
                                sum += std::log(total);
                                ++counted;
                              }
                              return Dense(1, 1, {sum / counted});
                            },
                            sum_over_both});
}

TEST_CASE("cross-entropy of nothing is zero, and so is its gradient") {
  Bench<double> bench({random_dense(4, 5, 1)}, 1);
  const std::array<std::int32_t, 4> targets{op::ignored, op::ignored, op::ignored, op::ignored};
  const auto outcome = bench.run(
      [&](auto& tape, const auto& in, Keep&) { return op::cross_entropy(tape, in[0], targets); });
  CHECK(outcome.value == Dense(1, 1));
  CHECK(outcome.gradients[0] == Dense(4, 5));
}

TEST_CASE("cross-entropy of large logits is finite") {
  Bench<float> bench({Dense(1, 2, {1e4, -1e4})}, 1);
  const std::array<std::int32_t, 1> second{1};
  const auto outcome = bench.run(
      [&](auto& tape, const auto& in, Keep&) { return op::cross_entropy(tape, in[0], second); });
  CHECK(outcome.value(0, 0) == 2e4);
}

TEST_CASE("operations refuse inputs that do not fit") {
  Double backend;
  Tape<Double> tape(backend);
  const auto matrix = [&](Index rows, Index cols) {
    return tape.constant(tape.scratch(rows, cols));
  };
  const auto x = matrix(2, 6);
  CHECK_THROWS_AS(op::linear(tape, x, matrix(3, 5)), Error);
  CHECK_THROWS_AS(op::linear(tape, x, matrix(3, 6), matrix(1, 2)), Error);
  CHECK_THROWS_AS(op::add(tape, x, matrix(2, 5)), Error);
  CHECK_THROWS_AS(op::add_rows(tape, matrix(3, 6), x), Error);
  CHECK_THROWS_AS(op::rms_norm(tape, x, matrix(1, 5), 1e-5), Error);
  CHECK_THROWS_AS(op::swiglu(tape, x, matrix(1, 6)), Error);
  CHECK_THROWS_AS(op::reshape(tape, x, 5, 2), Error);
  CHECK_THROWS_AS(op::gather(tape, x, std::array<std::int32_t, 1>{2}), Error);
  CHECK_THROWS_AS(op::interleave(tape, x, x, std::array<std::int32_t, 1>{-3}), Error);
  CHECK_THROWS_WITH_AS(op::cross_entropy(tape, x, std::array<std::int32_t, 2>{0, 6}),
                       "cross-entropy: target 6 outside of 6 classes", Error);
  CHECK_THROWS_AS(op::cross_entropy(tape, x, std::array<std::int32_t, 1>{0}), Error);
  Sequences sequences;
  sequences.push(2);
  CHECK_THROWS_WITH_AS(op::attention(tape, sequences, {3, 2, 2, true}, x, x, x),
                       "attention: 3 heads can not share 2 key-value heads", Error);
}
