#include "branchlora/model/attach_adapters.hpp"

#include <doctest/doctest.h>

#include "../io/temporary_folder.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "model/tiny_model.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

constexpr Hyper hyper{.alpha = 8.0, .temperature = 0.5};

/// Adapters of `V` after two tasks, in a file.
template <class V>
void write(const std::filesystem::path& path) {
  TinyModel<float> model;
  model.net.attach(method_of<eigen::Backend<float>, V>(), hyper, Random(3));
  for (Index task = 0; task < 2; ++task) {
    model.net.for_each_adapter([&](auto& adapter) { adapter.begin_task(task); });
    model.randomise(".lora_", 0.3);
    model.randomise(".router", 0.3);
    model.net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
  }
  model::save_adapters<V>(path, model.net, hyper);
}

}  // namespace

TEST_CASE_TEMPLATE("adapters of any listed variant are recognised", V, Lora4, Moe, Branch) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adapters";
  write<V>(path);
  TinyModel<float> model;
  model::attach_adapters<Lora4, Moe, Branch>(path, model.net);
  // Saved again, they are the same to the bit, numbers that change the function among them.
  model::save_adapters<V>(folder.path() / "again", model.net, hyper);
  CHECK(io::read_file(folder.path() / "again") == io::read_file(path));
}

TEST_CASE("other variants and other files are refused by name") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adapters";
  write<Branch>(path);
  TinyModel<float> model;
  check_mentions(error_of([&] { model::attach_adapters<Lora4, Moe>(path, model.net); }),
                 path.string(), Lora4::describe(), Moe::describe(), "TopK<2>");
  const auto refuse = [&](const io::Metadata& metadata, auto... parts) {
    io::write_safetensors(path, {}, metadata);
    check_mentions(error_of([&] { model::attach_adapters<Lora4>(path, model.net); }), path.string(),
                   parts...);
  };
  refuse({}, "no 'branchlora'");
  refuse({{"branchlora", "{}"}}, "can not be read");
  refuse({{"branchlora", "{"}});
}
