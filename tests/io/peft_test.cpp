#include "branchlora/io/peft.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>

#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/half.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"
#include "support/naive.hpp"
#include "temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::io;
using test::check_mentions;
using test::Dense;
using test::error_of;

namespace {

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/peft";

Dense read(const SafeTensors& file, const std::string& name) {
  const auto& shape = file.tensor(name).shape;
  Dense m(shape.at(0), shape.at(1));
  file.read(name, std::span<double>(m.data));
  return m;
}

/// What the layer makes of x: W x + s B A x; DoRA scales the rows of W + s B A to its magnitude.
Dense adapted(const PeftLayer& layer, const PeftConfig& config, const Dense& w, const Dense& x) {
  Dense whole = w;
  const double s = config.scale_of(layer.module);
  for (Index o = 0; o < w.rows; ++o) {
    double square = 0;
    for (Index i = 0; i < w.cols; ++i) {
      for (Index r = 0; r < layer.rank; ++r) {
        whole(o, i) += s * double{layer.b_view()(o, r)} * double{layer.a_view()(r, i)};
      }
      square += whole(o, i) * whole(o, i);
    }
    if (!config.use_dora) continue;
    const double m = layer.magnitude.at(static_cast<std::size_t>(o));
    for (Index i = 0; i < w.cols; ++i) whole(o, i) *= m / std::sqrt(square);
  }
  return test::times_transposed(x, whole);
}

/// An adapter of one layer "model.q_proj", 3 inputs, 2 outputs, rank 1.
PeftAdapter small() {
  PeftAdapter adapter;
  adapter.config.r = 1;
  adapter.config.target_modules = std::vector<std::string>{"q_proj"};
  adapter.layers.push_back({"model.q_proj", 3, 2, 1, {1, 2, 3}, {4, 5}, {}});
  return adapter;
}

/// The message with which a folder is refused that holds `small()` with other tensors.
std::string refused(const std::vector<TensorOut>& tensors) {
  const test::TemporaryFolder folder;
  write_peft(folder.path(), small());
  write_safetensors(folder.path() / "adapter_model.safetensors", tensors);
  return error_of([&] { read_peft(folder.path()); });
}

const std::vector<float> numbers(6, 1.0F);

TensorOut tensor(const std::string& name, std::vector<Index> shape) {
  Index size = 1;
  for (const Index extent : shape) size *= extent;
  return tensor_out("base_model.model.model." + name, std::move(shape),
                    std::span<const float>(numbers).first(static_cast<std::size_t>(size)));
}

}  // namespace

TEST_CASE("adapters that PEFT saved give what PEFT gives") {
  const auto base = SafeTensors::open(golden / "base.safetensors");
  for (const char* name : {"lora", "rslora", "dora", "bfloat16"}) {
    CAPTURE(name);
    const PeftAdapter adapter = read_peft(golden / name);
    const auto expected = SafeTensors::open(golden / name / "expected.safetensors");
    REQUIRE(expected.names().size() == adapter.layers.size());
    for (const PeftLayer& layer : adapter.layers) {
      CAPTURE(layer.module);
      const Dense w = read(base, layer.module + ".weight");
      const Dense x = read(base, "x." + layer.module);
      const Dense y = read(expected, layer.module);
      // PyTorch computes in float: sums of at most 20 products, each off by 6e-8 of its size.
      CHECK(test::distance(adapted(layer, adapter.config, w, x), y) < 1e-5 * test::largest(y));
      CHECK(test::distance(test::times_transposed(x, w), y) > 1e-2 * test::largest(y));
    }
  }
}

TEST_CASE("settings that PEFT saved are read") {
  const PeftConfig config = read_peft(golden / "lora").config;
  CHECK(config.r == 4);
  CHECK(config.lora_alpha == 6);
  CHECK(config.task_type == "CAUSAL_LM");
  CHECK(config.peft_version == "0.21.2");
  CHECK(std::get<0>(config.target_modules) == std::vector<std::string>{"q_proj", "v_proj"});
  CHECK(config.rank_of("model.layers.1.self_attn.v_proj") == 2);
  CHECK(config.alpha_of("model.layers.0.self_attn.q_proj") == 10);
  CHECK(read_peft(golden / "rslora").config.use_rslora);
  CHECK(read_peft(golden / "dora").config.use_dora);
}

TEST_CASE("what PEFT saved is written again bit for bit") {
  for (const char* name : {"lora", "rslora", "dora"}) {
    CAPTURE(name);
    const test::TemporaryFolder folder;
    const PeftAdapter adapter = read_peft(golden / name);
    write_peft(folder.path() / "new", adapter);
    const auto was = SafeTensors::open(golden / name / "adapter_model.safetensors");
    const auto is = SafeTensors::open(folder.path() / "new" / "adapter_model.safetensors");
    REQUIRE(is.names() == was.names());
    CHECK(is.metadata() == was.metadata());
    for (const auto& tensor : was.names()) {
      CAPTURE(tensor);
      CHECK(is.tensor(tensor).dtype == was.tensor(tensor).dtype);
      CHECK(is.tensor(tensor).shape == was.tensor(tensor).shape);
      CHECK(std::ranges::equal(is.tensor(tensor).bytes, was.tensor(tensor).bytes));
    }
    const PeftAdapter again = read_peft(folder.path() / "new");
    CHECK(again.config == adapter.config);
    CHECK(again.layers == adapter.layers);
    const Json before = read_json(golden / name / "adapter_config.json");
    const Json after = read_json(folder.path() / "new" / "adapter_config.json");
    for (const auto& [key, value] : after.items()) {
      if (key == "target_modules") continue;  // a set, compared above
      CAPTURE(key);
      CHECK(before.at(key) == value);
    }
  }
}

