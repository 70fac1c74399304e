/// Trains the base model of the embedded benchmark from nothing, on data that no task uses:
///
///     pretrain --data data --out data/base/base.safetensors
///
/// Five stages follow each other. `words` trains vision tower and projector to score the words that
/// are said of a picture (it stands in for a published vision encoder); `align` trains everything
/// on captions and instructions, with the score of the words beside; `instruct` gives the short
/// instructions twice the weight at a lower rate; `choose` adds questions with options;
/// `photographs` shows photographs more often, half of these moved. The run is stopped by steps and
/// repeats bit for bit for a seed and a number of steps, whatever the number of threads. A later
/// stage alone goes on from a checkpoint, to the same bits as the whole run:
///
///     pretrain --from choose --start instruct.safetensors --out base.safetensors
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "model.hpp"
#include "branchlora/data/augment.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/data/sampler.hpp"
#include "branchlora/data/task.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/model/checkpoint.hpp"
#include "branchlora/model/dataset.hpp"
#include "branchlora/model/generate.hpp"
#include "branchlora/optim/adamw.hpp"
#include "branchlora/optim/schedule.hpp"
#include "command_line.hpp"

namespace {

using namespace branchlora;
using study::Backend;
using Model = model::Multimodal<Backend>;

const std::vector<std::string> stages{"words", "align", "instruct", "choose", "photographs"};

struct Options {
  std::filesystem::path data = BRANCHLORA_SOURCE_DIR "/data";
  std::filesystem::path out = "base.safetensors";
  std::uint64_t seed = 1;
  Index words_steps = 2000;
  Index align_steps = 18000;
  Index instruct_steps = 5000;
  Index choose_steps = 14000;
  Index photograph_steps = 7000;
  std::string from = "words";   ///< The first stage to run.
  std::filesystem::path start;  ///< The weights to begin with; empty: drawn from the seed.
  Index images = 16;            ///< A step.
  Index turns = 5;              ///< About each image, at most.
  double rate = 1.5e-3;
  double decay = 0.02;
  double words_weight = 0.3;  ///< Of the words' loss beside the answers'.
  bool keep_words = false;    ///< No weight decay of the words' embeddings.
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  Index report = 200;
};

/// The turns about one picture, gathered from all samples that show it.
struct Picture {
  const data::Image* image;
  std::vector<model::TokenTurn> turns;
  std::vector<std::int32_t> words;  ///< Of its answers, each once, without function words.
  bool located = false;             ///< An answer has a coordinate: the picture must not move.
  bool photograph = false;          ///< A question or an answer calls it a photo.
};

/// The log of the sum of the exponentials of each column over groups of rows: y[i][c] over x rows
/// i * group .. (i + 1) * group. An operation of this program's own.
struct PoolRows {
  Var<float> x, y;
  Index group;

