#include "branchlora/generator/weights.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/icm_lora.hpp"
#include "branchlora/generator/checkpoint_bank.hpp"
#include "io/temporary_folder.hpp"
#include "model/samples.hpp"
#include "model/tiny_model.hpp"

using namespace branchlora;
using namespace branchlora::generator;
using namespace branchlora::test;

namespace {

using B = eigen::Backend<float>;

const auto is_adapter = [](const auto& p) { return p.name.find(".lora_") != std::string::npos; };

/// The tiny model with adapters of this seed.
struct Adapted {
  explicit Adapted(std::uint64_t seed) {
    tiny.net.freeze_base(Storage::full, 0);
    tiny.net.attach(method_of<B, IcmLora<2>>(), icm_lora_hyper, Random(seed));
    for (auto& p : tiny.net.parameters()) {
      if (is_adapter(p)) {
        assign(p.value, random_dense(p.value.rows, p.value.cols,
                                     seed * 1000 + static_cast<std::uint64_t>(stream++), 0.2));
      }
    }
  }
  Dense logits() {
    const auto bank = tiny.bank(1);
    return tiny.logits(batch_of({{0, 0, {{{1, 4, 5}, {6, 2}}}}}), bank);
  }

  TinyModel<float> tiny;
  Index stream = 0;
};

}  // namespace

TEST_CASE("weights leave one model and enter another") {
  Adapted from(1);
  Adapted to(2);
  const Weights weights = weights_of(from.tiny.net.parameters(), is_adapter);
  CHECK(weights.size() == 2 * 7 * 2);  // A and B of seven linears in two blocks
  CHECK(distance(from.logits(), to.logits()) > 0);
  load_weights(to.tiny.net.parameters(), weights);
  CHECK(from.logits() == to.logits());
}

TEST_CASE("an adapter goes through the bank") {
  Adapted from(1);
  Adapted to(2);
  CheckpointBank bank;
  bank.add(0, weights_of(from.tiny.net.parameters(), is_adapter));
  load_weights(to.tiny.net.parameters(), bank.weights(bank.reference(0)));
  // Each weight is off by the rounding of its z-score, 3e-7 of its size, through two blocks.
  const Dense expected = from.logits();
  CHECK(distance(expected, to.logits()) <= 1e-4 * std::max(1.0, largest(expected)));
}

TEST_CASE("loading refuses weights of another model") {
  Adapted model(1);
  auto& parameters = model.tiny.net.parameters();
  Weights weights = weights_of(parameters, is_adapter);
  const std::string name = weights[0].name;
  weights[0].shape = {1, std::ssize(weights[0].values)};
  check_mentions(error_of([&] { load_weights(parameters, weights); }), name, "shape");
  check_mentions(error_of([&] {
                   load_weights(parameters, {{"nobody", {1, 1}, {0}}});
                 }),
                 "nobody", "none");
}
