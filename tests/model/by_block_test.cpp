#include "branchlora/adapter/by_block.hpp"

#include <doctest/doctest.h>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/mola.hpp"
#include "branchlora/model/attach_adapters.hpp"
#include "model/tiny_model.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using Double = eigen::Backend<double>;
using Mola24 = Mola<3, 2, 4>;
// Routers of tasks, and more branches to freeze in the upper block.
using Branches24 = ByBlock<BranchLora<3, 2, 1>::with<freezing::MostActive<1>>,
                           BranchLora<3, 4, 2>::with<freezing::MostActive<1>>>;

constexpr Hyper hyper{.alpha = 6.0, .temperature = 0.5};

template <class V>
void attach_and_train(TinyModel<float>& model) {
  model.net.attach(method_of<eigen::Backend<float>, V>(), hyper, Random(3));
  for (Index task = 0; task < 2; ++task) {
    model.net.for_each_adapter([&](auto& adapter) { adapter.begin_task(task); });
    model.randomise(".lora_", 0.3);
    model.randomise(".router", 0.3);
    model.net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
  }
}

model::Batch some_batch() {
  return batch_of({{0, 0, {{{1, 4, 5}, {2, 3}}}}, {1, 1, {{{1, 9, 3}, {6}}}}});
}

// Which of four variants stands in each of some blocks.
std::vector<int> shares(std::int64_t blocks) {
  using V = ByBlock<Lora<1>, Lora<2>, Lora<3>, Lora<4>>;
  std::vector<int> ranks;
  for (std::int64_t b = 0; b < blocks; ++b) {
    ranks.push_back(V::at(b, blocks, []<class U>(std::type_identity<U>) { return U::rank; }));
  }
  return ranks;
}

}  // namespace

TEST_CASE("blocks are shared out from the lowest") {
  CHECK(shares(4) == std::vector<int>{1, 2, 3, 4});
  CHECK(shares(8) == std::vector<int>{1, 1, 2, 2, 3, 3, 4, 4});
  CHECK(shares(6) == std::vector<int>{1, 1, 2, 3, 3, 4});
  CHECK(shares(2) == std::vector<int>{1, 3});
  CHECK(Mola24::describe() ==
        "ByBlock<" + MolaBlock<3, 2>::describe() + ", " + MolaBlock<3, 4>::describe() + ">");
}

TEST_CASE("MoLA: a model has the experts of each block, and is priced so") {
  TinyModel<double> model;
  model.net.attach(method_of<Double, Mola24>(), hyper, Random(5));
  model.net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  CHECK(to_dense(model.net.parameters().find("decoder.block.0.q.router")->value).rows == 2);
  CHECK(to_dense(model.net.parameters().find("decoder.block.1.down.router")->value).rows == 4);
  Parameters counted;
  for (const auto& p : model.net.parameters()) {
    if (p.name.find(".lora_A") != std::string::npos) counted.a += p.value.size();
    if (p.name.find(".lora_B") != std::string::npos) counted.b += p.value.size();
    if (p.name.find(".router") != std::string::npos) counted.router += p.value.size();
  }
  static_assert(parameters<Mola24>(tiny_shape).total() > 0);
  CHECK(parameters<Mola24>(tiny_shape) == counted);

  // Two experts a token in both blocks: what differs is the router.
  constexpr Flops f = flops<Mola24>(tiny_shape, 5);
  constexpr std::int64_t experts = 2 * 5 * 2 * 3 * (16 + 12 + 12 + 16 + 14 + 14 + 14);
  constexpr std::int64_t routers = 2 * 5 * (2 + 4) * (6 * 8 + 6);
  CHECK(f.adapter.forward == 2 * experts + routers);
  CHECK(f.frozen.forward == 2 * 2 * 5 * (8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 6));

  // On LLaVA-1.5 7B each group of eight layers costs what its layers cost.
  using Paper = Mola<8, 2, 4, 6, 8>;
  const auto total = [](std::int64_t layers, auto variant) {
    ModelShape shape = llava_7b;
    shape.layers = layers;
    return parameters<typename decltype(variant)::type>(shape).total();
  };
  CHECK(parameters<Paper>(llava_7b).total() == total(8, std::type_identity<MolaBlock<8, 2>>{}) +
                                                   total(8, std::type_identity<MolaBlock<8, 4>>{}) +
                                                   total(8, std::type_identity<MolaBlock<8, 6>>{}) +
                                                   total(8, std::type_identity<MolaBlock<8, 8>>{}));
}

TEST_CASE_TEMPLATE("what differs by block starts at zero and trains in all blocks", V, Mola24,
                   Branches24) {
  const model::Batch batch = some_batch();
  TinyModel<double> plain;
  const auto bank = plain.bank(2);
  TinyModel<double> model;
  model.net.attach(method_of<Double, V>(), hyper, Random(3));
  model.net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  if (V::per_task_router) {
    model.net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
    model.net.for_each_adapter([](auto& adapter) { adapter.begin_task(1); });
  }
  CHECK(model.logits(batch, bank) == plain.logits(batch, bank));

  model.randomise(".lora_B", 0.3);
  model.tape.reset();
  model.net.parameters().clear_gradients();
  const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
  const auto logits =
      model.net.logits(model.tape, batch, model.net.gather(model.tape, batch, bank), routing);
  model.tape.backward(op::cross_entropy(model.tape, logits, batch.targets));
  for (const auto& p : model.net.parameters()) {
    if (!p.trainable || p.name.find(".lora_A") == std::string::npos) continue;
    CAPTURE(p.name);
    CHECK(p.has_grad);
  }
}

TEST_CASE_TEMPLATE("adapters that differ by block come back from a file", V, Mola24, Branches24) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adapters";
  TinyModel<float> whole;
  attach_and_train<V>(whole);
  model::save_adapters<V>(path, whole.net, hyper);
  TinyModel<float> model;
  model::attach_adapters<Lora4, Mola24, Branches24>(path, model.net);
  const model::Batch batch = some_batch();
  const auto bank = whole.bank(2);
  CHECK(model.logits(batch, bank) == whole.logits(batch, bank));
  CHECK_THROWS_AS((model::attach_adapters<Lora4, Mola<3, 4, 2>>(path, model.net)), Error);
}
