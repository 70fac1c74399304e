#include "branchlora/model/adapter_file.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <map>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "model/tiny_model.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

constexpr Hyper hyper{.alpha = 8.0};

/// A tiny model with fresh adapters of `V`.
template <class V>
struct Adapted : TinyModel<float> {
  explicit Adapted(std::uint64_t seed) { net.attach(method_of<B, V>(), hyper, Random(seed)); }

  /// Two tasks with different traces: routers, frozen branches, numbers everywhere.
  void train() {
    for (Index task = 0; task < 2; ++task) {
      net.for_each_adapter([&](auto& adapter) { adapter.begin_task(task); });
      randomise(".lora_", 0.3);
      randomise(".router", 0.3);
      net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
    }
  }

  std::map<std::string, Dense> values() {
    std::map<std::string, Dense> values;
    for (const auto& p : net.parameters()) values[p.name] = to_dense(p.value);
    return values;
  }
  std::vector<std::vector<std::uint64_t>> states() {
    std::vector<std::vector<std::uint64_t>> states;
    net.for_each_adapter([&](auto& adapter) { states.push_back(adapter.state()); });
    return states;
  }
};

/// A file of BranchLoRA adapters, as the tests of its refusal begin with.
std::filesystem::path branch_file(const TemporaryFolder& folder) {
  Adapted<Branch> model(1);
  model.train();
  model::save_adapters<Branch>(folder.path() / "branch", model.net, hyper);
  return folder.path() / "branch";
}

}  // namespace

TEST_CASE_TEMPLATE("adapters come back whole, and nothing else does", V, Lora4, Moe, Hydra, Branch,
                   BranchFrozenOnly, BranchGrow, LoraPissa, BankPissa) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adapters";
  Adapted<V> first(1);
  first.train();
  first.randomise("decoder.embedding", 1.0);  // the base differs
  model::save_adapters<V>(path, first.net, hyper);
  Adapted<V> second(2);
  const auto before = second.values();
  model::load_adapters<V>(path, second.net, hyper);
  CHECK(second.states() == first.states());
  const auto was = first.values();
  const auto is = second.values();
  REQUIRE(is.size() == was.size());
  std::size_t adapters = 0;
  for (const auto& [name, value] : is) {
    CAPTURE(name);
    const bool ours = name.find(".lora_") != name.npos || name.find(".router") != name.npos;
    CHECK(value == (ours ? was : before).at(name));
    adapters += ours ? 1 : 0;
  }
  CHECK(io::SafeTensors::open(path).names().size() == adapters);
}

TEST_CASE("every policy that differs is named, and alpha") {
  const TemporaryFolder folder;
  const auto path = branch_file(folder);
  using Other = Branch::with<TopK<3>, trunk::Separate>;
  Adapted<Other> other(1);
  const auto before = other.values();
  const auto message =
      error_of([&] { model::load_adapters<Other>(path, other.net, Hyper{.alpha = 4.0}); });
  check_mentions(message, path.string(), "TopK: file has TopK<2>, this program has TopK<3>",
                 "trunk: file has trunk::Shared, this program has trunk::Separate",
                 "alpha: file has 8, this program has 4");
  CHECK(message.find("router") == message.npos);
  CHECK(other.values() == before);
}

TEST_CASE("another temperature is another function, and a file that does not say is refused") {
  const TemporaryFolder folder;
  const auto path = branch_file(folder);
  Adapted<Branch> model(1);
  const Hyper warm{.alpha = 8.0, .dropout = 0.5, .balance_weight = 7, .temperature = 0.5};
  check_mentions(error_of([&] { model::load_adapters<Branch>(path, model.net, warm); }),
                 path.string(), "temperature: file has 1, this program has 0.5.");
  // What acts in training alone may differ.
  model::load_adapters<Branch>(path, model.net, {.alpha = 8.0, .dropout = 0.5, .bias_rate = 1});

  auto metadata = io::SafeTensors::open(path).metadata();
  auto about = io::Json::parse(metadata.at("branchlora"));
  about.erase("temperature");
  io::write_safetensors(path, {}, {{"branchlora", about.dump()}});
  check_mentions(error_of([&] { model::load_adapters<Branch>(path, model.net, hyper); }),
                 path.string(), "temperature: file has none, this program has 1.");
}

TEST_CASE("files that are no adapters of this model are refused") {
  const TemporaryFolder folder;
  Adapted<Branch> model(1);
  const auto path = folder.path() / "file";
  const auto refuse = [&](const io::Metadata& metadata, auto... parts) {
    io::write_safetensors(path, {}, metadata);
    check_mentions(error_of([&] { model::load_adapters<Branch>(path, model.net, hyper); }),
                   path.string(), parts...);
  };
  const io::Json policies(policy_table<Branch>());
  const auto about = [&](int format, const io::Json& layers) {
    return io::Json{{"format", format},
                    {"policies", policies},
                    {"alpha", 8},
                    {"temperature", 1},
                    {"layers", layers}}
        .dump();
  };
  refuse({}, "'branchlora'");
  refuse({{"branchlora", "{"}}, "valid JSON");
  refuse({{"branchlora", "{}"}}, "can not be read");
  refuse({{"branchlora", about(2, io::Json::array())}}, "expected format 1, found 2");
  refuse({{"branchlora", about(1, {{{"name", "decoder.block.0.q"}}})}}, "decoder.block.1.down",
         "found [decoder.block.0.q]");

  TinyModel<float> bare;
  check_mentions(error_of([&] { model::save_adapters<Branch>(path, bare.net, hyper); }),
                 "a model with adapters");
}

TEST_CASE("a cut file and one without a tensor are refused") {
  const TemporaryFolder folder;
  const auto path = branch_file(folder);
  Adapted<Branch> model(1);
  const auto metadata = io::SafeTensors::open(path).metadata();
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4);
  check_mentions(error_of([&] { model::load_adapters<Branch>(path, model.net, hyper); }),
                 path.string(), "bytes of data");
  io::write_safetensors(path, {}, metadata);
  check_mentions(error_of([&] { model::load_adapters<Branch>(path, model.net, hyper); }),
                 path.string(), ".lora_A", "found none");
}
