#include "branchlora/model/checkpoint.hpp"

#include <doctest/doctest.h>

#include <map>

#include "../io/temporary_folder.hpp"
#include "model/tiny_model.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

const auto everything = [](const auto&) { return true; };

using Values = std::map<std::string, Dense>;

Values values_of(TinyModel<float>& tiny) {
  Values values;
  for (const auto& p : tiny.net.parameters()) values[p.name] = to_dense(p.value);
  return values;
}

}  // namespace

TEST_CASE("a model comes back bit for bit") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  TinyModel<float> first;
  model::save_parameters(path, first.net.parameters(), everything, {{"note", "hello"}});
  TinyModel<float> second(tiny_config(), 2);
  REQUIRE(values_of(first) != values_of(second));
  const auto file = io::SafeTensors::open(path);
  CHECK(file.metadata().at("note") == "hello");
  CHECK(std::ssize(file.names()) == first.net.parameters().size());
  model::load_parameters(file, second.net.parameters(), everything);
  CHECK(values_of(first) == values_of(second));
}

TEST_CASE("only what is wanted is written and read") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "projector.safetensors";
  const auto wanted = [](const auto& p) { return p.name.starts_with("projector."); };
  TinyModel<float> first;
  model::save_parameters(path, first.net.parameters(), wanted, {});
  TinyModel<float> second(tiny_config(), 2);
  const Values before = values_of(second);
  model::load_parameters(io::SafeTensors::open(path), second.net.parameters(), wanted);
  for (const auto& [name, value] : values_of(second)) {
    CAPTURE(name);
    CHECK(value == (name.starts_with("projector.") ? values_of(first) : before).at(name));
  }
}

TEST_CASE("a missing tensor and a wrong shape are named, with their file") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "odd.safetensors";
  TinyModel<float> tiny;
  const auto load = [&](const model::ModelConfig& config) {
    return error_of([&] {
      TinyModel<float> other(config);
      model::load_parameters(io::SafeTensors::open(path), other.net.parameters(), everything);
    });
  };
  model::save_parameters(path, tiny.net.parameters(),
                         [](const auto& p) { return p.name != "decoder.block.1.k.weight"; }, {});
  check_mentions(load(tiny_config()), path.string(), "decoder.block.1.k.weight", "found none");

  model::save_parameters(path, tiny.net.parameters(), everything, {});
  auto config = tiny_config();
  config.decoder.vocabulary = 12;
  check_mentions(load(config), path.string(), "decoder.embedding", "12 x 8", "[11, 8]");
}

TEST_CASE("a model in double reads what one in float wrote") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  TinyModel<float> first;
  model::save_parameters(path, first.net.parameters(), everything, {});
  TinyModel<double> second(tiny_config(), 2);
  model::load_parameters(io::SafeTensors::open(path), second.net.parameters(), everything);
  for (const auto& [name, value] : values_of(first)) CHECK(second.value(name) == value);
}
