// What opening a published checkpoint refuses, and what it takes of memory. What an opened one
// computes is in golden_test.cpp.
#include "branchlora/model/published/checkpoint.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "branchlora/eigen/backend.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "golden.hpp"
#include "io/sparse_file.hpp"
#include "io/temporary_folder.hpp"
#include "settings_text.hpp"

using namespace branchlora;
using model::published::Checkpoint;
using model::published::OpenOptions;
using test::check_mentions;
using test::error_of;

namespace {

struct Tensor {
  io::Dtype dtype;
  std::vector<Index> shape;
  std::vector<std::byte> bytes;
};

using Tensors = std::map<std::string, Tensor>;

/// A copy of a golden checkpoint, to be damaged.
class Copy {
 public:
  explicit Copy(const std::string& model) {
    std::filesystem::copy(test::golden_model(model), path());
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  std::string file(const std::string& name) const { return (path() / name).string(); }

  /// How a message about a tensor of a file begins.
  std::string at(const std::string& file_name, const std::string& tensor) const {
    return file(file_name) + ": tensor '" + tensor + "': ";
  }

  /// Changes the tensors of a file.
  const Copy& tensors(const std::string& name, auto change) const {
    Tensors all;
    const auto old = io::SafeTensors::open(path() / name);
    for (const std::string& tensor : old.names()) {
      const auto& [dtype, shape, bytes] = old.tensor(tensor);
      all[tensor] = {dtype, shape, {bytes.begin(), bytes.end()}};
    }
    change(all);
    std::vector<io::TensorOut> out;
    for (const auto& [tensor, t] : all) out.push_back({tensor, t.dtype, t.shape, t.bytes});
    io::write_safetensors(path() / name, out);
    return *this;
  }

  /// Changes which file the index names for a tensor.
  const Copy& index(const std::string& tensor, const std::string& shard) const {
    auto json = io::read_json(path() / index_name);
    json["weight_map"][tensor] = shard;
    folder_.write(index_name, json.dump());
    return *this;
  }

  /// Changes settings, as `with_changes` does.
  const Copy& settings(const char* changes) const {
    const std::string old = io::read_file(path() / "config.json");
    folder_.write("config.json", test::with_changes(old.c_str(), changes).dump());
    return *this;
  }

  std::string refusal(const OpenOptions& options = {}) const {
    return error_of([&] { Checkpoint::open(path(), options); });
  }

  static constexpr const char* index_name = "model.safetensors.index.json";

 private:
  test::TemporaryFolder folder_;
};

constexpr const char* one_file = "model.safetensors";

/// LLaVA-1.5-7B's settings, as transformers' converter left them.
constexpr const char* llava_7b = R"({
  "image_token_index": 32000, "model_type": "llava", "projector_hidden_act": "gelu",
  "text_config": {"max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05,
    "vocab_size": 32064},
  "vision_config": {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
    "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 24,
    "patch_size": 14, "projection_dim": 768},
  "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064})";

/// Its tensors, in the order in which they fill files.
std::vector<io::TensorEntry> tensors_7b() {
  std::vector<io::TensorEntry> all;
  const auto add = [&](const std::string& name, std::vector<Index> shape) {
    all.push_back({name, io::Dtype::F16, std::move(shape)});
  };
  const auto add_biased = [&](const std::string& name, Index out, std::vector<Index> shape) {
    add(name + ".weight", std::move(shape));
    add(name + ".bias", {out});
  };
  const std::string tower = "vision_tower.vision_model.";
  add(tower + "embeddings.class_embedding", {1024});
  add(tower + "embeddings.patch_embedding.weight", {1024, 3, 14, 14});
  add(tower + "embeddings.position_embedding.weight", {577, 1024});
  for (const char* norm : {"pre_layrnorm", "post_layernorm"})
    add_biased(tower + norm, 1024, {1024});
  for (int i = 0; i < 24; ++i) {
    const std::string layer = fmt::format("{}encoder.layers.{}.", tower, i);
    for (const char* norm : {"layer_norm1", "layer_norm2"}) add_biased(layer + norm, 1024, {1024});
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      add_biased(layer + "self_attn." + part, 1024, {1024, 1024});
    }
    add_biased(layer + "mlp.fc1", 4096, {4096, 1024});
    add_biased(layer + "mlp.fc2", 1024, {1024, 4096});
  }
  add_biased("multi_modal_projector.linear_1", 4096, {4096, 1024});
  add_biased("multi_modal_projector.linear_2", 4096, {4096, 4096});
  const std::string decoder = "language_model.model.";
  add(decoder + "embed_tokens.weight", {32064, 4096});
  for (int i = 0; i < 32; ++i) {
    const std::string layer = fmt::format("{}layers.{}.", decoder, i);
    for (const char* part : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      add(layer + "self_attn." + part + ".weight", {4096, 4096});
    }
    add(layer + "mlp.gate_proj.weight", {11008, 4096});
    add(layer + "mlp.up_proj.weight", {11008, 4096});
    add(layer + "mlp.down_proj.weight", {4096, 11008});
    add(layer + "input_layernorm.weight", {4096});
    add(layer + "post_attention_layernorm.weight", {4096});
  }
  add(decoder + "norm.weight", {4096});
  add("language_model.lm_head.weight", {32064, 4096});
  return all;
}

/// Writes LLaVA-1.5-7B in three files of holes. Gives the bytes of its tensors, or -1 where the
/// file system has no holes.
Index write_7b(const test::TemporaryFolder& folder) {
  const auto all = tensors_7b();
  io::Json map = io::Json::object();
  Index total = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(all.size() * i / 3);
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(all.size() * (i + 1) / 3);
    const std::string name = fmt::format("model-0000{}-of-00003.safetensors", i + 1);
    const Index bytes = test::write_sparse(folder.path() / name, {begin, end});
    if (bytes < 0) return -1;
    for (auto tensor = begin; tensor != end; ++tensor) map[tensor->name] = name;
    total += bytes;
  }
  folder.write(Copy::index_name, io::Json{{"weight_map", map}}.dump());
  folder.write("config.json", llava_7b);
  return total;
}

}  // namespace

