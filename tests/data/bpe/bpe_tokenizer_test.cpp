#include "branchlora/data/bpe/bpe_tokenizer.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "../../io/temporary_folder.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/byte_map.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;
using Ids = std::vector<Index>;

namespace {

const std::filesystem::path golden = BRANCHLORA_SOURCE_DIR "/tests/golden/tokenizers";

const std::vector<std::string> golden_names{"llama",      "llama-metaspace", "metaspace-split",
                                            "gpt2",       "llama3",          "qwen2",
                                            "qwen-marks", "smollm"};

const std::vector<std::string>& golden_strings() {
  static const auto strings =
      io::read_json(golden / "strings.json").get<std::vector<std::string>>();
  return strings;
}

/// The numbers that the reference gives to each string.
std::vector<Ids> golden_ids(const std::string& name) {
  const auto file = io::SafeTensors::open(golden / "ids.safetensors");
  const auto numbers = [&](const std::string& tensor) {
    const auto bytes = file.tensor(name + tensor).bytes;
    std::vector<std::uint16_t> values(bytes.size() / 2);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  };
  const auto ids = numbers(".ids");
  auto at = ids.begin();
  std::vector<Ids> all;
  for (const std::uint16_t length : numbers(".lengths")) {
    all.emplace_back(at, at + length);
    at += length;
  }
  REQUIRE(at == ids.end());
  return all;
}

/// A byte-level tokenizer without merges, of which `change` is merged into the JSON.
io::Json byte_level_json(const char* change = "{}") {
  io::Json json = io::Json::parse(R"({
    "added_tokens": [{"id": 256, "content": "<end>", "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "post_processor": null, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {}, "merges": []}})");
  Index id = 0;
  for (const char32_t c : bpe::byte_characters) {
    json["model"]["vocab"][encode_utf8({&c, 1})] = id++;
  }
  json.merge_patch(io::Json::parse(change));
  return json;
}

}  // namespace

TEST_CASE("2,000 strings get the numbers that the reference gives") {
  REQUIRE(golden_strings().size() == 2000);
  for (const std::string& name : golden_names) {
    CAPTURE(name);
    const auto tokenizer = BpeTokenizer::load(golden / (name + ".json"));
    const auto expected = golden_ids(name);
    REQUIRE(expected.size() == golden_strings().size());
    int wrong = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const Ids found = tokenizer.encode(golden_strings()[i]);
      if (found == expected[i]) continue;
      if (++wrong > 5) continue;
      CAPTURE(i);
      CAPTURE(golden_strings()[i]);
      CHECK(fmt::format("{}", fmt::join(found, " ")) ==
            fmt::format("{}", fmt::join(expected[i], " ")));
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("numbers become the text that the reference gives, cut characters too") {
  const io::Json decoded = io::read_json(golden / "decoded.json");
  for (const std::string& name : golden_names) {
    CAPTURE(name);
    const auto tokenizer = BpeTokenizer::load(golden / (name + ".json"));
    const auto ids = golden_ids(name);
    const io::Json& differing = decoded[name]["omit"];
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto other = differing.find(std::to_string(i));
      const auto expected =
          other == differing.end() ? golden_strings()[i] : other->get<std::string>();
      REQUIRE(tokenizer.decode(ids[i], SpecialTokens::Omit) == expected);
    }
    for (std::size_t i = 0; i < decoded[name]["keep"].size(); ++i) {
      REQUIRE(tokenizer.decode(ids[i]) == decoded[name]["keep"][i].get<std::string>());
    }
    for (const io::Json& slice : decoded[name]["slices"]) {
      CAPTURE(slice[0].dump());
      REQUIRE(tokenizer.decode(slice[0].get<Ids>()) == slice[1].get<std::string>());
    }
  }
}

TEST_CASE("tokens are known by name and number, and special ones can be left out") {
  const auto tokenizer = BpeTokenizer::load(golden / "llama.json");
  CHECK(tokenizer.id("<s>") == 1);
  CHECK(tokenizer.token(2) == "</s>");
  CHECK_FALSE(tokenizer.id("no such token"));
  CHECK(tokenizer.encode("<s></s>", SpecialTokens::Omit) == Ids{1, 2});
  CHECK(tokenizer.encode("", SpecialTokens::Keep) == Ids{1});
  CHECK(tokenizer.id("<tool>") == tokenizer.size() - 1);
  check_mentions(error_of([&] { tokenizer.token(tokenizer.size()); }), "expected the number");
  check_mentions(error_of([&] { tokenizer.token(-1); }), "found -1");
}

TEST_CASE("the first listed merge comes first, the leftmost of several") {
  const BpeTokenizer tokenizer(byte_level_json(R"({"model": {
    "vocab": {"bc": 300, "ab": 301, "aa": 302, "abc": 303, "aaa": 304},
    "merges": [["b", "c"], ["a", "b"], ["a", "a"], ["ab", "c"], ["aa", "a"]]}})"));
  CHECK(tokenizer.encode("abc") == Ids{97, 300});
  CHECK(tokenizer.encode("abd") == Ids{301, 100});
  CHECK(tokenizer.encode("aaaaa") == Ids{302, 304});
  CHECK(tokenizer.encode("aab") == Ids{97, 301});
  CHECK(tokenizer.encode("a<end>b") == Ids{97, 256, 98});
  CHECK(tokenizer.decode(Ids{97, 256, 98}, SpecialTokens::Omit) == "ab");
  CHECK(tokenizer.decode(Ids{97, 999, -5, 98}) == "ab");
}

TEST_CASE("a token can be looked for in normalised text, special or not") {
  const BpeTokenizer tokenizer(
      byte_level_json(R"({"normalizer": {"type": "Prepend", "prepend": "_"},
    "added_tokens": [{"id": 300, "content": "<x>", "special": true, "normalized": true},
                     {"id": 301, "content": "<y>", "normalized": true}]})"));
  CHECK(tokenizer.encode("<x>") == Ids{300});
  CHECK(tokenizer.encode("a<y>") == Ids{95, 97, 60, 121, 62});
  CHECK(tokenizer.token(301) == "<y>");
  CHECK(tokenizer.decode(Ids{300, 301, 97}) == "_<x>_<y>a");
  CHECK(tokenizer.decode(Ids{300, 301, 97}, SpecialTokens::Omit) == "_<y>a");
}

TEST_CASE("bytes that are not UTF-8 count as replacement characters") {
  const BpeTokenizer tokenizer(byte_level_json());
  CHECK(tokenizer.encode("\xFF"
                         "a") == Ids{0xEF, 0xBF, 0xBD, 97});
  CHECK(tokenizer.decode(Ids{0xE2, 0x82, 97, 0xFF}) == "\uFFFDa\uFFFD");
}

TEST_CASE("a text of a million letters takes no quadratic time") {
  const BpeTokenizer tokenizer(byte_level_json(R"({"model": {
    "vocab": {"aa": 300, "aaaa": 301}, "merges": ["a a", "aa aa"]}})"));
  CHECK(tokenizer.encode(std::string(1'000'000, 'a')) == Ids(250'000, 301));
}

TEST_CASE("a byte that has no token is left out, as SmolLM2 does with some control characters") {
  const BpeTokenizer whole(byte_level_json("{}"), "t.json");
  const BpeTokenizer lacking(byte_level_json(R"({"model": {"vocab": {"a": null}}})"), "t.json");
  CHECK(lacking.encode("a").empty());
  CHECK(lacking.encode("b") == whole.encode("b"));
}

TEST_CASE("what is not known or contradicts itself is refused") {
  const auto refuse = [](const char* change, auto... parts) {
    CAPTURE(change);
    check_mentions(error_of([&] { BpeTokenizer(byte_level_json(change), "t.json"); }),
                   "t.json: ", parts...);
  };
  refuse(R"({"model": null})", "model: expected a value, found none");
  refuse(R"({"model": {"type": "Unigram"}})", "model.type: expected \"BPE\", found", "\"Unigram\"");
  refuse(R"({"model": {"dropout": 0.1}})", "model.dropout: expected none, found number 0.1");
  refuse(R"({"model": {"continuing_subword_prefix": "##"}})", "expected none, found string \"##\"");
  refuse(R"({"model": {"end_of_word_suffix": "</w>"}})", "model.end_of_word_suffix");
  refuse(R"({"model": {"vocab": {"x1": 7}}})", "expected one token a number, found 7");
  refuse(R"({"model": {"vocab": {"x1": -7}}})", "'x1': expected a whole number", "-7");
  refuse(R"({"model": {"vocab": {"x1": 4294967296}}})", "'x1': expected a whole number");
  refuse(R"({"model": {"byte_fallback": true}})", "expected a token '<0x00>', as byte_fallback");
  refuse(R"({"model": {"unk_token": "<u>"}})", "unk_token: expected a token of the vocabulary");
  refuse(R"({"model": {"merges": [["a", "b"]]}})", "merges[0]", "it has no 'ab'");
  refuse(R"({"model": {"merges": ["a \u00e9\u00e9"]}})", "merges[0]", "it has no '\u00e9\u00e9'");
  refuse(R"({"model": {"merges": ["ab"]}})", "merges[0]: expected two tokens with a space");
  refuse(R"({"model": {"merges": ["a b c"]}})", "merges[0]: expected two tokens with a space");
  refuse(R"({"model": {"merges": [["a"]]}})", "merges[0]: expected a list of two tokens");
  refuse(R"({"model": {"merges": {}}})", "merges: expected a list, found object");
  refuse(R"({"model": {"fuse_unk": 1}})", "fuse_unk: expected true or false");
  refuse(R"({"pre_tokenizer": null})", "expected an unk_token, byte_fallback or a ByteLevel");
  refuse(R"({"pre_tokenizer": {"type": "BertPreTokenizer"}})",
         "pre_tokenizer: expected one of the pre-tokenizers", "found 'BertPreTokenizer'");
  refuse(R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Sequence"}]}})",
         "pretokenizers[0]", "found 'Sequence'");
  refuse(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{Lu}"},
             "behavior": "Isolated"}})",
         "no property of this name", "\\p{Lu}");
  refuse(R"({"pre_tokenizer": {"type": "Split", "pattern": {"String": "a"},
             "behavior": "Contiguous"}})",
         "behavior: expected \"Isolated\"", "Contiguous");
  refuse(R"({"normalizer": {"type": "Lowercase"}})", "normalizer: expected one of the normalizers",
         "found 'Lowercase'");
  refuse(R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}})",
         "expected a pattern of kind \"String\"");
  refuse(R"({"post_processor": {"type": "BertProcessing"}})", "found 'BertProcessing'");
  refuse(R"({"post_processor": {"type": "TemplateProcessing", "special_tokens": {},
             "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}})",
         "special_tokens.<s>: expected a value, found none");
  refuse(
      R"({"post_processor": {"type": "TemplateProcessing", "special_tokens": {}, "single": []}})",
      "expected the text once, found it 0 times");
  refuse(R"({"decoder": {"type": "WordPiece"}})", "decoder: expected one of", "'WordPiece'");
  refuse(R"({"added_tokens": [{"id": 97, "content": "<x>"}]})", "97 for 'a' and '<x>'");
  refuse(R"({"added_tokens": [{"id": 300, "content": "a"}]})", "expected 'a' to be 97", "300");
  refuse(R"({"added_tokens": [{"id": 300, "content": "<x>"}, {"id": 300, "content": "<y>"}]})",
         "300 for '<x>' and '<y>'");
  refuse(R"({"added_tokens": [{"id": 300, "content": "<x>"}, {"id": 301, "content": "<x>"}]})",
         "'<x>' appears twice");
  refuse(R"({"added_tokens": [{"id": 300, "content": "x", "single_word": true}]})", "single_word");
  const test::TemporaryFolder folder;
  check_mentions(error_of([&] { BpeTokenizer::load(folder.write("t.json", "{")); }), "t.json",
                 "expected valid JSON");
  check_mentions(error_of([&] { BpeTokenizer::load(folder.write("t.json", "[]")); }),
                 "t.json: expected an object, found array");
}
