#include "branchlora/adapter/exchange.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <deque>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/io/safetensors_writer.hpp"
#include "branchlora/nn/init.hpp"
#include "support/naive.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using io::PeftAdapter;
using io::PeftLayer;
using test::check_mentions;
using test::Dense;
using test::error_of;

namespace {

using B = eigen::Backend<float>;

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/peft";

/// The toy model of the golden files with adapters of `V` on all its linears.
template <class V>
struct Toy {
  static constexpr Hyper hyper{.alpha = 6.0, .dropout = 0.0};

  Toy() {
    for (const std::string& name : base.names()) {
      if (!name.ends_with(".weight")) continue;
      const auto& shape = base.tensor(name).shape;
      const std::string layer = name.substr(0, name.size() - 7);
      auto& linear = linears.emplace_back(parameters, layer, shape[1], shape[0]);
      base.read(name, std::span<float>(parameters.find(name)->value.data,
                                       static_cast<std::size_t>(shape[0] * shape[1])));
      linear.base().freeze();
      linear.attach(method_of<B, V>(), hyper, Random(1));
      names.push_back(layer);
    }
  }

  /// Numbers in every A and B, which would be small and zero.
  void train() {
    for (auto& p : parameters) {
      if (p.name.find(".lora_") == std::string::npos) continue;
      nn::fill_uniform(parameters, p, Random(2), 0.5);
    }
  }

  Dense input(const std::string& layer) const {
    const auto& shape = base.tensor("x." + layer).shape;
    Dense x(shape[0], shape[1]);
    base.read("x." + layer, std::span<double>(x.data));
    return x;
  }

  /// What linear i makes of its golden input.
  Dense output(std::size_t i) {
    const Dense x = input(names[i]);
    auto& held = inputs.emplace_back(backend, x.rows, x.cols);
    test::assign(held.view(), x);
    Sequences sequences;
    sequences.push(x.rows);
    const std::vector<std::int32_t> tasks{0};
    Tape<B> tape(backend);
    tape.set_recording(false);
    return test::to_dense(
        linears[i](tape, tape.constant(held.view()),
                   {&sequences, tasks, RoutingContext::Memory::none, false, nullptr})
            .value());
  }

  Dense value(const std::string& name) { return test::to_dense(parameters.find(name)->value); }

  B backend{1};
  ParameterSet<B> parameters{backend};
  std::deque<AdaptedLinear<B>> linears;
  std::deque<Buffer<B>> inputs;
  std::vector<std::string> names;
  io::SafeTensors base = io::SafeTensors::open(golden / "base.safetensors");
};

/// x W^T + s x A^T B^T, by the adapter's own settings.
Dense applied(const PeftAdapter& adapter, const std::string& module, Dense w, const Dense& x) {
  const PeftLayer* layer = adapter.find(module);
  REQUIRE(layer != nullptr);
  const double s = adapter.config.scale_of(module);
  for (Index o = 0; o < w.rows; ++o) {
    for (Index i = 0; i < w.cols; ++i) {
      for (Index r = 0; r < layer->rank; ++r) {
        w(o, i) += s * double{layer->b_view()(o, r)} * double{layer->a_view()(r, i)};
      }
    }
  }
  return test::times_transposed(x, w);
}

/// Float sums of at most 20 + 12 products, each off by 6e-8 of its size, with room for scales.
double tolerance(const Dense& y) { return 1e-5 * test::largest(y); }

template <class V>
void check_same_function(Toy<V>& toy, const PeftAdapter& adapter) {
  for (std::size_t i = 0; i < toy.names.size(); ++i) {
    CAPTURE(toy.names[i]);
    const Dense y = toy.output(i);
    const Dense w = toy.value(toy.names[i] + ".weight");
    const Dense x = toy.input(toy.names[i]);
    CHECK(test::distance(y, applied(adapter, toy.names[i], w, x)) < tolerance(y));
    CHECK(test::distance(y, test::times_transposed(x, w)) > 1e-2 * test::largest(y));
  }
}

/// A LoRA of rank `rank` on every linear of a toy, numbers from `seed`.
template <class V>
PeftAdapter random_adapter(const Toy<V>& toy, Index rank, double alpha, std::uint64_t seed) {
  PeftAdapter adapter;
  adapter.config.r = rank;
  adapter.config.lora_alpha = alpha;
  adapter.config.target_modules = toy.names;
  for (const std::string& name : toy.names) {
    const auto& shape = toy.base.tensor(name + ".weight").shape;
    PeftLayer layer{name, shape[1], shape[0], rank, {}, {}, {}};
    const Random random = Random(seed).fork(name);
    for (Index i = 0; i < rank * (layer.in + layer.out); ++i) {
      auto& to = i < rank * layer.in ? layer.a : layer.b;
      to.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
    }
    adapter.layers.push_back(std::move(layer));
  }
  return adapter;
}

}  // namespace

