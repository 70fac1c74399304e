#include "branchlora/model/published/merge_peft.hpp"

#include <doctest/doctest.h>

#include "../../io/temporary_folder.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/io/safetensors.hpp"
#include "support/naive.hpp"

using namespace branchlora;
using namespace branchlora::test;
using model::published::merge_peft;

namespace {

using B = eigen::Backend<double>;

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/peft";

Dense read(const io::SafeTensors& file, const std::string& name) {
  const auto& shape = file.tensor(name).shape;
  Dense m(shape.at(0), shape.at(1));
  file.read(name, std::span<double>(m.data));
  return m;
}

/// The linears of the golden toy model.
struct Toy {
  Toy() {
    for (const std::string& name : base.names()) {
      if (!name.ends_with(".weight")) continue;
      const Dense w = read(base, name);
      auto& p = parameters.add(name, w.rows, w.cols);
      backend.upload(p.value.data, w.data.data(), w.data.size() * sizeof(double));
    }
  }

  io::SafeTensors base = io::SafeTensors::open(golden / "base.safetensors");
  B backend{1};
  ParameterSet<B> parameters{backend};
};

}  // namespace

TEST_CASE("merged weights give what PEFT's adapted layers give") {
  // The files are in float: outputs of a few tens of products differ by some 1e-7 of the largest.
  for (const char* name : {"lora", "rslora", "dora", "bfloat16"}) {
    CAPTURE(name);
    Toy toy;
    const auto adapter = io::read_peft(golden / name);
    merge_peft(adapter, toy.parameters, std::identity{});
    const auto expected = io::SafeTensors::open(golden / name / "expected.safetensors");
    REQUIRE(expected.names().size() == adapter.layers.size());
    std::size_t changed = 0;
    for (const auto& p : toy.parameters) {
      const std::string module = p.name.substr(0, p.name.size() - 7);
      const Dense w = to_dense(p.value);
      const bool adapted = adapter.find(module) != nullptr;
      changed += adapted ? 1 : 0;
      CAPTURE(module);
      CHECK((distance(w, read(toy.base, p.name)) > 0.01) == adapted);
      if (!adapted) continue;
      const Dense out = times_transposed(read(toy.base, "x." + module), w);
      const Dense known = read(expected, module);
      CHECK(distance(out, known) < 1e-6 * largest(known));
    }
    CHECK(changed == adapter.layers.size());
  }
}

TEST_CASE("a layer that the model lacks, or has in another size, is refused") {
  Toy toy;
  auto adapter = io::read_peft(golden / "lora");
  const std::string first = adapter.layers.front().module;
  const auto names = [&](const std::string& layer) { return layer == first ? "" : layer; };
  check_mentions(error_of([&] { merge_peft(adapter, toy.parameters, names); }), first, "no linear");
  adapter.layers.front().out = 13;
  check_mentions(error_of([&] { merge_peft(adapter, toy.parameters, std::identity{}); }), first,
                 "12 inputs and 12 outputs", "12 and 13");
}
