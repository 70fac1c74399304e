// Starts that see more than a shape: what PEFT gives for the same numbers, and what every one of
// them keeps.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "branchlora/adapter/exchange.hpp"
#include "branchlora/io/json.hpp"
#include "support/adapter_contract.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

// What tests/golden/make_starts.py wrote.
class Golden {
 public:
  Golden()
      : json_(io::read_json(std::string(BRANCHLORA_SOURCE_DIR) + "/tests/golden/starts.json")) {}

  static constexpr Index rank = 2;
  double scale() const { return json_.at("alpha").get<double>() / rank; }
  Dense matrix(const std::string& name) const { return dense_of(json_.at(name)); }
  Dense matrix(const std::string& start, const std::string& name) const {
    return dense_of(json_.at(start).at(name));
  }
  init::Given given() const {
    init::Given g;
    g.layer = "layer";
    g.rank = rank;
    g.scale = scale();
    g.weight = host(matrix("weight"));
    return g;
  }
  static HostMatrix<double> host(const Dense& m) { return {m.rows, m.cols, m.data}; }

 private:
  static Dense dense_of(const io::Json& rows) {
    const auto values = rows.get<std::vector<std::vector<double>>>();
    return dense(std::ssize(values), std::ssize(values[0]), [&](Index i, Index j) {
      return values[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
    });
  }

  io::Json json_;
};

Dense transposed(const Dense& m) {
  return dense(m.cols, m.rows, [&](Index i, Index j) { return m(j, i); });
}
Dense plain(const HostMatrix<double>& m) { return {m.rows, m.cols, m.values}; }

// B A of a start: d_out x d_in.
Dense product(const init::Factors& f) {
  return times_transposed(transposed(plain(f.b_transposed)), transposed(plain(f.a)));
}
Dense product(const Golden& golden, const std::string& start) {
  return times_transposed(golden.matrix(start, "b"), transposed(golden.matrix(start, "a")));
}

// By how much the subspace of the singular vectors first .. first + count of M may turn where one
// side calculates in float: it decomposes a matrix that is off by 10 u max(m, n) s_1 (u = 6e-8; the
// constant of LAPACK is about one), which turns them by that over the gap to the singular values
// beside them (Davis and Kahan).
double turned(const Dense& m, Index first, Index count) {
  const Svd parts = svd(Golden::host(m));
  const auto s = [&](Index i) { return parts.s[static_cast<std::size_t>(i)]; };
  double gap = s(0);
  if (first > 0) gap = std::min(gap, s(first - 1) - s(first));
  if (first + count < std::ssize(parts.s)) {
    gap = std::min(gap, s(first + count - 1) - s(first + count));
  }
  return 10 * 6e-8 * static_cast<double>(std::max(m.rows, m.cols)) * s(0) / gap;
}

// The largest difference of two matrices whose rows are known up to their signs.
double distance_but_for_signs(const Dense& a, const Dense& b) {
  double most = 0;
  for (Index i = 0; i < a.rows; ++i) {
    const auto row = [&](const Dense& m, double sign) {
      return dense(1, m.cols, [&](Index, Index j) { return sign * m(i, j); });
    };
    most =
        std::max(most, std::min(distance(row(a, 1), row(b, 1)), distance(row(a, 1), row(b, -1))));
  }
  return most;
}

}  // namespace

TEST_CASE("PiSSA is PEFT's") {
  const Golden golden;
  const Dense weight = golden.matrix("weight");
  const init::Factors f = init::Pissa::start(golden.given());
  // s B A = U_r U_r^T W: off by |W| times the turn of U_r, twice, and rounding of the same size.
  const double allowed = 4 * turned(weight, 0, Golden::rank) * svd(Golden::host(weight)).s[0];
  const Dense ours = product(f);
  const Dense theirs = product(golden, "pissa");
  CHECK(golden.scale() * distance(ours, theirs) < allowed);
  const Dense left = dense(weight.rows, weight.cols, [&](Index i, Index j) {
    return weight(i, j) - golden.scale() * ours(i, j);
  });
  CHECK(distance(left, golden.matrix("pissa", "weight")) < allowed);
  CHECK(golden.scale() * largest(ours) > 1000 * allowed);
}

