// A file of adapters and a snapshot of a run, whose JSON is changed by any JSON patch, are refused
// with an `Error`, or are adapters that compute.
#include <nlohmann/json.hpp>

#include <stdlib.h>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/continual/snapshot.hpp"
#include "branchlora/model/adapter_file.hpp"
#include "input.hpp"
#include "model/tiny_model.hpp"

namespace {

using namespace branchlora;

using V = BranchLora<2, 4, 2>;
using B = eigen::Backend<float>;

constexpr Hyper hyper{.alpha = 8.0};
const Method<B> method = method_of<B, V>();

/// A tiny model with fresh adapters.
struct Adapted : test::TinyModel<float> {
  Adapted() { net.attach(method, hyper, Random(1)); }

  void learn() {
    net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
    net.for_each_adapter([](auto& adapter) { adapter.end_task(); });
  }
  void compute() {
    const auto batch = test::batch_of({{-1, 0, {{{1, 5}, {6, 2}}}}});
    const auto found = logits(batch, bank(1));
    fuzz::require(found.rows > 0);
  }
};

/// A safetensors file in parts.
struct File {
  io::Metadata metadata;
  std::vector<io::TensorEntry> entries;
  std::string data;

  /// What `write(path)` writes.
  explicit File(auto write) {
    std::string folder = (std::filesystem::temp_directory_path() / "fuzz.XXXXXX").string();
    fuzz::require(::mkdtemp(folder.data()) != nullptr);
    const auto path = std::filesystem::path(folder) / "file";
    write(path);
    const auto file = io::SafeTensors::open(path);
    metadata = file.metadata();
    for (const std::string& name : file.names()) {
      const auto& [dtype, shape, bytes] = file.tensor(name);
      entries.push_back({name, dtype, shape});
      data.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    std::filesystem::remove_all(folder);
  }

  /// The file with the metadata's JSON text `key` changed.
  std::string patched(const std::string& key, const io::Json& patch) const {
    io::Metadata changed = metadata;
    changed.at(key) = io::parse_json(metadata.at(key), key).patch(patch).dump();
    auto sorted = entries;
    const std::string header = io::detail::safetensors_header("input", sorted, changed);
    const std::uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
  }
};

/// Patches and loads a file; a patch that does not fit is passed over.
void check(const File& file, const std::string& key, const io::Json& patch, auto load) {
  std::string changed;
  try {
    changed = file.patched(key, patch);
  } catch (const io::Json::exception&) {
    return;
  }
  fuzz::attempt([&] {
    Adapted model;
    load(fuzz::as_file(changed), model.net);
    model.compute();
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const File adapters([](const auto& path) {
    Adapted model;
    model.learn();
    model::save_adapters<V>(path, model.net, hyper);
  });
  static const File snapshot([](const auto& path) {
    Adapted model;
    model.learn();
    continual::Progressed progress;
    progress.tasks_done = 1;
    continual::save_snapshot(path, model.net, method, progress, "run");
  });
  fuzz::attempt([&] {
    const auto patch = io::parse_json(fuzz::as_text(bytes, size), "input");
    check(adapters, "branchlora", patch,
          [](const auto& path, auto& net) { model::load_adapters<V>(path, net, hyper); });
    check(snapshot, "continual", patch, [](const auto& path, auto& net) {
      continual::load_snapshot(path, net, method, std::nullopt);
    });
  });
  return 0;
}