  void backward(Tape<Backend>& tape) const {
    const auto [dx, add] = tape.gradient(x);
    tape.backend().for_rows(x.rows(),
                            [out = dx, add = add, xv = x.value(), yv = y.value(), dy = y.grad(),
                             g = group] BRANCHLORA_BODY(auto team, Index i) {
                              team.loop(xv.cols, [=](Index c) {
                                const float d = dy(i / g, c) * math::exp(xv(i, c) - yv(i / g, c));
                                out(i, c) = add ? out(i, c) + d : d;
                              });
                            });
  }
};

Var<float> pool_rows(Tape<Backend>& tape, Var<float> x, Index group) {
  const auto y = tape.result(x.rows() / group, x.cols(), x);
  tape.backend().for_rows(
      y.rows(), [group, xv = x.value(), yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
        team.loop(xv.cols, [=](Index c) {
          float highest = math::lowest<float>();
          for (Index k = 0; k < group; ++k) highest = std::max(highest, xv(i * group + k, c));
          float sum = 0;
          for (Index k = 0; k < group; ++k) sum += math::exp(xv(i * group + k, c) - highest);
          yv(i, c) = highest + std::log(sum);
        });
      });
  tape.record(y, PoolRows{x, y, group});
  return y;
}

struct Source {
  bool options = false;  ///< Letters and what they stand for are no words of the picture.
  model::Dataset train, test;
  std::vector<data::Sample> questions;
  std::vector<data::Image> images;  ///< Those of `train`.
};

Source load(const std::filesystem::path& folder, const data::Tokenizer& tokenizer,
            bool options = false) {
  data::ImageStore store(folder);
  Source s;
  s.options = options;
  s.train = model::encode(data::load_instructions(folder / "train.json"), store, tokenizer);
  s.questions = data::load_instructions(folder / "test.json");
  s.test = model::encode(s.questions, store, tokenizer);
  for (const std::string& name : s.train.images) s.images.push_back(store.load(name));
  fmt::print("{}: {} samples, {} pictures, {} unknown tokens\n", folder.filename().string(),
             s.train.examples.size(), s.train.images.size(), s.train.unknown_tokens);
  return s;
}

/// Words that say nothing about a picture.
std::set<std::int32_t> function_words(const data::Tokenizer& tokenizer) {
  std::set<std::int32_t> stop{static_cast<std::int32_t>(data::Tokenizer::end)};
  const std::string words =
      "a an and are at be by can colors drawing drawings from has here in is it its main must no "
      "not of on one part photo picture region side sign signs sort that the there this to word "
      "with yes you about any shows shown see seen i , . ? ! : ; ( ) [ ]";
  for (const Index id : tokenizer.encode(words)) stop.insert(static_cast<std::int32_t>(id));
  return stop;
}

bool is_coordinate(const std::string& word) { return word.size() == 4 && word[1] == '.'; }

/// Whether a word of a text is one that `wanted(word)` holds for.
template <class Wanted>
bool any_word(std::span<const std::int32_t> text, const data::Tokenizer& tokenizer, Wanted wanted) {
  return std::ranges::any_of(
      text, wanted, [&](std::int32_t t) -> const std::string& { return tokenizer.token(t); });
}

/// The picture without the questions for which it must not move.
Picture movable(Picture p, const data::Tokenizer& tokenizer) {
  std::erase_if(p.turns, [&](const model::TokenTurn& turn) {
    return any_word(turn.answer, tokenizer, is_coordinate);
  });
  p.located = false;
  return p;
}

/// What a stage shows: how often the pictures of each source, and how much more often those that
/// are photographs, half of these times as `movable` ones.
struct Mix {
  std::vector<int> repeats;
  int photographs = 1;
};

/// The pictures of some sources as a stage shows them.
std::vector<Picture> pictures(std::span<const Source* const> sources, const Mix& mix,
                              const data::Tokenizer& tokenizer) {
  const auto stop = function_words(tokenizer);
  const auto says = [&](std::span<const std::int32_t> text, std::string_view word) {
    return any_word(text, tokenizer, [&](std::string_view w) { return w == word; });
  };
  std::vector<Picture> all;
  for (std::size_t k = 0; k < sources.size(); ++k) {
    const model::Dataset& set = sources[k]->train;
    std::vector<Picture> own;
    for (const data::Image& image : sources[k]->images) own.push_back({&image, {}, {}, false});
    for (const model::Example& e : set.examples) {
      if (e.image < 0) continue;
      Picture& p = own[static_cast<std::size_t>(e.image)];
      for (const model::TokenTurn& turn : e.turns) {
        const std::string& first = tokenizer.token(turn.prompt[1]);
        p.photograph = p.photograph || says(turn.prompt, "photo") || says(turn.answer, "photo");
        const bool about_words = first == "echo" || first == "explain" || first == "key" ||
                                 first == "decide" || first == "can";
        const bool option =
            sources[k]->options &&
            ((turn.answer.size() == 2 && tokenizer.token(turn.answer[0]).size() == 1) ||
             says(turn.prompt, "option"));
        for (const std::int32_t t : turn.answer) {
          const std::string& word = tokenizer.token(t);
          const bool coordinate = is_coordinate(word);
          p.located = p.located || coordinate;
          if (!about_words && !option && !coordinate && !stop.contains(t)) p.words.push_back(t);
        }
        p.turns.push_back(turn);
      }
    }
    for (Picture& p : own) {
      std::sort(p.words.begin(), p.words.end());
      p.words.erase(std::unique(p.words.begin(), p.words.end()), p.words.end());
    }
    std::erase_if(own, [](const Picture& p) { return p.turns.empty(); });
    for (int r = 0; r < mix.repeats[k]; ++r) {
      all.insert(all.end(), own.begin(), own.end());
      for (const Picture& p : own) {
        if (!p.photograph) continue;
        for (int more = 1; more < mix.photographs; ++more) {
          all.push_back(more % 2 ? movable(p, tokenizer) : p);
        }
      }
    }
  }
  return all;
}

/// Exact matches in percent, by the first two words of the instruction for the largest groups.
double evaluate(Model& m, Tape<Backend>& tape, const Source& source, const data::Tokenizer& tok,
                bool detail) {
  const auto bank = m.features_of(tape, std::ssize(source.test.images),
                                  [&](Index i) { return source.test.pixels(i); });
  std::map<std::string, std::pair<int, int>> kinds;
  Index right = 0;
  const Index n = std::ssize(source.test.examples);
  for (Index first = 0; first < n; first += 64) {
    model::Batch batch;
    std::vector<std::int32_t> tasks;
    for (Index i = first; i < std::min(n, first + 64); ++i) {
      batch.push(model::question(source.test.examples[static_cast<std::size_t>(i)]), bank.tokens);
      tasks.push_back(0);
    }
    const auto answers = model::generate(m, tape, batch, bank, std::span<const std::int32_t>(tasks),
                                         static_cast<std::int32_t>(data::Tokenizer::end), 20);
    for (std::size_t k = 0; k < answers.size(); ++k) {
      const auto& turn = source.test.examples[static_cast<std::size_t>(first) + k].turns.back();
      const bool hit = std::equal(answers[k].begin(), answers[k].end(), turn.answer.begin(),
                                  turn.answer.end() - 1);
      right += hit ? 1 : 0;
      const auto& sample = source.questions[static_cast<std::size_t>(first) + k];
      std::string kind = sample.kind;
      for (std::size_t w = 1;
           kind.size() < 14 && sample.kind.empty() && w < turn.prompt.size() && w < 4; ++w) {
        kind += (w > 1 ? " " : "") + tok.token(turn.prompt[w]);
      }
      kinds[kind].first += hit ? 1 : 0;
      kinds[kind].second += 1;
    }
  }
  if (detail) {
    std::vector<std::pair<std::string, std::pair<int, int>>> rows(kinds.begin(), kinds.end());
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.second.second > b.second.second; });
    for (std::size_t i = 0; i < std::min<std::size_t>(rows.size(), 30); ++i) {
      fmt::print("  {:<24} {:>3}/{}\n", rows[i].first, rows[i].second.first, rows[i].second.second);
    }
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(n);
}