TEST_CASE("a tensor that is missing") {
  const Copy llama("llama");
  CHECK_NOTHROW(Checkpoint::open(llama.path()));
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  llama.tensors(one_file, [&](Tensors& t) { t.erase(name); });
  CHECK(llama.refusal() ==
        llama.file(one_file) + ": expected a tensor '" + name + "', found none of that name");

  const Copy clip("clip");
  clip.tensors(one_file, [](Tensors& t) { t.erase("pre_layrnorm.bias"); });
  check_mentions(clip.refusal({.vision_layer = 0}), clip.file(one_file),
                 "expected a tensor 'pre_layrnorm.bias'");
}

TEST_CASE("a tensor too many") {
  const Copy llama("llama");
  const std::string name = "model.layers.1.self_attn.q_proj.bias";
  llama.tensors(one_file, [&](Tensors& t) {
    t[name] = {io::Dtype::U8, {3}, std::vector<std::byte>(3)};
  });
  CHECK(llama.refusal() ==
        llama.at(one_file, name) + "expected none of that name, found one of shape [3]");

  const Copy shards("llama-grouped");
  const std::string shard = "model-00003-of-00006.safetensors";
  shards.tensors(shard, [&](Tensors& t) {
    t["other"] = {io::Dtype::U8, {3}, std::vector<std::byte>(3)};
  });
  check_mentions(shards.refusal(), shards.at(shard, "other"), "index.json does not list it");
  shards.index("other", shard);
  CHECK(shards.refusal() ==
        shards.at(shard, "other") + "expected none of that name, found one of shape [3]");
}

TEST_CASE("a tensor of the wrong shape") {
  const Copy shards("llama-grouped");
  const std::string shard = "model-00003-of-00006.safetensors";
  const std::string key = "model.layers.1.self_attn.k_proj.weight";
  // As many numbers, in another shape.
  shards.tensors(shard, [&](Tensors& t) { t.at(key).shape = {32, 16}; });
  CHECK(shards.refusal() == shards.at(shard, key) + "expected shape [16, 32], found [32, 16]");

  const Copy llava("llava");
  const std::string patches = "vision_tower.vision_model.embeddings.patch_embedding.weight";
  llava.tensors(one_file, [&](Tensors& t) { t.at(patches).shape = {24, 48}; });
  CHECK(llava.refusal() ==
        llava.at(one_file, patches) + "expected shape [24, 3, 4, 4], found [24, 48]");
}

TEST_CASE("a tensor of the wrong type") {
  const Copy llama("llama");
  const std::string name = "model.norm.weight";
  llama.tensors(one_file, [&](Tensors& t) { t.at(name).dtype = io::Dtype::I32; });
  CHECK(llama.refusal() ==
        llama.at(one_file, name) + "expected type F32, F16, BF16 or F64, found I32");
  llama.tensors(one_file, [&](Tensors& t) {
    t.at(name) = {io::Dtype::F8E4M3, {32}, std::vector<std::byte>(32)};
  });
  CHECK(llama.refusal() ==
        llama.at(one_file, name) + "expected type F32, F16, BF16 or F64, found F8_E4M3");
}

TEST_CASE("a tensor that its file lacks, and a file that the index lacks") {
  const Copy shards("llama-grouped");
  const std::string name = "model.norm.weight";
  shards.index(name, "model-00001-of-00006.safetensors");
  CHECK(shards.refusal() == shards.file(Copy::index_name) + ": expected tensor '" + name +
                                "' in 'model-00001-of-00006.safetensors', found none");
  shards.index(name, "model-00007-of-00006.safetensors");
  CHECK(shards.refusal() ==
        shards.at(Copy::index_name, name) +
            "expected it in 'model-00007-of-00006.safetensors', found no such file");
  // Two files have it.
  shards.index(name, "model-00006-of-00006.safetensors");
  shards.tensors("model-00001-of-00006.safetensors", [&](Tensors& t) {
    t[name] = {io::Dtype::U8, {3}, std::vector<std::byte>(3)};
  });
  check_mentions(shards.refusal(), shards.at("model-00001-of-00006.safetensors", name),
                 "index.json has it in 'model-00006-of-00006.safetensors'");
}