TEST_CASE("EVA is PEFT's") {
  const Golden golden;
  const Dense x = golden.matrix("x");
  init::Given given = golden.given();
  const Dense ones = dense(1, x.rows, [](Index, Index) { return 1.0; });
  const auto mean = [&](Dense sum) {
    for (double& v : sum.data) v /= static_cast<double>(x.rows);
    return Golden::host(sum);
  };
  given.mean = mean(times_transposed(ones, transposed(x)));
  given.moment = mean(times_transposed(transposed(x), transposed(x)));
  const init::Factors f = init::Eva::start(given);
  CHECK(f.b_transposed.values.empty());
  const Dense centred = dense(x.rows, x.cols, [&](Index i, Index j) {
    return x(i, j) - given.mean.values[static_cast<std::size_t>(j)];
  });
  // PEFT finds them by four subspace iterations with 4 random vectors, which leave
  // (s_5 / s_2)^9 of what is outside, and in float. Signs are chosen alike.
  const Svd parts = svd(Golden::host(centred));
  const double left = std::pow(parts.s[4] / parts.s[1], 9);
  const double allowed = 10 * left + turned(centred, 0, 1) + turned(centred, 1, 1);
  CHECK(distance(plain(f.a), golden.matrix("eva", "a")) < allowed);
  CHECK(allowed < 0.05);
  CHECK(golden.matrix("eva", "weight") == golden.matrix("weight"));
}

TEST_CASE("CorDA is PEFT's") {
  const Golden golden;
  const Dense weight = golden.matrix("weight");
  Dense moment = golden.matrix("corda", "moment");
  init::Given given = golden.given();
  given.moment = Golden::host(moment);
  const init::Factors f = init::Corda::start(given);
  double trace = 0;
  for (Index i = 0; i < 10; ++i) trace += moment(i, i);
  for (Index i = 0; i < 10; ++i) moment(i, i) += 0.01 * trace / 10;
  const Dense turns = times_transposed(weight, moment);  // W C, as C is symmetric
  const Svd c = svd(Golden::host(moment));
  // s B A = U_r U_r^T W as above; theirs has C^-1 in float, which is off by its condition number.
  const double allowed = (4 * turned(turns, 0, Golden::rank) + 10 * 6e-8 * 10 * c.s[0] / c.s[9]) *
                         svd(Golden::host(weight)).s[0];
  const Dense ours = product(f);
  CHECK(golden.scale() * distance(ours, product(golden, "corda")) < allowed);
  const Dense left = dense(weight.rows, weight.cols, [&](Index i, Index j) {
    return weight(i, j) - golden.scale() * ours(i, j);
  });
  CHECK(distance(left, golden.matrix("corda", "weight")) < allowed);
  CHECK(golden.scale() * largest(ours) > 100 * allowed);
  // B and A share it out alike.
  const Dense b = transposed(golden.matrix("corda", "b"));
  CHECK(distance_but_for_signs(plain(f.b_transposed), b) <
        4 * (turned(turns, 0, 1) + turned(turns, 1, 1)) * largest(b));
}

TEST_CASE("LoRA-GA has PEFT's directions and its authors' size") {
  const Golden golden;
  const Dense gradient = golden.matrix("gradient");
  init::Given given = golden.given();
  given.gradient = Golden::host(gradient);
  const init::Factors f = init::LoraGa<>::start(given);
  const double size = std::pow(7.0, 0.25) / 4;
  // PEFT: A = V_(1..R)^T, B = f U_(R+1..2R) S.
  const Dense a = golden.matrix("lora_ga", "a");
  const Dense b = transposed(golden.matrix("lora_ga", "b"));
  const Svd parts = svd(given.gradient);
  const auto scaled = [&](const HostMatrix<double>& m, auto factor) {
    return dense(m.rows, m.cols, [&](Index i, Index j) {
      return factor(i) * m.values[static_cast<std::size_t>(i * m.cols + j)];
    });
  };
  double turns = 0;
  for (Index i = 0; i < 2 * Golden::rank; ++i) turns = std::max(turns, turned(gradient, i, 1));
  CHECK(distance_but_for_signs(scaled(f.a, [&](Index) { return 1 / size; }), a) < turns);
  const Dense ours = scaled(
      f.b_transposed, [&](Index i) { return parts.s[static_cast<std::size_t>(Golden::rank + i)]; });
  CHECK(distance_but_for_signs(ours, b) < turns * parts.s[0] * size);
  CHECK(turns < 1e-3);
  CHECK(largest(ours) > 0.01);
}