TEST_CASE_TEMPLATE("LoRA and rsLoRA leave as what they compute", V, Lora<4>, RsLora<5>) {
  Toy<V> toy;
  toy.train();
  const PeftAdapter adapter = export_peft<V>(toy.parameters, toy.hyper);
  CHECK(adapter.config.r == V::rank);
  CHECK(adapter.config.lora_alpha == toy.hyper.alpha);
  CHECK(adapter.config.use_rslora == std::is_same_v<V, RsLora<5>>);
  CHECK(adapter.layers.size() == 14);
  check_same_function(toy, adapter);
}

TEST_CASE("what goes out comes back bit for bit, through files") {
  using V = Lora<4>;
  const test::TemporaryFolder folder;
  Toy<V> first;
  first.train();
  io::write_peft(folder.path(), export_peft<V>(first.parameters, first.hyper));
  Toy<V> second;
  import_peft<V>(io::read_peft(folder.path()), second.parameters, second.hyper);
  for (const auto& p : first.parameters) {
    CAPTURE(p.name);
    CHECK(second.value(p.name) == first.value(p.name));
  }
}

TEST_CASE("PEFT's own adapters run in the layer as they run in PEFT") {
  Toy<RsLora<5>> toy;
  Hyper hyper = toy.hyper;
  const PeftAdapter adapter = io::read_peft(golden / "rslora");
  REQUIRE(adapter.config.lora_alpha != hyper.alpha);  // s goes into B
  import_peft<RsLora<5>>(adapter, toy.parameters, hyper);
  const auto expected = io::SafeTensors::open(golden / "rslora" / "expected.safetensors");
  for (std::size_t i = 0; i < toy.names.size(); ++i) {
    CAPTURE(toy.names[i]);
    const Dense y = toy.output(i);
    Dense golden_y(y.rows, y.cols);
    expected.read(toy.names[i], std::span<double>(golden_y.data));
    CHECK(test::distance(y, golden_y) < tolerance(golden_y));
  }
}

TEST_CASE("an adapter on some linears, of ranks and alphas of its own, fits a wider LoRA") {
  using V = Lora<6>;
  Toy<V> toy;
  toy.train();
  const PeftAdapter adapter = io::read_peft(golden / "lora");
  check_mentions(error_of([&] { import_peft<V>(adapter, toy.parameters, toy.hyper); }),
                 "expected a layer 'model.layers.0.mlp.down_proj'");
  import_peft<V>(adapter, toy.parameters, toy.hyper, std::identity(), Absent::zero);
  const auto expected = io::SafeTensors::open(golden / "lora" / "expected.safetensors");
  for (std::size_t i = 0; i < toy.names.size(); ++i) {
    CAPTURE(toy.names[i]);
    const Dense y = toy.output(i);
    Dense want =
        test::times_transposed(toy.input(toy.names[i]), toy.value(toy.names[i] + ".weight"));
    if (expected.contains(toy.names[i])) {
      expected.read(toy.names[i], std::span<double>(want.data));
    }
    CHECK(test::distance(y, want) < tolerance(want));
  }
}