/// One stage. `words` trains the score of the answers' words alone, on three times as many
/// pictures; otherwise the model answers too.
void train(Model& m, Tape<Backend>& tape, std::span<const Picture> all, Index steps, double rate,
           const Options& o, const Random& random, const char* name, bool words) {
  AdamW<Backend> optimizer(m.parameters(), {0.9, 0.98, 1e-8, o.decay});
  const WarmupCosine schedule{rate, steps, 100.0 / static_cast<double>(steps), 0.05};
  const Index count = words ? 3 * o.images : o.images;
  data::BatchSampler sampler(std::ssize(all), count, random.fork("order"));
  const auto& vision = m.config().vision;
  const Index size = vision.patches() * vision.patch_size();
  const auto start = std::chrono::steady_clock::now();
  std::vector<float> host(static_cast<std::size_t>(count * size));
  double sum = 0;
  Index questions = 0;
  for (Index step = 0; step < steps; ++step) {
    tape.reset();
    Sequences images;
    model::Batch batch;
    std::vector<std::int32_t> rows, targets;
    const auto chosen = sampler.batch(step);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const Picture& p = all[static_cast<std::size_t>(chosen[i])];
      const Random own = random.fork(static_cast<std::uint64_t>(step * count) + i);
      const data::Augmentation still{0, 0, 0, 0.85, 1.1};
      const auto rgb = data::augment(*p.image, p.located && !words ? still : data::Augmentation{},
                                     own.fork("image"));
      model::unfold<float>(
          rgb, vision,
          {host.data() + static_cast<Index>(i) * size, vision.patches(), vision.patch_size()});
      images.push(vision.patches());
      rows.insert(rows.end(), p.words.size(), static_cast<std::int32_t>(i));
      targets.insert(targets.end(), p.words.begin(), p.words.end());
      if (words) continue;
      model::Example e{static_cast<Index>(i), 0, {}};
      const auto order = own.fork("turns").permutation(std::ssize(p.turns));
      for (const Index t :
           std::span(order).first(std::min(order.size(), static_cast<std::size_t>(o.turns)))) {
        e.turns.push_back(p.turns[static_cast<std::size_t>(t)]);
      }
      questions += std::ssize(e.turns);
      batch.push(e, vision.tokens());
    }
    const auto patches = tape.constant(
        {tape.upload(std::span<const float>(host)), count * vision.patches(), vision.patch_size()});
    const auto features = m.features(tape, patches, images);
    const auto scores = m.decoder().scores(tape, m.projector()(tape, features));
    auto loss = op::cross_entropy(
        tape, op::gather(tape, pool_rows(tape, scores, vision.tokens()), rows), targets);
    if (!words) {
      loss = op::add(tape, m.loss(tape, batch, features, {&batch.sequences, batch.tasks}), loss,
                     static_cast<float>(o.words_weight));
    }
    tape.backward(loss);
    float value = 0;
    tape.backend().download(&value, loss.value().data, sizeof(value));
    expect(std::isfinite(value), "pretrain: the loss of step {} is {}", step, value);
    sum += static_cast<double>(value);
    optimizer.step(schedule(step), clip_factor(gradient_norm(m.parameters()), 1.0));
    if ((step + 1) % o.report == 0) {
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      fmt::print("{} step {} loss {:.4f} questions {} time {:.0f} s\n", name, step + 1,
                 sum / static_cast<double>(o.report), questions, time.count());
      std::fflush(stdout);
      sum = 0;
    }
  }
}

