/// Asks a published model: a LLaMA, or a LLaVA about a picture, with or without an adapter.
///
///     generate --model smollm2 "Why is the sky blue?"
///     generate --model llava-1.5-7b --image cat.jpg --adapter coin-lora "What is this?"
///     generate --model smollm2 --raw --most 24 "The capital of France is"
///
/// The model is a folder of config.json, safetensors and tokenizer.json (docs/checkpoints.md). The
/// adapter is a folder that PEFT wrote (LoRA, rsLoRA, DoRA), which is merged into the weights, or a
/// file of our own of one of the variants listed below. The likeliest token is taken each time.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "model.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"
#include "branchlora/data/clip_image.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/model/attach_adapters.hpp"
#include "branchlora/model/generate.hpp"
#include "branchlora/model/published/checkpoint.hpp"
#include "branchlora/model/published/encode.hpp"
#include "branchlora/model/published/image_prompt.hpp"
#include "branchlora/model/published/language.hpp"
#include "branchlora/model/published/merge_peft.hpp"
#include "command_line.hpp"

namespace {

using namespace branchlora;
using model::published::Checkpoint;
using model::published::Language;

using B = study::Backend;
using Model = model::Multimodal<B>;

struct Settings {
  std::filesystem::path folder, vision_tower, adapter, projector, image;
  std::string conversation;
  std::vector<std::string> questions;
  Index most = 128;
  std::int32_t task = 1;
  int threads = 1;
  bool bfloat16 = false;
  bool raw = false;
  bool numbers = false;
};

/// Attaches the adapters of a file. Another variant is a word here.
void attach_file(const std::filesystem::path& path, Model& net) {
  model::attach_adapters<Lora<8>, Lora<16>, Lora<32>, Lora<64>, Lora<128>, RsLora<32>, RsLora<128>,
                         MoeLora<4, 8>, MoeLora<16, 8>, HydraLora<4, 8>, HydraLora<16, 8>,
                         BranchLora<4, 8, 2>, BranchLora<16, 8, 2>>(path, net);
}

/// Merges the adapter in a folder into a model whose base is not frozen yet. Modules are compared
/// from "layers." on, for what stands before has changed between versions of transformers.
void merge_folder(const std::filesystem::path& folder, const Checkpoint& checkpoint, Model& net) {
  auto adapter = io::read_peft(folder);
  const auto within_decoder = [](const std::string& module) {
    const auto at = module.find("layers.");
    return at == module.npos ? module : module.substr(at);
  };
  for (io::PeftLayer& layer : adapter.layers) {
    expect(layer.module.find("vision_tower") == std::string::npos,
           "{}: layer '{}': expected layers of the decoder alone, found one of the vision tower",
           folder.string(), layer.module);
  }
  try {
    model::published::merge_peft(adapter, net.parameters(), [&](const std::string& layer) {
      if (!layer.starts_with("decoder.block.")) return std::string();
      const std::string module = within_decoder(checkpoint.module_of(layer));
      for (const io::PeftLayer& other : adapter.layers) {
        if (within_decoder(other.module) == module) return other.module;
      }
      return std::string();
    });
  } catch (const Error& error) {
    fail("{}: {}", folder.string(), error.what());
  }
}

/// The question as the model takes it.
model::Example ask(const Language& language, const std::string& question, const Settings& s) {
  const bool picture = !s.image.empty();
  model::TokenTurn turn;
  if (!s.raw) {
    turn.prompt = encode_turn(language, {question, ""}, picture).prompt;
  } else if (picture) {
    turn.prompt = encode_about_picture(language, question);
  } else {
    turn.prompt = encode_text(language, question);
  }
  expect(!turn.prompt.empty(), "expected a question, found an empty one");
  const auto task = s.task - 1;
  if (picture) return model::published::about_image(std::move(turn), language.image_token, 0, task);
  return {-1, task, {std::move(turn)}};
}

int run(const Settings& s) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  };
  auto start = Clock::now();
  const auto checkpoint = Checkpoint::open(s.folder, {.vision_tower = s.vision_tower});
  const auto form = s.conversation.empty()
                        ? std::nullopt
                        : std::optional(data::parse_conversation(s.conversation));
  const auto language = Language::open(s.folder, checkpoint, form);
  const model::ModelConfig& config = checkpoint.config();
  expect(s.image.empty() || config.vision.present(),
         "--image: {} holds a model that reads text alone", s.folder.string());

  B backend(s.threads);
  Model net(backend, config);
  checkpoint.load(net.parameters());
  if (!s.projector.empty()) {
    expect(config.vision.present(), "--projector: {} holds a model that has none",
           s.folder.string());
    model::load_parameters(io::SafeTensors::open(s.projector), net.parameters(),
                           [](const auto& p) { return p.name.starts_with("projector."); });
  }
  const bool peft = std::filesystem::is_directory(s.adapter);
  if (peft) merge_folder(s.adapter, checkpoint, net);
  net.freeze_base(s.bfloat16 ? Storage::bfloat16 : Storage::full, 0.0);
  if (!s.adapter.empty() && !peft) attach_file(s.adapter, net);

  Tape<B> tape(backend);
  model::FeatureBank<B> bank;
  if (!s.image.empty()) {
    bank = net.features_of(tape, 1, [&](Index /*image*/) {
      return data::clip_pixels(data::load_image(s.image), language.pictures);
    });
  }
  fmt::print(stderr, "{}: {} in {}, opened in {:.1f} s\n", s.folder.string(),
             s.raw ? "text" : data::to_string(language.conversation),
             s.bfloat16 ? "bfloat16" : "float", since(start));

  for (const std::string& question : s.questions) {
    start = Clock::now();
    model::Batch batch;
    batch.push(ask(language, question, s), config.vision.tokens());
    const Index room = config.decoder.length - batch.longest() + 1;
    expect(room > 0, "expected a question of at most {} tokens with its picture, found {}",
           config.decoder.length, batch.longest());
    auto answer =
        model::generate(net, tape, batch, bank, std::span<const std::int32_t>(batch.tasks),
                        language.end(), std::min(s.most, room))
            .front();
    const double seconds = since(start);
    const auto count = static_cast<double>(answer.size());
    answer.erase(std::ranges::find_first_of(answer, language.ends), answer.end());
    if (s.questions.size() > 1) fmt::print("> {}\n", question);
    const std::vector<Index> ids(answer.begin(), answer.end());
    fmt::print("{}\n", s.raw ? language.tokenizer.decode(ids) : language.text(answer));
    if (s.numbers) fmt::print("[{}]\n", fmt::join(answer, ", "));
    fmt::print(stderr, "{} tokens read, {} written in {:.2f} s: {:.0f} ms each\n", batch.longest(),
               count, seconds, 1000 * seconds / std::max(1.0, count));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  s.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  study::CommandLine line("Asks a published model, with or without an adapter.");
  line.option("question", s.questions, "Questions, each by itself").required();
  line.option("--model", s.folder, "Folder of the checkpoint").required().existing_folder();
  line.option("--vision-tower", s.vision_tower, "Folder of CLIP, where the model names one")
      .existing_folder();
  line.option("--adapter", s.adapter, "Folder that PEFT wrote, or file of ours").existing_path();
  line.option("--projector", s.projector, "Snapshot of the run that trained it, if one did")
      .existing_file();
  line.option("--image", s.image, "PNG or JPEG that the questions are about").existing_file();
  line.option("--conversation", s.conversation,
              "vicuna_v1, chatml, llama3 or plain (default: as the tokenizer suggests)");
  line.option("--most", s.most, "Tokens of an answer at most").positive();
  line.option("--task", s.task, "Task, from 1, whose routers answer, where tasks have their own")
      .positive();
  line.option("--threads", s.threads).positive();
  line.flag("--bfloat16", s.bfloat16, "Round the weights to bfloat16");
  line.flag("--raw", s.raw, "Continue the text as it is, with special tokens written out");
  line.flag("--numbers", s.numbers, "Print the numbers of the answer's tokens, too");
  if (const auto status = line.end_of(argc, argv)) return *status;
  try {
    return run(s);
  } catch (const std::exception& error) {
    fmt::print(stderr, "generate: {}\n", error.what());
    return 1;
  }
}
