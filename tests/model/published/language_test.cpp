#include "branchlora/model/published/language.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "../../io/temporary_folder.hpp"
#include "branchlora/model/published/checkpoint.hpp"
#include "model/published/golden.hpp"

using namespace branchlora;
using namespace branchlora::test;
using data::Conversation;
using model::published::Checkpoint;
using model::published::Language;

namespace {

/// A copy of a golden checkpoint, to be changed.
class Copy {
 public:
  explicit Copy(const std::string& name) {
    std::filesystem::copy(golden_model(name), path(), std::filesystem::copy_options::recursive);
  }

  std::filesystem::path path() const { return folder_.path() / "model"; }

  /// Merges `change` into a JSON file, which may not be there yet.
  void change(const std::string& file, const io::Json& change) const {
    io::Json json = io::Json::object();
    if (std::filesystem::exists(path() / file)) json = io::read_json(path() / file);
    json.merge_patch(change);
    folder_.write("model/" + file, json.dump());
  }

  Language open(std::optional<Conversation> form = {}) const {
    return Language::open(path(), Checkpoint::open(path()), form);
  }

 private:
  TemporaryFolder folder_;
};

using Ends = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("an answer ends with the mark of its form, and where the folder says") {
  const Copy copy("llama");
  CHECK(copy.open().conversation == Conversation::VicunaV1);
  CHECK(copy.open().ends == Ends{2});
  copy.change("generation_config.json", {{"eos_token_id", {7, 2}}});
  CHECK(copy.open().ends == Ends{2, 7});
  CHECK(copy.open(Conversation::Plain).ends == Ends{7, 2});
  CHECK(copy.open(Conversation::Plain).end() == 7);
  copy.change("generation_config.json", {{"eos_token_id", "</s>"}});
  check_mentions(error_of([&] { copy.open(); }), "generation_config.json: eos_token_id",
                 "\"</s>\"");
}

TEST_CASE("a LLaVA's end stands with its text, its pictures are of its tower's size") {
  const Copy copy("llava");
  const auto language = copy.open(Conversation::Plain);
  CHECK(language.ends == Ends{2});
  CHECK(language.image_token == 47);
  CHECK(language.pictures.size == 16);
  CHECK(language.pictures.squaring == data::Squaring::CentreCrop);

  const auto folder = golden_model("llava-original");
  const auto original = Language::open(
      folder, Checkpoint::open(folder, {.vision_tower = golden_model("llava-original-clip")}));
  CHECK(original.image_token == -200);
  CHECK(original.pictures.squaring == data::Squaring::Pad);
}

TEST_CASE("how pictures are prepared may stand in a file") {
  const Copy copy("llava");
  copy.change("preprocessor_config.json", {{"image_mean", {0.5, 0.25, 0.125}},
                                           {"crop_size", {{"height", 16}, {"width", 16}}},
                                           {"do_pad", true}});
  const auto pictures = copy.open().pictures;
  CHECK(pictures.mean == std::array{0.5, 0.25, 0.125});
  CHECK(pictures.deviation == data::ClipPreprocessing{}.deviation);
  CHECK(pictures.squaring == data::Squaring::Pad);
  copy.change("preprocessor_config.json", {{"do_pad", nullptr}});
  CHECK(copy.open().pictures.squaring == data::Squaring::CentreCrop);
  copy.change("preprocessor_config.json", {{"crop_size", 24}});
  check_mentions(error_of([&] { copy.open(); }), "preprocessor_config.json: crop_size",
                 "the tower's 16", "found 24");
  copy.change("preprocessor_config.json", {{"crop_size", "16"}});
  check_mentions(error_of([&] { copy.open(); }), "preprocessor_config.json", "can not be read");
}

TEST_CASE("the text of an answer goes up to its end") {
  const auto language = Copy("llama").open();
  const auto ids = [&](const std::string& text) {
    const auto wide = language.tokenizer.encode(text, data::SpecialTokens::Omit);
    return Ends(wide.begin(), wide.end());
  };
  CHECK(language.text(ids("the bird ")) == "the bird");
  CHECK(language.text(ids("the </s> bird")) == "the");
  CHECK(language.text({}).empty());
}

TEST_CASE("what is missing is named") {
  const Copy copy("llama");
  copy.change("config.json", {{"eos_token_id", nullptr}});
  check_mentions(error_of([&] { copy.open(Conversation::Plain); }), copy.path().string(),
                 "eos_token_id", "found none");
  CHECK(copy.open(Conversation::VicunaV1).ends == Ends{2});
  check_mentions(error_of([&] { copy.open(Conversation::ChatMl); }), "tokenizer.json",
                 "'<|im_end|>'", "chatml");
  auto tokenizer = io::read_json(copy.path() / "tokenizer.json");
  tokenizer["added_tokens"].push_back(
      {{"id", 48}, {"content", "<more>"}, {"special", true}, {"normalized", false}});
  copy.change("tokenizer.json", tokenizer);
  check_mentions(error_of([&] { copy.open(); }), "tokenizer.json", "a model that knows 48",
                 "found 49");
  std::filesystem::remove(copy.path() / "tokenizer.json");
  check_mentions(error_of([&] { copy.open(); }), copy.path().string(), "tokenizer.json",
                 "found none");
}
