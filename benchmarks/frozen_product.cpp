/// @file
/// The frozen product `y = x W^T` beside Eigen's, OpenBLAS's and oneDNN's, for one thread or more.
///
///     frozen_product [--threads 1,2] [--repetitions 25]
///
/// Every repetition runs each library once, one after the other, so that whatever else changes the
/// machine's speed meets all of them. The first four columns are GFLOP/s of the median time; `of
/// the best` is the median of the quotients of the best other library's time by ours, repetition by
/// repetition, so 1 or more where ours is the fastest. Built where OpenBLAS and oneDNN are found.
#include <fmt/core.h>
#include <omp.h>

#include <oneapi/dnnl/dnnl.h>
#include <CLI/CLI.hpp>
#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "branchlora/eigen/packed_gemm.hpp"

extern "C" {
// Of OpenBLAS; declared here, because its cblas.h collides with that of other packages.
void sgemm_(const char* op_a, const char* op_b, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc);
void openblas_set_num_threads(int threads);
}

namespace {

using branchlora::Index;
using branchlora::MatrixView;
using branchlora::eigen::multiply;
using branchlora::eigen::PackedMatrix;

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

MatrixView<float> view(Matrix& m) { return {m.data(), m.rows(), m.cols()}; }

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(Index tokens, Index d, int threads, int repetitions) {
  omp_set_num_threads(threads);
  Eigen::setNbThreads(threads);
  openblas_set_num_threads(threads);
  Matrix x = Matrix::Random(tokens, d);
  Matrix w = Matrix::Random(d, d);
  Matrix y(tokens, d);
  const auto packed = PackedMatrix<float>::transposed(view(w));
  const auto m = static_cast<int>(tokens);
  const auto n = static_cast<int>(d);
  const float one = 1;
  const float zero = 0;
  const std::vector<std::function<void()>> libraries{
      [&] { multiply(view(x), packed, false, view(y), threads); },
      [&] { y.noalias() = x * w.transpose(); },
      // Column-major: y^T = w x^T, with w^T and x^T as they lie.
      [&] { sgemm_("T", "N", &n, &m, &n, &one, w.data(), &n, x.data(), &n, &zero, y.data(), &n); },
      [&] { dnnl_sgemm('N', 'T', m, n, n, one, x.data(), n, w.data(), n, zero, y.data(), n); },
  };
  std::vector<std::vector<double>> times(libraries.size());
  std::vector<double> quotients;
  for (const auto& library : libraries) library();
  for (int r = 0; r < repetitions; ++r) {
    double best = 1e300;
    for (std::size_t l = 0; l < libraries.size(); ++l) {
      times[l].push_back(seconds(libraries[l]));
      if (l > 0) best = std::min(best, times[l].back());
    }
    quotients.push_back(best / times[0].back());
  }
  fmt::print("| {} | {} | {} |", tokens, d, threads);
  const auto giga = 2e-9 * static_cast<double>(tokens) * static_cast<double>(d * d);
  for (const auto& t : times) fmt::print(" {:.1f} |", giga / median(t));
  fmt::print(" {:.3f} |\n", median(quotients));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The frozen product beside other libraries'");
  std::vector<int> threads{1};
  int repetitions = 25;
  app.add_option("--threads", threads, "Numbers of threads")->delimiter(',');
  app.add_option("--repetitions", repetitions, "Repetitions of a cell");
  CLI11_PARSE(app, argc, argv);
  fmt::print("| tokens | d | threads | packed | Eigen | OpenBLAS | oneDNN | of the best |\n");
  fmt::print("|---|---|---|---|---|---|---|---|\n");
  for (const int t : threads) {
    for (const Index d : {1024, 4096}) {
      for (const Index tokens : {512, 2048}) compare(tokens, d, t, repetitions);
    }
  }
}