TEST_CASE("a router does not fit into PEFT, but a mixture under given gates does") {
  using V = MoeLora<2, 3>;
  Toy<V> toy;
  toy.train();
  check_mentions(error_of([&] { export_peft<V>(toy.parameters, toy.hyper); }), V::describe(),
                 "its gates depend on the input");
  const std::vector<double> gates{0.5, 0.0, -1.25};
  const PeftAdapter adapter = export_peft<V>(toy.parameters, toy.hyper, gates);
  CHECK(adapter.config.r == 4);
  for (const std::string& name : toy.names) {
    CAPTURE(name);
    const Dense x = toy.input(name);
    Dense y = test::times_transposed(x, toy.value(name + ".weight"));
    for (Index e = 0; e < 3; ++e) {
      const Dense u = test::times_transposed(x, toy.value(fmt::format("{}.lora_A.{}", name, e)));
      const Dense b = toy.value(fmt::format("{}.lora_B.{}", name, e));
      for (Index t = 0; t < y.rows; ++t) {
        for (Index o = 0; o < y.cols; ++o) {
          for (Index r = 0; r < 2; ++r) {
            y(t, o) += V::scale(toy.hyper) * gates[static_cast<std::size_t>(e)] * u(t, r) * b(r, o);
          }
        }
      }
    }
    CHECK(test::distance(y, applied(adapter, name, toy.value(name + ".weight"), x)) < tolerance(y));
  }
}

TEST_CASE("branches with a shared A merge to the rank of one") {
  using V = HydraLora<3, 2>;
  Toy<V> toy;
  toy.train();
  const PeftAdapter both = export_peft<V>(toy.parameters, toy.hyper, std::vector{1.0, 1.0});
  const PeftAdapter first = export_peft<V>(toy.parameters, toy.hyper, std::vector{1.0, 0.0});
  const PeftAdapter second = export_peft<V>(toy.parameters, toy.hyper, std::vector{0.0, 1.0});
  CHECK(both.config.r == 3);
  for (std::size_t i = 0; i < both.layers.size(); ++i) {
    CHECK(both.layers[i].a == first.layers[i].a);
    CHECK(both.layers[i].a == second.layers[i].a);
    for (std::size_t j = 0; j < both.layers[i].b.size(); ++j) {
      CHECK(both.layers[i].b[j] == first.layers[i].b[j] + second.layers[i].b[j]);
    }
  }
}

TEST_CASE("gates that say nothing are refused") {
  using V = MoeLora<2, 3>;
  Toy<V> toy;
  const auto refuse = [&](std::vector<double> gates, const char* part) {
    check_mentions(error_of([&] { export_peft<V>(toy.parameters, toy.hyper, gates); }), part);
  };
  refuse({1, 1}, "expected 3 gate weights, found 2");
  refuse({0, 0, 0}, "not all 0");
  refuse({1, 1, std::numeric_limits<double>::infinity()}, "finite");
}

TEST_CASE("a bank of adapters becomes the branches of a mixture, each with its own s") {
  using V = MoeLora<4, 3>;
  Toy<V> toy;
  const std::vector<PeftAdapter> bank{random_adapter(toy, 4, 8, 1), random_adapter(toy, 2, 3, 2),
                                      random_adapter(toy, 4, 1, 3)};
  import_peft<V>(bank, toy.parameters, toy.hyper);
  for (std::size_t e = 0; e < 3; ++e) {
    std::vector<double> gates(3);
    gates[e] = 1;
    const PeftAdapter out = export_peft<V>(toy.parameters, toy.hyper, gates);
    for (const std::string& name : toy.names) {
      CAPTURE(name);
      const Dense w = toy.value(name + ".weight");
      const Dense x = toy.input(name);
      const Dense y = applied(bank[e], name, w, x);
      CHECK(test::distance(applied(out, name, w, x), y) < tolerance(y));
    }
  }
  CHECK(toy.value(toy.names[0] + ".lora_A.0").data[0] == double{bank[0].layers[0].a[0]});
}

TEST_CASE("names are translated on the way out and in") {
  using V = Lora<2>;
  Toy<V> toy;
  toy.train();
  const auto outer = [](const std::string& name) { return "language_model." + name; };
  const PeftAdapter adapter = export_peft<V>(toy.parameters, toy.hyper, outer);
  CHECK(adapter.layers[0].module == "language_model.model.layers.0.mlp.down_proj");
  CHECK(adapter.config.targets(adapter.layers[0].module));
  import_peft<V>(adapter, toy.parameters, toy.hyper, outer);
  check_mentions(error_of([&] { import_peft<V>(adapter, toy.parameters, toy.hyper); }),
                 "expected a layer 'model.layers.0.mlp.down_proj'");
}

