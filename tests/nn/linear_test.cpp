#include "branchlora/nn/linear.hpp"

#include <doctest/doctest.h>

#include "branchlora/model/checkpoint.hpp"
#include "io/temporary_folder.hpp"
#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

// A layer of 33 inputs and 19 outputs on 21 tokens.
template <class T>
struct Layer {
  using B = eigen::Backend<T>;
  B backend{2};
  ParameterSet<B> parameters{backend};
  nn::Linear<B> linear{parameters, "layer", 33, 19, true};
  Parameter<T>& x = parameters.add("x", 21, 33);

  Layer() {
    linear.initialize(Random(1));
    assign(linear.bias()->value, random_dense(1, 19, 1));
    assign(x.value, random_dense(21, 33, 2));
    parameters.set_trainable(x, true);
  }

  Dense output() {
    Tape<B> tape(backend);
    return to_dense(linear(tape, tape.parameter(x)).value());
  }
  // The gradient of x for fixed weights on the output.
  Dense gradient() {
    Tape<B> tape(backend);
    parameters.clear_gradients();
    tape.backward(weighted_sum(tape, linear(tape, tape.parameter(x)), random_dense(21, 19, 3)));
    return to_dense(x.grad);
  }
  Dense naive() {
    Dense y = times_transposed(to_dense(x.value), to_dense(linear.weight().value));
    for (Index i = 0; i < y.rows; ++i) {
      for (Index j = 0; j < y.cols; ++j) y(i, j) += static_cast<double>(linear.bias()->value(0, j));
    }
    return y;
  }
};

}  // namespace

TEST_CASE_TEMPLATE("frozen and trained layers compute the same", T, float, double) {
  Layer<T> layer;
  const double unit = std::numeric_limits<T>::epsilon() / 2.0;
  // 33 products and a bias: 34 roundings of the sum of magnitudes, below 8 times the result's.
  const double tolerance = 34 * 8 * unit * largest(layer.naive());
  const Dense trained = layer.output();
  const Dense gradient = layer.gradient();
  CHECK(distance(trained, layer.naive()) < tolerance);
  layer.linear.freeze();
  CHECK(distance(layer.output(), layer.naive()) < tolerance);
  CHECK(distance(layer.gradient(), gradient) < 34 * 8 * unit * largest(gradient));
  // A change by hand counts from the next freeze on.
  layer.linear.weight().value(0, 0) += T(1);
  layer.linear.freeze();
  CHECK(distance(layer.output(), layer.naive()) < tolerance);
  CHECK(distance(layer.output(), trained) > 0.1);
}

TEST_CASE("a frozen layer does not train, and a thawed one does") {
  Layer<double> layer;
  layer.linear.set_trainable(true);
  layer.linear.freeze();
  layer.gradient();
  CHECK_FALSE(layer.linear.weight().has_grad);
  CHECK_FALSE(layer.linear.bias()->has_grad);
  layer.linear.set_trainable(true);
  const Dense weights = random_dense(21, 19, 3);
  check_gradients(layer.parameters, [&](Tape<Double>& tape) {
    return weighted_sum(tape, layer.linear(tape, tape.parameter(layer.x)), weights);
  });
}

TEST_CASE("bfloat16 weights are off by their rounding, no more") {
  Layer<float> layer;
  const Dense x = to_dense(layer.x.value);
  const Dense w = to_dense(layer.linear.weight().value);
  const Dense exact = layer.naive();
  layer.linear.freeze(Storage::bfloat16);
  const Dense y = layer.output();
  // Both factors may be rounded to 8 bits, 2^-9 of each; then float accumulation.
  for (Index i = 0; i < y.rows; ++i) {
    for (Index j = 0; j < y.cols; ++j) {
      double magnitudes = 0;
      for (Index k = 0; k < x.cols; ++k) magnitudes += std::abs(x(i, k) * w(j, k));
      CHECK(std::abs(y(i, j) - exact(i, j)) <= magnitudes * (2.01 * 0x1p-9 + 40 * 0x1p-24) + 1e-6);
    }
  }
}

TEST_CASE("a layer computes the same without the weight that it was packed from") {
  for (const Storage storage : {Storage::full, Storage::bfloat16}) {
    Layer<float> layer;
    layer.linear.freeze(storage);
    const Dense output = layer.output();
    const Dense gradient = layer.gradient();
    layer.linear.freeze(storage, nn::Unpacked::release);
    CHECK(layer.linear.weight().value.data == nullptr);
    CHECK(layer.linear.frozen()->weight.data == nullptr);
    CHECK(layer.linear.in() == 33);
    CHECK(layer.linear.out() == 19);
    CHECK(layer.output() == output);
    CHECK(layer.gradient() == gradient);
  }
}

TEST_CASE("what needs a released weight is refused, and the layer computes on") {
  Layer<float> layer;
  layer.linear.freeze(Storage::full, nn::Unpacked::release);
  const Dense output = layer.output();
  const TemporaryFolder folder;
  const auto all = [](const auto&) { return true; };
  const auto refuse = [](auto action) {
    check_mentions(error_of(action), "parameter 'layer.weight'", "given back");
  };
  refuse([&] { layer.linear.freeze(); });
  refuse([&] { layer.linear.set_trainable(true); });
  refuse([&] { layer.linear.initialize(Random(1)); });
  refuse([&] { model::save_parameters(folder.path() / "file", layer.parameters, all, {}); });
  CHECK_FALSE(std::filesystem::exists(folder.path() / "file"));
  CHECK(layer.output() == output);
}

TEST_CASE("a weight that products read stays") {
  Layer<double> layer;
  layer.linear.freeze(Storage::full, nn::Unpacked::release);
  CHECK(layer.linear.weight().value.data != nullptr);
  CHECK(layer.linear.frozen()->weight.data == layer.linear.weight().value.data);
  CHECK_NOTHROW(layer.linear.set_trainable(true));
}

TEST_CASE("bfloat16 is of float") {
  Layer<double> layer;
  CHECK_THROWS_WITH_AS(layer.linear.freeze(Storage::bfloat16),
                       "frozen weights in bfloat16: the backend must be of float", Error);
}

TEST_CASE("initialisation has the deviation that it says") {
  Double backend;
  ParameterSet<Double> parameters(backend);
  nn::Linear<Double> linear(parameters, "layer", 400, 100, true);
  linear.initialize(Random(1), 2.0);
  double square = 0;
  for (const double w : to_dense(linear.weight().value).data) square += w * w / 40000;
  // 2 / sqrt(400) = 0.1; the standard deviation of the estimate is 0.1 / sqrt(80000) = 0.00035.
  CHECK(std::sqrt(square) == doctest::Approx(0.1).epsilon(0.02));
  CHECK(largest(to_dense(linear.bias()->value)) == 0);
  CHECK_FALSE(linear.bias()->decays);
}