TEST_CASE("sums of what passes through a layer") {
  Double backend(1);
  ParameterSet<Double> parameters(backend);
  auto& x = parameters.add("x", 6, 3);
  auto& y = parameters.add("y", 6, 2);
  const Dense xs = random_dense(6, 3, 1), ys = random_dense(6, 2, 2), dy = random_dense(6, 2, 3);
  assign(x.value, xs);
  assign(y.value, ys);
  parameters.set_trainable(y, true);
  StartSums<Double> sums(backend, {.inputs = true, .gradient = true}, 3, 2);
  init::Given given;
  given.layer = "layer";
  CHECK_THROWS_WITH_AS(sums.give(given),
                       "layer: its adapter starts from what passes through it, but nothing did",
                       Error);
  Tape<Double> tape(backend);
  for (int batch = 0; batch < 2; ++batch) {
    tape.reset();
    const auto passed = op::gelu(tape, tape.parameter(y));
    const auto out = sums(tape, tape.parameter(x), passed);
    CHECK(to_dense(out.value()) == to_dense(passed.value()));
    tape.backward(weighted_sum(tape, out, dy));
    CHECK(to_dense(passed.grad()) == dy);
  }
  sums.give(given);
  // Sums of 12 products, all of one batch twice.
  const auto near = [&](const HostMatrix<double>& found, const Dense& sum, double factor) {
    const Dense expected =
        dense(sum.rows, sum.cols, [&](Index i, Index j) { return factor * sum(i, j); });
    return distance(plain(found), expected) < 12 * 2.2e-16 * 10;
  };
  const Dense ones = dense(1, 6, [](Index, Index) { return 1.0; });
  CHECK(near(given.mean, times_transposed(ones, transposed(xs)), 1.0 / 6));
  CHECK(near(given.moment, times_transposed(transposed(xs), transposed(xs)), 1.0 / 6));
  CHECK(near(given.gradient, times_transposed(transposed(dy), transposed(xs)), 2));
}

TEST_CASE("a start that nothing was summed up for is refused") {
  AdapterBench<LoraEva> bench;
  bench.adapter().begin_task(0);
  CHECK_THROWS_WITH_AS(bench.linear.start(),
                       "layer: its adapter starts from what passes through it: call "
                       "`prepare_start` before a batch of the task",
                       Error);
}

namespace {

// Gives a B that nothing takes off.
struct Unbalanced {
  using Category = category::Init;
  static constexpr init::Needs needs{.weight = true};
  static constexpr bool residual = false;
  static constexpr std::string_view name() { return "Unbalanced"; }
  static init::Factors start(const init::Given& given) { return init::Pissa::start(given); }
};

}  // namespace

TEST_CASE("a start that would change the function is refused") {
  Double backend(1);
  ParameterSet<Double> parameters(backend);
  AdaptedLinear<Double> linear(parameters, "layer", 10, 7);
  linear.base().initialize(Random(3));
  linear.attach(method_of<Double, Lora4::with<Unbalanced>>(), {}, Random(4));
  linear.adapter()->begin_task(0);
  CHECK_THROWS_WITH_AS(linear.start(),
                       "layer: Unbalanced gives a B, but takes nothing off the frozen weight",
                       Error);
}

TEST_CASE("a rank that a weight does not have is refused") {
  init::Given given;
  given.layer = "block.3.q";
  given.rank = 4;
  given.weight = {3, 5, std::vector<double>(15, 1.0)};
  CHECK_THROWS_WITH_AS(init::Pissa::start(given),
                       "block.3.q: init::Pissa at rank 4 reads 4 singular values, but those of a "
                       "3 x 5 matrix are 3",
                       Error);
}

#define RESIDUAL_VARIANTS LoraPissa, BankPissa, LoraCorda, LoraGradient, BankGradient

TEST_CASE_TEMPLATE("gradients are right at the start itself", V, RESIDUAL_VARIANTS) {
  AdapterBench<V> bench;
  bench.begin_task(0);
  CHECK(largest(bench.branch("lora_B", 0)) > 0.01);
  const Dense weights = random_dense(bench.sequences.tokens(), 7, 60);
  check_gradients(bench.parameters, [&](Tape<Double>& tape) {
    return weighted_sum(tape, bench.forward(tape), weights);
  });
}

TEST_CASE_TEMPLATE("a merged adapter gives the same outputs, and at the start the base's weight", V,
                   RESIDUAL_VARIANTS) {
  AdapterBench<V> bench;
  bench.begin_task(0);
  const auto merged = [&] {
    std::vector<double> copy =
        to_host(bench.backend, MatrixView<const double>(bench.linear.base().weight().value));
    const MatrixView<double> weight(copy.data(), 7, 10);
    bench.adapter().merge_task_into(weight, 0);
    return to_dense(weight);
  };
  // 2 R = 8 products of at most s |B| |A| are added to an element of W, and taken off again.
  const double product = bench.form.scale(bench.hyper) * largest(bench.branch("lora_B", 0)) *
                         largest(bench.branch("lora_A", 0));
  CHECK(distance(merged(), bench.value("layer.weight")) < 8 * 8 * 1.1e-16 * (1 + product));
  AdamW<Double> optimiser(bench.parameters);
  train(bench, optimiser, 0);
  const Dense unmerged = bench.output();
  CHECK(distance(unmerged, bench.base_output()) > 1e-3);
  // Both sum some 90 products, in another order.
  CHECK(distance(times_transposed(to_dense(bench.x->value), merged()), unmerged) <
        90 * 1.1e-16 * 4 * std::max(1.0, largest(unmerged)));
}