TEST_CASE("adapters that do not fit are refused, and change nothing") {
  using V = MoeLora<2, 2>;
  Toy<V> toy;
  toy.train();
  const std::string probe = toy.names[0] + ".lora_B.0";
  const Dense before = toy.value(probe);
  const auto refuse = [&](auto change, auto... parts) {
    std::vector<PeftAdapter> bank{random_adapter(toy, 2, 8, 1), random_adapter(toy, 2, 8, 2)};
    change(bank);
    check_mentions(error_of([&] { import_peft<V>(bank, toy.parameters, toy.hyper); }), parts...);
    CHECK(toy.value(probe) == before);
  };
  refuse([](auto& bank) { bank.pop_back(); }, "expected 2 PEFT adapters, found 1");
  refuse([](auto& bank) { bank[1].config.use_dora = true; }, "adapter 1", "DoRA");
  refuse([&](auto& bank) { bank[1] = random_adapter(toy, 3, 8, 2); }, "adapter 1",
         "'model.layers.0.mlp.down_proj'", "rank of at most 2, found 3");
  refuse([](auto& bank) { bank[1].layers.pop_back(); }, "adapter 1",
         "expected a layer 'model.layers.1.self_attn.v_proj'");
  refuse(
      [](auto& bank) {
        bank[0].layers.push_back({"lm_head", 1, 1, 2, {1, 1}, {1, 1}, {}});
      },
      "adapter 0", "no adapted linear for layer 'lm_head'");
  refuse([](auto& bank) { bank[0].layers[0].in = 7; }, "adapter 0", "20 inputs and 12 outputs",
         "7 and 12");
  B backend{1};
  ParameterSet<B> empty(backend);
  check_mentions(error_of([&] { export_peft<Lora<2>>(empty, Hyper()); }), "a model with adapters");
}

/// tests/peft_roundtrip.py names a folder in the environment and loads what is written there.
TEST_CASE("folders for the real PEFT to read") {
  const test::TemporaryFolder folder;
  const char* kept = std::getenv("BRANCHLORA_PEFT_OUT");
  const std::filesystem::path root = kept != nullptr ? kept : folder.path();
  const auto write = [&](const std::string& name, const PeftAdapter& adapter, auto output) {
    io::write_peft(root / name, adapter);
    std::vector<std::vector<double>> values;
    std::vector<io::TensorOut> tensors;
    for (const PeftLayer& layer : adapter.layers) {
      const Dense y = output(layer.module);
      values.push_back(y.data);
      tensors.push_back(
          io::tensor_out(layer.module, {y.rows, y.cols}, std::span<const double>(values.back())));
    }
    io::write_safetensors(root / name / "expected.safetensors", tensors);
    CHECK(io::read_peft(root / name).layers == adapter.layers);
  };
  const auto run = [&]<class V>(const std::string& name, Toy<V>& toy) {
    toy.train();
    write(name, export_peft<V>(toy.parameters, toy.hyper), [&](const std::string& module) {
      return toy.output(
          static_cast<std::size_t>(std::ranges::find(toy.names, module) - toy.names.begin()));
    });
  };
  Toy<Lora<4>> lora;
  run("exported_lora", lora);
  Toy<RsLora<5>> rs_lora;
  run("exported_rslora", rs_lora);

  Toy<MoeLora<2, 3>> mixture;
  mixture.train();
  const PeftAdapter merged =
      export_peft<MoeLora<2, 3>>(mixture.parameters, mixture.hyper, std::vector{0.5, 0.25, 0.25});
  write("exported_mixture", merged, [&](const std::string& module) {
    return applied(merged, module, mixture.value(module + ".weight"), mixture.input(module));
  });
  for (const char* name : {"lora", "rslora", "dora", "bfloat16"}) {
    const auto expected = io::SafeTensors::open(golden / name / "expected.safetensors");
    write(std::string("rewritten_") + name, io::read_peft(golden / name),
          [&](const std::string& module) {
            const auto& shape = expected.tensor(module).shape;
            Dense y(shape[0], shape[1]);
            expected.read(module, std::span<double>(y.data));
            return y;
          });
  }
}