TEST_CASE("half precision is widened") {
  const PeftAdapter adapter = read_peft(golden / "bfloat16");
  const auto file = SafeTensors::open(golden / "bfloat16" / "adapter_model.safetensors");
  const auto& layer = adapter.layers.at(0);
  const auto& bits = file.tensor("base_model.model." + layer.module + ".lora_A.weight");
  REQUIRE(bits.dtype == Dtype::BF16);
  std::uint16_t first = 0;
  std::memcpy(&first, bits.bytes.data(), 2);
  CHECK(layer.a[0] == bf16_to_float(first));
}

TEST_CASE("a card is written where there is none, and one that is there stays") {
  const test::TemporaryFolder folder;
  PeftAdapter adapter = small();
  adapter.config.base_model_name_or_path = "a \"b\"";
  write_peft(folder.path() / "new", adapter);
  check_mentions(read_file(folder.path() / "new/README.md"), "library_name: peft\n",
                 "base_model: \"a \\\"b\\\"\"\n");
  folder.write("old/README.md", "mine");
  write_peft(folder.path() / "old", adapter);
  CHECK(read_file(folder.path() / "old/README.md") == "mine");
}

TEST_CASE("tensors that are no linear layer's adapter are refused, each by name") {
  const auto a = tensor("q_proj.lora_A.weight", {1, 3});
  const auto b = tensor("q_proj.lora_B.weight", {2, 1});
  const std::vector<std::int32_t> whole{1, 2};
  check_mentions(refused({a}), "adapter_model.safetensors",
                 "'base_model.model.model.q_proj.lora_B.weight'", "found none");
  check_mentions(refused({b}), "q_proj.lora_A.weight", "found none");
  check_mentions(refused({}), "one layer at least");
  check_mentions(refused({a, tensor("q_proj.lora_B.weight", {2, 2})}), "'model.q_proj'",
                 "A has rank 1 (1 x 3)", "B has rank 2 (2 x 2)");
  check_mentions(
      refused({tensor("q_proj.lora_A.weight", {2, 3}), tensor("q_proj.lora_B.weight", {3, 2})}),
      "the settings give rank 1, the tensors have rank 2");
  check_mentions(refused({a, tensor_out<std::int32_t>("base_model.model.model.q_proj.lora_B.weight",
                                                      {2, 1}, whole)}),
                 "q_proj.lora_B.weight", "found I32");
  check_mentions(refused({tensor("q_proj.lora_A.weight", {1, 3, 1, 1}), b}), "q_proj.lora_A.weight",
                 "[1, 3, 1, 1]");
  check_mentions(refused({tensor("q_proj.lora_A.weight", {0, 3}), b}), "[0, 3]");
  check_mentions(
      refused({a, b, tensor("x.lora_A.weight", {1, 3}), tensor("x.lora_B.weight", {2, 1})}),
      "'model.x'", "target_modules");
  check_mentions(refused({a, b, tensor("embed.lora_embedding_A", {1, 3})}), "lora_embedding_A");
  check_mentions(refused({a, b, tensor("lm_head.weight", {1, 3})}), "lm_head.weight");
  check_mentions(refused({a, b, tensor("q_proj.lora_magnitude_vector", {2})}), "'model.q_proj'",
                 "use_dora is false");
  check_mentions(
      refused({a, b, tensor_out<float>("q_proj.lora_A.weight", {1}, {numbers.data(), 1})}),
      "begins with 'base_model.model.'");
}

TEST_CASE("DoRA needs its magnitudes") {
  const test::TemporaryFolder folder;
  PeftAdapter adapter = small();
  adapter.config.use_dora = true;
  check_mentions(error_of([&] { write_peft(folder.path(), adapter); }), "magnitude of 2 numbers",
                 "found 0");
  adapter.layers[0].magnitude = {1, 2};
  write_peft(folder.path(), adapter);
  CHECK(read_peft(folder.path()).layers == adapter.layers);
  write_safetensors(folder.path() / "adapter_model.safetensors",
                    {tensor("q_proj.lora_A.weight", {1, 3}), tensor("q_proj.lora_B.weight", {2, 1}),
                     tensor("q_proj.lora_magnitude_vector", {3})});
  check_mentions(error_of([&] { read_peft(folder.path()); }), "lora_magnitude_vector",
                 "expected 2 numbers, found 3");
}

TEST_CASE("files that are missing or cut are refused") {
  const test::TemporaryFolder folder;
  check_mentions(error_of([&] { read_peft(folder.path()); }), "adapter_config.json");
  write_peft(folder.path(), small());
  const auto path = folder.path() / "adapter_model.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  check_mentions(error_of([&] { read_peft(folder.path()); }), path.string(), "bytes of data");
  std::filesystem::remove(path);
  check_mentions(error_of([&] { read_peft(folder.path()); }), path.string());
  folder.write("adapter_config.json", "{\"peft_type\":");
  check_mentions(error_of([&] { read_peft(folder.path()); }), "adapter_config.json", "valid JSON");
}

TEST_CASE("an adapter that contradicts itself is not written") {
  const test::TemporaryFolder folder;
  const auto refuse = [&](auto change, const char* part) {
    PeftAdapter adapter = small();
    change(adapter);
    check_mentions(error_of([&] { write_peft(folder.path() / "x", adapter); }), "model.q_proj",
                   part);
  };
  refuse([](auto& a) { a.layers[0].b.pop_back(); }, "3 and 1 numbers");
  refuse([](auto& a) { a.config.r = 2; }, "the settings give rank 2");
  refuse([](auto& a) { a.config.target_modules = std::vector<std::string>{"v"}; },
         "target_modules");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "x"));
}