void save(const Options& o, const Model& m) {
  std::filesystem::create_directories(std::filesystem::absolute(o.out).parent_path());
  const nlohmann::json config = m.config();
  model::save_parameters(
      o.out, m.parameters(), [](const auto&) { return true; },
      {{"format", "pt"},
       {"model", config.dump()},
       {"command",
        fmt::format(
            "pretrain --seed {}{} --words-steps {} --align-steps {} --instruct-steps {} "
            "--choose-steps {} --photograph-steps {} --images {} --turns {} --rate {} --decay {} "
            "--words-weight {}{}",
            o.seed,
            o.start.empty()
                ? ""
                : fmt::format(" --from {} --start {}", o.from, o.start.filename().string()),
            o.words_steps, o.align_steps, o.instruct_steps, o.choose_steps, o.photograph_steps,
            o.images, o.turns, o.rate, o.decay, o.words_weight,
            o.keep_words ? " --keep-words" : "")}});
}

int run(const Options& o) {
  const auto tokenizer = data::Tokenizer::load(o.data / "pretrain" / "vocab.json");
  const Source captions = load(o.data / "minicoin" / "00-pretrain", tokenizer);
  const Source align = load(o.data / "pretrain" / "align", tokenizer);
  const Source instruct = load(o.data / "pretrain" / "instruct", tokenizer);
  const Source choose = load(o.data / "pretrain" / "choose", tokenizer, true);

  model::ModelConfig config;
  config.decoder.vocabulary = tokenizer.size();
  Backend backend(o.threads);
  Model m(backend, config);
  const Random random(o.seed);
  if (o.start.empty()) {
    expect(o.from == stages.front(), "pretrain: --from {} needs --start", o.from);
    m.initialize(random.fork("init"));
  } else {
    model::load_parameters(io::SafeTensors::open(o.start), m.parameters(),
                           [](const auto&) { return true; });
  }
  m.train_base();
  m.parameters().find(m.decoder().embedding().name)->decays = !o.keep_words;
  Tape<Backend> tape(backend);
  fmt::print("{} parameters, {} image tokens\n", m.parameters().trainable_count(),
             config.vision.tokens());

  const std::vector<const Source*> sources{&captions, &align, &instruct, &choose};
  bool started = false;
  const auto stage = [&](const std::string& name, const Mix& mix, Index steps, double rate,
                         bool words = false) {
    started = started || name == o.from;
    if (!started || steps == 0) return;
    const auto all = pictures(sources, mix, tokenizer);
    train(m, tape, all, steps, rate, o, random.fork(name), name.c_str(), words);
    save(o, m);
    if (words) return;
    for (const Source* s : sources) {
      fmt::print("{}: {:.1f} % of the held-out answers\n", name,
                 evaluate(m, tape, *s, tokenizer, true));
      std::fflush(stdout);
    }
  };
  stage("words", {{1, 1, 1, 0}}, o.words_steps, o.rate, true);
  stage("align", {{1, 1, 1, 0}}, o.align_steps, o.rate);
  stage("instruct", {{1, 1, 2, 0}}, o.instruct_steps, o.rate * 0.5);
  stage("choose", {{1, 1, 1, 4}}, o.choose_steps, o.rate);
  stage("photographs", {{1, 1, 1, 4}, 6}, o.photograph_steps, o.rate);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  study::CommandLine line("Trains the base model of the embedded benchmark.");
  line.option("--data", o.data, "Folder with minicoin/ and pretrain/").existing_folder();
  line.option("--out", o.out, "Checkpoint to write");
  line.option("--seed", o.seed);
  line.option("--words-steps", o.words_steps);
  line.option("--align-steps", o.align_steps);
  line.option("--instruct-steps", o.instruct_steps);
  line.option("--choose-steps", o.choose_steps);
  line.option("--photograph-steps", o.photograph_steps);
  line.option("--from", o.from, "First stage to run; a later one than words needs --start")
      .one_of(stages);
  line.option("--start", o.start, "Checkpoint of the stage before it").existing_file();
  line.option("--images", o.images, "Pictures a step");
  line.option("--turns", o.turns, "Turns about each picture, at most");
  line.option("--rate", o.rate, "Peak learning rate");
  line.option("--decay", o.decay, "Weight decay");
  line.flag("--keep-words", o.keep_words,
            "No weight decay of the embeddings, which would shrink those of words not said");
  line.option("--words-weight", o.words_weight, "Weight of the words' loss");
  line.option("--threads", o.threads).positive();
  line.option("--report", o.report, "Steps between reports");
  if (const auto status = line.end_of(argc, argv)) return *status;
  try {
    return run(o);
  } catch (const Error& error) {
    fmt::print(stderr, "pretrain: {}\n", error.what());
    return 1;
  }
}