TEST_CASE("a copy of tied weights has to be one") {
  const Copy tied("llama-tied");
  const std::string head = "lm_head.weight";
  tied.tensors(one_file, [&](Tensors& t) { t[head] = t.at("model.embed_tokens.weight"); });
  CHECK_NOTHROW(Checkpoint::open(tied.path()));
  tied.tensors(one_file, [&](Tensors& t) { t.at(head).bytes.back() ^= std::byte{1}; });
  CHECK(tied.refusal() == tied.at(one_file, head) +
                              "expected a copy of 'model.embed_tokens.weight', or none, since "
                              "tie_word_embeddings is true; found other numbers");
  tied.tensors(one_file, [&](Tensors& t) { t.at(head).dtype = io::Dtype::BF16; });
  check_mentions(tied.refusal(), tied.at(one_file, head), "found another type or shape");
  // The settings may say that they are not tied; then any will do, but one there has to be.
  tied.settings(R"({"tie_word_embeddings": false})");
  CHECK_NOTHROW(Checkpoint::open(tied.path()));
  tied.tensors(one_file, [&](Tensors& t) { t.erase(head); });
  check_mentions(tied.refusal(), tied.file(one_file), "expected a tensor 'lm_head.weight'");
}

TEST_CASE("settings that contradict each other or the tensors") {
  const auto refused = [](const char* model, const char* changes, const OpenOptions& options = {}) {
    const Copy copy(model);
    copy.settings(changes);
    const std::string message = copy.refusal(options);
    check_mentions(message, copy.path().string());
    return message.substr(message.find(copy.path().string()) + copy.path().string().size() + 1);
  };
  CHECK(refused("llama", R"({"model_type": "gemma"})") ==
        "config.json: model_type: expected llama, llava, llava_llama, clip or clip_vision_model, "
        "found gemma");
  CHECK(refused("llama", R"({"num_key_value_heads": 3})") ==
        "config.json: num_key_value_heads: expected a divisor of the 4 heads, found 3");
  CHECK(
      refused("llama", R"({"num_hidden_layers": 2})")
          .starts_with(
              "model.safetensors: tensor 'model.layers.2.input_layernorm.weight': expected none"));
  CHECK(refused("llama", R"({"num_hidden_layers": 4})") ==
        "model.safetensors: expected a tensor 'model.layers.3.input_layernorm.weight', found none "
        "of that name");
  CHECK(refused("llama", R"({"vocab_size": 50})") ==
        "model.safetensors: tensor 'model.embed_tokens.weight': expected shape [50, 32], found "
        "[48, 32]");
  CHECK(refused("llava", R"({"image_seq_length": 17})") ==
        "config.json: image_seq_length: expected 16, found 17");
  CHECK(refused("llava", R"({"text_config": {"hidden_size": 30, "head_dim": null}})") ==
        "config.json: text_config: hidden_size: expected a multiple of the 4 heads, found 30");
  const OpenOptions tower{.vision_tower = test::golden_model("llava-original-clip")};
  CHECK(refused("llava-original", R"({"mm_hidden_size": 25})", tower) ==
        "config.json: mm_hidden_size: expected 24, found 25");
  check_mentions(refused("llava-original", "{}"),
                 "config.json: mm_vision_tower: expected the folder",
                 "openai/clip-vit-large-patch14-336", "found none");
}

TEST_CASE("a checkpoint of 7B takes memory only for the tensors that are read") {
  const test::TemporaryFolder folder;
  const Index total = write_7b(folder);
  if (total < 0 || test::resident_bytes() < 0) {
    MESSAGE("skipped: the file system has no holes, or there is no /proc/self/statm");
    return;
  }
  CHECK(total == 14'126'854'144);  // 2 bytes for each of 7,063,427,072 parameters

  // Headers and settings, as read and as parsed.
  constexpr Index slack = Index{16} << 20;
  const Index before = test::resident_bytes();
  const auto checkpoint = Checkpoint::open(folder.path());
  CHECK(checkpoint.config().decoder.layers == 32);
  const Index opened = test::resident_bytes() - before;
  CAPTURE(opened);
  CHECK(opened < slack);

  using B = eigen::Backend<float>;
  B backend(1);
  ParameterSet<B> one(backend);
  auto& query = one.add("decoder.block.31.q.weight", 4096, 4096);
  backend.fill(query.value, 1.0F);
  const Index floats = test::resident_bytes();
  checkpoint.load(one);
  CHECK(std::ranges::all_of(test::to_dense(query.value).data, [](double x) { return x == 0; }));
  const Index tensor = 2 * query.value.size();
  const Index loaded = test::resident_bytes() - floats;
  CAPTURE(loaded);
  CHECK(loaded >= tensor);  // that the measure sees what is touched
  CHECK(loaded < tensor + slack);
}