TEST_CASE("PEFT gets twice the rank beside the weight as it came") {
  AdapterBench<LoraPissa> bench;
  bench.begin_task(0);
  AdamW<Double> optimiser(bench.parameters);
  train(bench, optimiser, 0);
  const io::PeftAdapter adapter = export_peft<LoraPissa>(bench.parameters, bench.hyper);
  CHECK(adapter.config.r == 8);
  REQUIRE(adapter.layers.size() == 1);
  const io::PeftLayer& layer = adapter.layers[0];
  const double s = adapter.config.lora_alpha / static_cast<double>(adapter.config.r);
  Dense y = bench.base_output();
  const Dense a = dense(8, 10, [&](Index i, Index j) {
    return static_cast<double>(layer.a[static_cast<std::size_t>(i * 10 + j)]);
  });
  const Dense u = times_transposed(to_dense(bench.x->value), a);
  for (Index t = 0; t < y.rows; ++t) {
    for (Index o = 0; o < y.cols; ++o) {
      for (Index q = 0; q < 8; ++q)
        y(t, o) += s * static_cast<double>(layer.b_view()(o, q)) * u(t, q);
    }
  }
  // The file holds floats: each of 8 products is off by 2 u.
  CHECK(distance(y, bench.output()) < 8 * 2 * 6e-8 * 10 * std::max(1.0, largest(y)));
}

TEST_CASE("the start is the base's function in float and beside a rounded weight") {
  for (const Storage storage : {Storage::full, Storage::bfloat16}) {
    AdapterBench<LoraPissa, float> bench;
    bench.linear.base().freeze(storage);
    Tape<Single> tape(bench.backend);
    const Dense base = to_dense(bench.linear.base()(tape, tape.parameter(*bench.x)).value());
    bench.begin_task(0);
    // As `allowance_at_start`, with u = 6e-8.
    const double m = bench.form.scale(bench.hyper) * largest(bench.branch("lora_B", 0)) *
                     largest(bench.branch("lora_A", 0)) * largest(to_dense(bench.x->value)) * 10;
    CHECK(distance(bench.output(), base) < 6e-8 * (8 * (largest(base) + 8 * m) + 80 * m));
  }
}

TEST_CASE("a task that trains before its branch has started is refused") {
  AdapterBench<BankPissa> bench;
  bench.adapter().begin_task(0);
  CHECK(bench.adapter().needs() == init::Needs{.weight = true});
  bench.supervise = true;
  CHECK_THROWS_WITH_AS(bench.output(),
                       "layer: a task trains before its branch has started as init::Pissa says: "
                       "call `start` first",
                       Error);
  bench.linear.start();
  CHECK_FALSE(bench.adapter().needs().any());
  CHECK_NOTHROW(bench.output());
}

TEST_CASE("a branch of a bank starts with its task, one LoRA with the first") {
  AdapterBench<BankPissa> bank;
  AdapterBench<LoraPissa> one;
  for (Index task = 0; task < 3; ++task) {
    const auto before = values_of(bank);
    bank.adapter().begin_task(task);
    one.adapter().begin_task(task);
    CHECK(bank.adapter().needs().any());
    CHECK(one.adapter().needs().any() == (task == 0));
    bank.linear.start();
    one.linear.start();
    for (const auto& [name, value] : before) {
      CAPTURE(name);
      const bool own =
          name.starts_with("layer.lora_") && name.ends_with("." + std::to_string(task));
      CHECK((bank.value(name) == value) != own);
    }
    bank.adapter().end_task();
    one.adapter().end_task();
  }
}

TEST_CASE("an adapter that is restored does not start again") {
  AdapterBench<LoraPissa> bench;
  bench.begin_task(0);
  bench.adapter().end_task();
  AdapterBench<LoraPissa> restored;
  restored.adapter().begin_task(0);
  restored.adapter().restore(bench.adapter().state());
  CHECK_FALSE(restored.adapter().needs().any());
}

TEST_CASE("costs: the constant factors cost operations, and train nothing") {
  CHECK(LoraPissa::parameters(10, 7) == Lora4::parameters(10, 7));
  const Work plain_work = Lora4::flops(10, 7, 5).adapter;
  const Work work = LoraPissa::flops(10, 7, 5).adapter;
  CHECK(work.forward == 2 * plain_work.forward);
  CHECK(work.backward == plain_work.backward + plain_work.forward);
}
