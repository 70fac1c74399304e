/// @file
/// A stream of three tasks on a base model so small that a run takes a moment.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/continual/instances.hpp"
#include "branchlora/continual/run.hpp"
#include "model/samples.hpp"
#include "model/tiny_model.hpp"

BRANCHLORA_CONTINUAL_INSTANCES(extern, branchlora::eigen::Backend<float>)

namespace branchlora::test {

/// Dark and bright pictures, and tasks that name them by different words: "look" wants one or two,
/// "say" three or four, "count" two or one.
class Stream {
 public:
  using B = eigen::Backend<float>;

  explicit Stream(std::uint64_t base_seed = 1)
      : base(make_base(folder, base_seed)), preparation_(backend, base) {
    const char* verbs[] = {"look", "say", "count"};
    const std::vector<std::string> words[] = {{"one", "two"}, {"three", "four"}, {"two", "one"}};
    for (Index t = 0; t < 3; ++t) {
      data::TaskInfo info;
      info.name = std::string("task ") + verbs[t];
      tasks.push_back(
          {info, side(t, 12, verbs[t], words[t], 0), side(t, 6, verbs[t], words[t], 100)});
    }
  }

  /// Numbers with which the tasks are learned to some degree.
  static continual::Options options(std::uint64_t seed = 1) {
    continual::Options o;
    o.seed = seed;
    o.steps = 30;
    o.batch = 4;
    o.rate = 5e-2;
    o.hyper.alpha = 16;
    o.observed = 12;
    o.answer_tokens = 2;
    o.evaluation_batch = 4;
    return o;
  }

  std::filesystem::path path(const std::string& name) const { return folder.path() / name; }
  std::span<const continual::TaskData<B>> first(std::size_t n) const {
    return std::span(tasks).first(n);
  }

  TemporaryFolder folder;
  B backend;
  continual::Base base;
  std::vector<continual::TaskData<B>> tasks;

 private:
  static continual::Base make_base(const TemporaryFolder& folder, std::uint64_t seed) {
    const auto vocabulary = folder.write(
        "vocab.json",
        R"([["look",1],["say",1],["count",1],["one",1],["two",1],["three",1],["four",1]])");
    TinyModel<float> tiny(tiny_config(), seed);
    const nlohmann::json config = tiny.net.config();
    const auto checkpoint = folder.path() / "base.safetensors";
    model::save_parameters(checkpoint, tiny.net.parameters(), [](const auto&) { return true; },
                           {{"model", config.dump()}});
    return continual::Base::open(checkpoint, vocabulary);
  }

  continual::Split<B> side(Index task, int count, const std::string& verb,
                           const std::vector<std::string>& words, Index first) {
    std::vector<data::Sample> samples;
    for (int i = 0; i < count; ++i) {
      const std::string image = verb + std::to_string(first + i) + ".png";
      const Random random = Random(9).fork(image);
      const Index side = tiny_config().vision.image;
      data::Image picture{side, side,
                          std::vector<std::uint8_t>(static_cast<std::size_t>(side * side * 3))};
      for (std::size_t p = 0; p < picture.rgb.size(); ++p) {
        picture.rgb[p] = static_cast<std::uint8_t>((i % 2 == 0 ? 20 : 180) + random.below(p, 50));
      }
      folder.write(image, png_of(picture));
      samples.push_back(sample_of(std::to_string(first + i), image, verb,
                                  words[static_cast<std::size_t>(i % 2)]));
    }
    return preparation_.prepare(std::move(samples), folder.path(), static_cast<std::int32_t>(task));
  }

  continual::Preparation<B> preparation_;
};

using Tensors = std::map<std::string, std::vector<std::byte>>;

/// The bytes of every tensor of a file.
inline Tensors tensors_of(const std::filesystem::path& path) {
  const auto file = io::SafeTensors::open(path);
  Tensors tensors;
  for (const auto& name : file.names()) {
    const auto bytes = file.tensor(name).bytes;
    tensors[name] = {bytes.begin(), bytes.end()};
  }
  return tensors;
}

/// What a snapshot says beside its tensors.
inline nlohmann::json state_of(const std::filesystem::path& path) {
  return nlohmann::json::parse(io::SafeTensors::open(path).metadata().at("continual"));
}

}  // namespace branchlora::test
