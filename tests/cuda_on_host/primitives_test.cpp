#include "branchlora/eigen/backend.hpp"
#include "cuda/compare.hpp"
#include "cuda/groups.hpp"
#include "cuda_on_host/bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

using Exact = eigen::Backend<double>;

TEST_CASE_TEMPLATE("primitives agree with the Eigen backend", T, float, double) {
  check_same<T>(run_cases(primitive_cases<cuda::Backend<T>>()),
                run_cases(primitive_cases<Exact>()));
  check_clean();
}

TEST_CASE("the order in which blocks run changes no bit") {
  OnHost<float> device;
  for (const auto& each : primitive_cases<cuda::Backend<float>>()) {
    CAPTURE(each.name);
    const Results results = each.run(*device);
    Device::get().reversed = true;
    CHECK(each.run(*device) == results);
    Device::get().reversed = false;
  }
}

TEST_CASE_TEMPLATE("products with a bias are the same where cuBLASLt has no algorithm", T, float,
                   double) {
  using B = cuda::Backend<T>;
  Device::get().has_algorithms = false;
  Device::get().forget_calls();
  check_same<T>(run_cases(primitive_cases<B>()), run_cases(primitive_cases<Exact>()));
  CHECK(Device::get().calls("cublasLtMatmul") == 0);
  CHECK(Device::get().calls("cublasLtMatmulAlgoGetHeuristic") > 0);
  Device::get().has_algorithms = true;
  check_clean();
}

TEST_CASE("the algorithm of a product with a bias is chosen once a shape and alignment") {
  OnHost<float> device;
  using B = cuda::Backend<float>;
  B& backend = *device;
  const Matrix<B> w(backend, random_dense(5, 8, 1));
  const Matrix<B> bias(backend, random_dense(1, 5, 2));
  const Matrix<B> x(backend, random_dense(9, 8, 3));
  const Matrix<B> y(backend, Dense(9, 5));
  // How many algorithms the product of these rows asks for.
  const auto asked = [&](Index first, Index count) {
    Device::get().forget_calls();
    backend.affine(x.view().middle_rows(first, count), w.view(), bias.view(),
                   y.view().middle_rows(first, count));
    CHECK(Device::get().calls("cublasLtMatmul") == 1);
    return Device::get().calls("cublasLtMatmulAlgoGetHeuristic");
  };
  CHECK(asked(0, 4) == 1);
  CHECK(asked(0, 4) == 0);
  CHECK(asked(0, 3) == 1);
  CHECK(asked(1, 4) == 1);  // Aligned to 4 bytes, not to 256.
  CHECK(asked(0, 4) == 0);
  backend.set_tf32(true);
  CHECK(asked(0, 4) == 1);
  CHECK_THROWS_WITH_AS(backend.affine(x.view(), w.view(), w.view(), y.view()),
                       "the bias of an affine product: expected shape 1 x 5, found 5 x 8", Error);
}

TEST_CASE("TF32 is a switch, off at first") {
  OnHost<float> device;
  cuda::Backend<float>& backend = *device;
  const Matrix<cuda::Backend<float>> x(backend, random_dense(4, 100, 1));
  const Matrix<cuda::Backend<float>> y(backend, Dense(4, 4));
  const Dense exact = times_transposed(random_dense(4, 100, 1), random_dense(4, 100, 1));
  const auto error = [&] {
    backend.gemm(Op::none, Op::transpose, 1, x.view(), x.view(), 0, y.view());
    return distance(y.dense(), exact) / largest(exact);
  };
  // Factors of 10 bits: each product of a sum of squares is off by at most 2 * 2^-11.
  CHECK(error() < 1e-6);
  backend.set_tf32(true);
  CHECK(error() > 1e-6);
  CHECK(error() < 0x1p-10);
  backend.set_tf32(false);
  CHECK(error() < 1e-6);
}

