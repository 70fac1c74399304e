/// @file
/// The CPU kernels beside Eigen's form of the same product. Each line reports GFLOP/s, so that a
/// ratio of two lines comes from one run. For example:
///
///     kernels --benchmark_filter='down|up' --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <cstdint>
#include <utility>
#include <vector>

#include "branchlora/eigen/packed_gemm.hpp"
#include "branchlora/eigen/skinny.hpp"

namespace {

using branchlora::Chosen;
using branchlora::Index;
using branchlora::MatrixView;
using branchlora::eigen::bfloat16;
using branchlora::eigen::multiply;
using branchlora::eigen::PackedMatrix;
using branchlora::eigen::skinny_axpy;
using branchlora::eigen::skinny_dot;
using branchlora::eigen::skinny_outer;

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

MatrixView<float> view(Matrix& m) { return {m.data(), m.rows(), m.cols()}; }
MatrixView<const float> view(const Matrix& m) { return {m.data(), m.rows(), m.cols()}; }

void report(benchmark::State& state, Index tokens, Index terms, Index outputs) {
  const double flops =
      2.0 * static_cast<double>(tokens) * static_cast<double>(terms) * static_cast<double>(outputs);
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

/// The factor of one adapter: `tokens x d` against `rank x d`.
struct Adapter {
  Index tokens = 2048;
  Index d, rank;
  int threads;
  Matrix x = Matrix::Random(tokens, d);
  Matrix w = Matrix::Random(rank, d);
  Matrix u = Matrix::Random(tokens, rank);

  explicit Adapter(const benchmark::State& state)
      : d(state.range(0)), rank(state.range(1)), threads(static_cast<int>(state.range(2))) {
    Eigen::setNbThreads(threads);
  }
};

void down(benchmark::State& state) {
  Adapter a(state);
  for (auto _ : state) {
    skinny_dot(view(a.x), view(a.w), 0.5F, view(a.u), false, {}, a.threads);
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, a.d, a.rank);
}

void down_eigen(benchmark::State& state) {
  Adapter a(state);
  for (auto _ : state) {
    a.u.noalias() = 0.5F * a.x * a.w.transpose();
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, a.d, a.rank);
}

void up(benchmark::State& state) {
  Adapter a(state);
  for (auto _ : state) {
    skinny_axpy(view(a.u), view(a.w), 1e-6F, view(a.x), true, {}, a.threads);
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, a.rank, a.d);
}

void up_eigen(benchmark::State& state) {
  Adapter a(state);
  for (auto _ : state) {
    a.x.noalias() += 1e-6F * a.u * a.w;
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, a.rank, a.d);
}

void gradient(benchmark::State& state) {
  Adapter a(state);
  for (auto _ : state) {
    skinny_outer(view(a.u), view(a.x), 0.5F, view(a.w), false, {}, a.threads);
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, a.rank, a.d);
}

void gradient_eigen(benchmark::State& state) {
  Adapter a(state);
  for (auto _ : state) {
    a.w.noalias() = 0.5F * a.u.transpose() * a.x;
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, a.rank, a.d);
}

void adapters(benchmark::internal::Benchmark* b) {
  b->ArgNames({"d", "R", "threads"})->UseRealTime();
  b->ArgsProduct({{160, 1024, 4096}, {8, 16, 32, 40}, {1, 2}});
}

/// The up projection of two of eight experts of rank 4, chosen per token or per run of tokens. The
/// rate counts the chosen experts only; Eigen multiplies by all of them, most of them by zero.
struct Mixture : Adapter {
  std::vector<std::int32_t> table;
  explicit Mixture(const benchmark::State& state) : Adapter(state) {
    const Index run = state.range(3);
    for (Index t = 0; t < tokens; ++t) {
      const auto first = static_cast<std::int32_t>((t / run * 5) % 8);
      table.push_back(first);
      table.push_back((first + 3) % 8);
    }
  }
};

void chosen_up(benchmark::State& state) {
  Mixture a(state);
  for (auto _ : state) {
    skinny_axpy(view(a.u), view(a.w), 1e-6F, view(a.x), true, {a.table.data(), 2, 4}, a.threads);
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, 8, a.d);
}

void chosen_up_eigen(benchmark::State& state) {
  Mixture a(state);
  for (auto _ : state) {
    a.x.noalias() += 1e-6F * a.u * a.w;
    benchmark::ClobberMemory();
  }
  report(state, a.tokens, 8, a.d);
}

void mixtures(benchmark::internal::Benchmark* b) {
  b->ArgNames({"d", "R", "threads", "run"})->UseRealTime();
  b->ArgsProduct({{160, 1024, 4096}, {32}, {1, 2}, {1, 256}});
}

/// A frozen layer, `y = x W^T`.
struct Frozen {
  Index tokens, k, n;
  int threads;
  Matrix x, w, y;

  explicit Frozen(const benchmark::State& state)
      : tokens(state.range(0)),
        k(state.range(1)),
        n(state.range(2)),
        threads(static_cast<int>(state.range(3))),
        x(Matrix::Random(tokens, k)),
        w(Matrix::Random(n, k)),
        y(Matrix::Zero(tokens, n)) {
    Eigen::setNbThreads(threads);
  }
};

template <class Storage>
void frozen(benchmark::State& state) {
  Frozen f(state);
  const auto packed = PackedMatrix<Storage>::transposed(view(f.w));
  for (auto _ : state) {
    multiply(view(std::as_const(f.x)), packed, false, view(f.y), f.threads);
    benchmark::ClobberMemory();
  }
  report(state, f.tokens, f.k, f.n);
}

void frozen_eigen(benchmark::State& state) {
  Frozen f(state);
  for (auto _ : state) {
    f.y.noalias() = f.x * f.w.transpose();
    benchmark::ClobberMemory();
  }
  report(state, f.tokens, f.k, f.n);
}

void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"T", "k", "n", "threads"})->UseRealTime();
  for (const int threads : {1, 2}) {
    b->Args({700, 160, 160, threads})->Args({700, 160, 416, threads});
    b->Args({700, 416, 160, threads})->Args({512, 1024, 1024, threads});
    b->Args({2048, 1024, 1024, threads})->Args({2048, 4096, 4096, threads});
  }
}

BENCHMARK(down)->Apply(adapters);
BENCHMARK(down_eigen)->Apply(adapters);
BENCHMARK(up)->Apply(adapters);
BENCHMARK(up_eigen)->Apply(adapters);
BENCHMARK(gradient)->Apply(adapters);
BENCHMARK(gradient_eigen)->Apply(adapters);
BENCHMARK(chosen_up)->Apply(mixtures);
BENCHMARK(chosen_up_eigen)->Apply(mixtures);
BENCHMARK_TEMPLATE(frozen, float)->Apply(layers);
BENCHMARK_TEMPLATE(frozen, bfloat16)->Apply(layers);
BENCHMARK(frozen_eigen)->Apply(layers);

}  // namespace

BENCHMARK_MAIN();