TEST_CASE("bfloat16 rounds as the Eigen backend does") {
  for (const float x : {0.0F, -0.0F, 1.0F, 1.00390625F, 1.01171875F, 3.3e38F, -3.4e38F, 1e-40F,
                        std::numeric_limits<float>::infinity(), -2.7182818F}) {
    CHECK(static_cast<std::uint16_t>(cuda::round_to_bfloat16(x)) == eigen::bfloat16(x).bits);
  }
  CHECK(static_cast<std::uint16_t>(
            cuda::round_to_bfloat16(std::numeric_limits<float>::quiet_NaN())) ==
        eigen::bfloat16(std::numeric_limits<float>::quiet_NaN()).bits);
}

TEST_CASE("frozen weights in bfloat16 are summed in float") {
  OnHost<float> device;
  cuda::Backend<float>& backend = *device;
  using B = cuda::Backend<float>;
  const auto rounded = [](Dense m) {
    for (double& x : m.data) x = static_cast<float>(eigen::bfloat16(static_cast<float>(x)));
    return m;
  };
  const Dense w = random_dense(19, 300, 1);
  const Dense x = random_dense(7, 300, 2);
  const Matrix<B> weight(backend, w);
  const Matrix<B> in(backend, x, 1);
  const Matrix<B> out(backend, Dense(7, 19), 2);
  const auto frozen = backend.freeze(weight.view(), Storage::bfloat16);
  backend.frozen_forward(in.view(), frozen, out.view());
  // Tensor cores multiply two factors of bfloat16: the input is rounded as well.
  const Dense expected = times_transposed(rounded(x), rounded(w));
  const Dense found = read<B>(backend, out.view());
  CHECK(distance(found, expected) < tolerance(300, 6e-8) * largest(expected));
  // Against the product without any rounding: two factors off by at most 2^-9 each, whose 300
  // errors add up as a random walk.
  const Dense exact = times_transposed(x, w);
  CHECK(distance(found, exact) < 10 * std::sqrt(300.0) * 2 * 0x1p-9);
  CHECK(distance(found, exact) > 1e-3);

  const Dense b = random_dense(1, 19, 3);
  const Matrix<B> bias(backend, b);
  for (const bool fused : {true, false}) {
    Device::get().has_algorithms = fused;
    const Matrix<B> with_bias(backend, Dense(7, 19), 2);
    backend.frozen_affine(in.view(), frozen, bias.view(), with_bias.view());
    const Dense more = dense(7, 19, [&](Index i, Index j) { return expected(i, j) + b(0, j); });
    CHECK(distance(read<B>(backend, with_bias.view()), more) <
          tolerance(301, 6e-8) * largest(more));
  }
  Device::get().has_algorithms = true;

  const Matrix<B> dx(backend, x, 1);
  backend.frozen_backward(out.view(), frozen, dx.view(), true);
  const Dense dy = rounded(found);
  const Dense wr = rounded(w);
  const Dense expected_dx = dense(7, 300, [&](Index i, Index j) {
    double sum = x(i, j);
    for (Index k = 0; k < 19; ++k) sum += dy(i, k) * wr(k, j);
    return sum;
  });
  CHECK(distance(read<B>(backend, dx.view()), expected_dx) <
        tolerance(20, 6e-8) * largest(expected_dx));
}

TEST_CASE("shapes that do not fit are refused") {
  OnHost<float> device;
  cuda::Backend<float>& backend = *device;
  const Matrix<cuda::Backend<float>> a(backend, Dense(3, 4));
  const Matrix<cuda::Backend<float>> c(backend, Dense(3, 3));
  CHECK_THROWS_WITH_AS(backend.gemm(Op::none, Op::none, 1, a.view(), a.view(), 0, c.view()),
                       "the second factor of a product: expected shape 4 x 3, found 3 x 4", Error);
  CHECK_THROWS_AS(backend.skinny_dot(a.view(), a.view(), 1, a.view(), false), Error);
  CHECK_THROWS_AS(backend.copy(a.view(), c.view()), Error);
  Sequences s;
  s.push(3);
  const Matrix<cuda::Backend<float>> wide(backend, Dense(3, 300));
  CHECK_THROWS_WITH_AS(backend.attention_forward(s, {1, 1, 300, true}, wide.view(), wide.view(),
                                                 wide.view(), wide.view(), a.data()),
                       "CUDA: attention: expected heads of at most 256, found 300", Error);
}
