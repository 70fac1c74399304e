#include "branchlora/continual/run.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;
using continual::Options;
using continual::RunResult;

namespace {

using Branch = BranchLora<2, 4, 1>;
using Given = Branch::with<selector::Given>;
using Ridge = Branch::with<selector::Ridge>;
using Each = Branch::with<selector::Each<selector::NearestKeyOf<Reads::picture>, selector::Ridge>>;
using Moe = MoeLora<2, 4>;

template <class V>
std::vector<RunResult> run(Stream& stream, const Options& options,
                           const std::filesystem::path& snapshot = {},
                           const continual::Listener& listener = {}, std::size_t tasks = 3) {
  return continual::run_stream(stream.backend, stream.base, stream.first(tasks), method_of<B, V>(),
                               "Tiny", options, snapshot, listener);
}

/// What must be the same of two runs that are the same, bit for bit.
struct Outcome {
  std::vector<double> scores;  ///< All of R, and how often the selector was right.
  Tensors tensors;
  bool operator==(const Outcome&) const = default;
};

/// All of R, -1 where it was not measured.
std::vector<double> scores_of(const RunResult& result) {
  std::vector<double> scores;
  for (const double score : result.R.values()) scores.push_back(std::isnan(score) ? -1 : score);
  return scores;
}

Outcome outcome(const std::vector<RunResult>& results, const std::filesystem::path& snapshot) {
  Outcome all{{}, tensors_of(snapshot)};
  for (const RunResult& r : results) {
    for (const double score : scores_of(r)) all.scores.push_back(score);
    all.scores.push_back(r.selector_accuracy.value_or(-1));
  }
  return all;
}

void check_same(const Outcome& a, const Outcome& b) {
  INFO(fmt::format("scores {} and {}", fmt::join(a.scores, " "), fmt::join(b.scores, " ")));
  CHECK(a.scores == b.scores);
  CHECK(a.tensors == b.tensors);
}

template <class V>
Outcome run_outcome(Stream& stream, const Options& options, const std::string& file) {
  const auto results = run<V>(stream, options, stream.path(file));
  return outcome(results, stream.path(file));
}

/// Thrown in the middle of a run, as a kill would come.
struct Killed {};

/// Runs until the listener first hears of `what`.
template <class V>
void run_until(Stream& stream, const Options& options, const std::filesystem::path& snapshot,
               const std::string& what) {
  CHECK_THROWS_AS(run<V>(stream, options, snapshot,
                         [&](Index, const std::string& now) {
                           if (now == what) throw Killed{};
                         }),
                  Killed);
}

}  // namespace

TYPE_TO_STRING(Branch);
TYPE_TO_STRING(Each);
TYPE_TO_STRING(Moe);
TYPE_TO_STRING(Lora<2>);

TEST_CASE("tasks are learned, and the record says how") {
  Stream stream;
  Index steps = 0;
  const auto results = run<Branch>(stream, Stream::options(), {},
                                   [&](Index done, const std::string&) { steps += done; });
  REQUIRE(results.size() == 2);
  const RunResult& r = results[0];
  CHECK(steps == 3 * Stream::options().steps);
  CHECK(r.method == "Tiny");
  CHECK(r.seed == 1);
  CHECK(r.protocol == "Domain-IL");
  CHECK(r.tasks == std::vector<std::string>{"task look", "task say", "task count"});
  CHECK(r.stage_steps == std::vector<Index>(3, Stream::options().steps));
  CHECK(r.stage_seconds.size() == 3);
  CHECK(r.config.json().at("variant") == Branch::describe());
  CHECK(r.config.json().at("steps") == Stream::options().steps);
  // Each task scores well once it is learned, and a base of random weights knows none.
  for (std::size_t t = 0; t < 3; ++t) {
    CAPTURE(t);
    CHECK(r.R(t, t) >= 50);
  }
  CHECK(r.R(0, 1) == 0);
  CHECK(r.R(1, 2) < 50);
}

TEST_CASE("where keys pick the router, a second record has the true task given") {
  Stream stream;
  const auto results = run<Branch>(stream, Stream::options());
  REQUIRE(results.size() == 2);
  CHECK(results[1].method == "Tiny, task given");
  CHECK(results[1].protocol == "Task-IL");
  CHECK(!results[1].selector_accuracy);
  // The instructions of these tasks differ, so the keys find every task that has been learned.
  CHECK(results[0].selector_accuracy == doctest::Approx(100));
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j <= i; ++j) CHECK(results[0].R(i, j) == results[1].R(i, j));
  }
  // The same training with a selector that is told has the second record as its only one.
  const auto told = run<Given>(stream, Stream::options());
  REQUIRE(told.size() == 1);
  CHECK(told[0].protocol == "Task-IL");
  CHECK(scores_of(told[0]) == scores_of(results[1]));

  const auto moe = run<Moe>(stream, Stream::options());
  REQUIRE(moe.size() == 1);
  CHECK(moe[0].protocol == "Domain-IL");
  CHECK(!moe[0].selector_accuracy);
}

TEST_CASE("several selectors share a training, each with a record as if it were the only one") {
  Stream stream;
  const auto both = run<Each>(stream, Stream::options());
  REQUIRE(both.size() == 3);
  CHECK(both[0].method == "Tiny");
  CHECK(both[1].method == "Tiny, ridge");
  CHECK(both[2].method == "Tiny, task given");
  using Pictures = Branch::with<selector::NearestKeyOf<Reads::picture>>;
  const auto pictures = run<Pictures>(stream, Stream::options());
  const auto ridge = run<Ridge>(stream, Stream::options());
  for (const auto& [one, alone] : {std::pair(both[0], pictures[0]), std::pair(both[1], ridge[0]),
                                   std::pair(both[2], ridge[1])}) {
    CAPTURE(one.method);
    CHECK(scores_of(one) == scores_of(alone));
    CHECK(one.protocol == alone.protocol);
    CHECK(one.selector_accuracy == alone.selector_accuracy);
    for (const char* entry : {"selector", "selector_bytes"}) {
      CHECK(one.config.json().value(entry, io::Json()) ==
            alone.config.json().value(entry, io::Json()));
    }
  }
  CHECK(!both[2].selector_gap);
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(both[k].selector_gap == continual::acc(both[2].R) - continual::acc(both[k].R));
  }
  // Pictures of all tasks look alike here, instructions do not.
  CHECK(both[0].selector_accuracy < 99);
  CHECK(both[1].selector_accuracy == doctest::Approx(100));
  CHECK(both[0].config.json().at("selector") == "nearest key (picture)");
}

TEST_CASE("a bank that mixes tasks is trained as one that does not, and answers as they weigh") {
  Stream stream;
  using Bank = LoraBank<2, 4>;
  using Cold = selector::SoftmaxKeys<Reads::both, 1>;
  using Soft =
      Bank::with<TopK<4>,
                 selector::Each<selector::NearestKey, selector::SoftmaxKeys<>, selector::Uniform>>;
  const auto path = stream.path("soft.safetensors");
  const auto soft = run<Soft>(stream, Stream::options(), path);
  REQUIRE(soft.size() == 4);
  CHECK(soft[1].method == "Tiny, softmax keys");
  CHECK(soft[2].method == "Tiny, uniform");
  CHECK(soft[0].selector_accuracy == soft[1].selector_accuracy);
  // The tests of all tasks are as large: always the first task is a third.
  CHECK(soft[2].selector_accuracy == doctest::Approx(100.0 / 3));
  CHECK(scores_of(soft[2]) != scores_of(soft[3]));  // a mean of three is none of them
  CHECK(soft[1].config.json().at("selector") == "softmax keys");

  // While there is one task it has all the weight.
  for (std::size_t k = 0; k < 3; ++k) CHECK(soft[k].R(0, 0) == soft[3].R(0, 0));
  // What was kept is restored, and has nothing left to do.
  check_same(outcome(run<Soft>(stream, Stream::options(), path), path), outcome(soft, path));
  // Cold weights are nearly those of the nearest key; TopK<2> leaves two.
  const auto cold = run<Bank::with<TopK<2>, Cold>>(stream, Stream::options());
  CHECK(cold[0].selector_accuracy == soft[0].selector_accuracy);
}

TEST_CASE("the same choice of tasks is scored once") {
  Stream stream;
  const auto calls = [&](auto selectors, const std::vector<std::vector<std::int32_t>>& expected) {
    continual::Progressed done(method_of<B, Branch::with<decltype(selectors)>>());
    for (Index t = 0; t < 3; ++t) continual::add_task(done, t, stream.tasks[0].train);
    done.scores.emplace_back();
    for (auto& s : done.selectors) s.scores.emplace_back();
    std::vector<std::vector<std::int32_t>> asked;
    continual::score_task(stream.tasks[1].test, 1, 2, 3, done,
                          [&](const continual::TaskChoice& choice) {
                            CHECK(choice.weights.empty());
                            asked.push_back(choice.tasks);
                            return 10.0 * static_cast<double>(asked.size());
                          });
    CHECK(asked == expected);
    return done;
  };
  const std::vector<std::int32_t> first(6, 0);
  const std::vector<std::int32_t> told(6, 2);
  // Tasks of the same samples: of equals, both take the first.
  const auto done = calls(
      selector::Each<selector::NearestKey, selector::NearestKeyOf<Reads::text>>{}, {first, told});
  CHECK(done.selectors[0].scores == std::vector<std::vector<double>>{{10}});
  CHECK(done.selectors[1].scores == std::vector<std::vector<double>>{{10}});
  CHECK(done.scores == std::vector<std::vector<double>>{{20}});
  CHECK(done.selectors[0].accuracy == 0);
}

TEST_CASE("tasks further ahead than the next are scored only if that is asked for") {
  Stream stream;
  Options options = Stream::options();
  options.steps = 2;
  const RunResult some = run<Moe>(stream, options)[0];
  options.full_matrix = true;
  const RunResult all = run<Moe>(stream, options)[0];
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(!std::isnan(all.R(i, j)));
      CHECK(std::isnan(some.R(i, j)) == (j > i + 1));
      if (j <= i + 1) CHECK(some.R(i, j) == all.R(i, j));
    }
  }
}

TEST_CASE_TEMPLATE("a seed decides every bit", V, Branch, Moe) {
  Stream stream;
  const Outcome one = run_outcome<V>(stream, Stream::options(1), "1.safetensors");
  check_same(one, run_outcome<V>(stream, Stream::options(1), "again.safetensors"));
  CHECK(one.tensors != run_outcome<V>(stream, Stream::options(2), "2.safetensors").tensors);
}

TEST_CASE("activations that are calculated again take less memory and change no bit") {
  Stream stream;
  Options options = Stream::options();
  options.hyper.dropout = 0.1;
  options.steps = 5;
  const auto text = options.to_json();
  const auto method = method_of<B, Branch>();
  const auto peak = [&] {
    const continual::Listener nobody;
    continual::Learner<B> learner(stream.backend, stream.base, method, options, nobody);
    learner.model.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
    continual::train(learner, stream.tasks.front().train, "task", 2, Random(1));
    return learner.tape.peak_bytes();
  };
  const Outcome kept = run_outcome<Branch>(stream, options, "kept.safetensors");
  const std::size_t most = peak();
  options.recompute = true;
  CHECK(options.to_json() == text);
  check_same(kept, run_outcome<Branch>(stream, options, "again.safetensors"));
  CHECK(peak() < most);
}

TEST_CASE("one, two and three threads give the same bits") {
  Stream stream;
  Options options = Stream::options();
  options.batch = 24;  // enough rows for several blocks of a product
  options.hyper.dropout = 0.1;
  options.steps = 5;
  const Outcome one = run_outcome<Branch>(stream, options, "1.safetensors");
  for (const int threads : {2, 3}) {
    CAPTURE(threads);
    stream.backend.set_threads(threads);
    check_same(one, run_outcome<Branch>(stream, options, std::to_string(threads) + ".safetensors"));
  }
}

TEST_CASE_TEMPLATE("a run that was killed goes on from its last finished task to the same bits", V,
                   Branch, Each, Moe, Lora<2>) {
  Stream stream;
  Options options = Stream::options();
  options.hyper.dropout = 0.1;
  const Outcome whole = run_outcome<V>(stream, options, "whole.safetensors");
  // In the first task; in training after the first; in scoring after the second; after the second.
  for (const std::string moment : {"task look", "task say", "task say, scoring task look",
                                   "task count", "task count, scoring task count"}) {
    CAPTURE(moment);
    const auto path = stream.path("killed.safetensors");
    std::filesystem::remove(path);
    run_until<V>(stream, options, path, moment);
    CHECK(std::filesystem::exists(path) == (moment != "task look"));
    Index steps = 0;
    const auto results =
        run<V>(stream, options, path, [&](Index done, const std::string&) { steps += done; });
    CHECK(steps == 3 * options.steps);  // what was done before counts as done
    check_same(outcome(results, path), whole);
  }
  // Killed after every task.
  const auto path = stream.path("often.safetensors");
  run_until<V>(stream, options, path, "task say");
  run_until<V>(stream, options, path, "task count");
  check_same(outcome(run<V>(stream, options, path), path), whole);
  // A finished run has nothing left to do and says the same again.
  check_same(outcome(run<V>(stream, options, path), path), whole);
}

TEST_CASE("a snapshot of another run is refused") {
  Stream stream;
  const auto path = stream.path("run.safetensors");
  const Options options = Stream::options();
  run<Branch>(stream, options, path, {}, 2);
  const auto before = tensors_of(path);
  const auto refused = [&](auto action) {
    check_mentions(error_of(action), path.string(), "another run");
  };
  refused([&] { run<Branch>(stream, Stream::options(2), path, {}, 2); });
  refused([&] {
    Options longer = options;
    ++longer.steps;
    run<Branch>(stream, longer, path, {}, 2);
  });
  refused([&] { run<Branch>(stream, options, path, {}, 3); });  // other tasks
  refused([&] {
    continual::run_stream(stream.backend, stream.base, stream.first(2), method_of<B, Branch>(),
                          "Other", options, path);
  });
  refused([&] {
    Stream other(2);
    continual::run_stream(other.backend, other.base, other.first(2), method_of<B, Branch>(), "Tiny",
                          options, path);
  });
  check_mentions(error_of([&] { run<Moe>(stream, options, path, {}, 2); }), path.string(),
                 Moe::describe(), Branch::describe());
  CHECK(tensors_of(path) == before);
}

TEST_CASE("a gradient that is not finite ends the run with the task and the step") {
  Stream stream;
  Options options = Stream::options();
  options.rate = std::numeric_limits<double>::infinity();
  const std::string message = error_of([&] { run<Moe>(stream, options); });
  check_mentions(message, "task look", "step 1", "nan");
}

TEST_CASE("a parameter that is not finite after the last step ends the run with its name") {
  Stream stream;
  Options options = Stream::options();
  options.rate = std::numeric_limits<double>::infinity();
  options.steps = 1;
  const std::string message = error_of([&] { run<Moe>(stream, options); });
  check_mentions(message, "task look", "after the last step", "is not finite");
}

namespace {

/// What adapters were told, in order.
struct Told {
  std::vector<std::string> events;
  int supervised = 0, unsupervised = 0;
};

/// An adapter that passes everything on and writes down what it is told.
class Spy final : public AnyAdapter<B> {
 public:
  Spy(std::unique_ptr<AnyAdapter<B>> inner, Told* told) : inner_(std::move(inner)), told_(told) {}

  Var<float> operator()(Tape<B>& tape, Var<float> x, Var<float> y,
                        const RoutingContext& routing) override {
    if (told_ != nullptr) ++(routing.supervise ? told_->supervised : told_->unsupervised);
    CHECK(routing.supervise == (tape.recording() && routing.dropout != nullptr));
    return (*inner_)(tape, x, y, routing);
  }
  void begin_task(Index task) override {
    tell(fmt::format("task {}", task));
    inner_->begin_task(task);
  }
  void begin_stage(Index stage) override {
    tell(fmt::format("stage {}", stage));
    inner_->begin_stage(stage);
  }
  void end_task() override {
    tell("end");
    inner_->end_task();
  }
  std::vector<std::uint64_t> state() const override { return inner_->state(); }
  void restore(std::span<const std::uint64_t> state) override { inner_->restore(state); }
  void merge_into(MatrixView<float> weight) const override { inner_->merge_into(weight); }
  std::vector<double> activity() const override { return inner_->activity(); }
  BranchSet active() const override { return inner_->active(); }
  BranchSet frozen() const override { return inner_->frozen(); }
  const std::string& name() const override { return inner_->name(); }

 private:
  void tell(const std::string& event) {
    if (told_ != nullptr) told_->events.push_back(event);
  }

  std::unique_ptr<AnyAdapter<B>> inner_;
  Told* told_;
};

/// The method of `Branch` in these stages; one adapter tells what it hears.
Method<B> in_stages(std::vector<double> stages, Told& told) {
  Method<B> method = method_of<B, Branch>();
  method.stages = std::move(stages);
  method.make = [make = method.make, &told](auto& parameters, const Place& place, auto weight,
                                            const Hyper& hyper, const Random& random) {
    return std::make_unique<Spy>(make(parameters, place, weight, hyper, random),
                                 place.name == "decoder.block.0.q" ? &told : nullptr);
  };
  return method;
}

}  // namespace

TEST_CASE("a task is learned in its method's stages, and in training its labels are known") {
  Stream stream;
  Options options = Stream::options();
  options.steps = 6;
  options.observed = 0;
  const auto learn = [&](std::vector<double> stages, const std::string& file, Told& told) {
    const auto results = continual::run_stream(stream.backend, stream.base, stream.first(2),
                                               in_stages(std::move(stages), told), "Tiny", options,
                                               stream.path(file));
    return outcome(results, stream.path(file));
  };
  Told once;
  const Outcome plain = learn({1.0}, "plain.safetensors", once);
  CHECK(once.events ==
        std::vector<std::string>{"task 0", "stage 0", "end", "task 1", "stage 0", "end"});
  CHECK(once.supervised == 2 * 6);
  CHECK(once.unsupervised > 0);  // in scoring

  Told twice;
  const Outcome halves = learn({0.5, 0.5}, "halves.safetensors", twice);
  CHECK(twice.events == std::vector<std::string>{"task 0", "stage 0", "stage 1", "end", "task 1",
                                                 "stage 0", "stage 1", "end"});
  CHECK(twice.supervised == 2 * 6);
  CHECK(halves.tensors != plain.tensors);  // schedule and moments began anew
  // A stage without steps is as if it were not there.
  Told empty;
  check_same(learn({0.0, 1.0}, "empty.safetensors", empty), plain);
}

TEST_CASE("stages end at the rounded sums of their shares, which are all there is") {
  CHECK(continual::stage_ends({1.0}, 7) == std::vector<Index>{7});
  CHECK(continual::stage_ends({0.5, 0.25, 0.25}, 10) == std::vector<Index>{5, 8, 10});
  CHECK(continual::stage_ends({0.1, 0.2, 0.3, 0.4}, 1000) ==
        std::vector<Index>{100, 300, 600, 1000});
  check_mentions(error_of([] { continual::stage_ends({0.5, 0.4}, 10); }), "sum to 1", "0.9");
  check_mentions(error_of([] { continual::stage_ends({1.5, -0.5}, 10); }), "at least 0", "-0.5");
}

TEST_CASE("routers and branches that are frozen keep their bits through later tasks") {
  // What a run does with its first tasks does not depend on those that follow, so runs of one, two
  // and three tasks show one run after each.
  Stream stream;
  std::vector<Tensors> after;
  std::vector<nlohmann::json> states;
  for (std::size_t tasks = 1; tasks <= 3; ++tasks) {
    const auto path = stream.path(std::to_string(tasks) + ".safetensors");
    run<Branch>(stream, Stream::options(), path, {}, tasks);
    after.push_back(tensors_of(path));
    states.push_back(state_of(path));
  }
  const std::vector<std::string> layers{"q", "k", "v", "o", "gate", "up", "down"};
  Index kept = 0;
  Index moved = 0;
  for (std::size_t stage = 0; stage < 2; ++stage) {
    for (std::size_t layer = 0; layer < 14; ++layer) {
      const std::string name = fmt::format("decoder.block.{}.{}", layer / 7, layers[layer % 7]);
      CAPTURE(name);
      // One branch is frozen after each task, and stays so.
      const auto frozen = states[stage].at("adapters").at(layer).at(1).get<std::uint64_t>();
      const auto later = states[stage + 1].at("adapters").at(layer).at(1).get<std::uint64_t>();
      CHECK(std::popcount(frozen) == static_cast<int>(stage) + 1);
      CHECK((frozen & ~later) == 0);
      for (int branch = 0; branch < 4; ++branch) {
        const std::string b = fmt::format("{}.lora_B.{}", name, branch);
        const bool same = after[stage].at(b) == after[stage + 1].at(b);
        if ((frozen >> branch & 1U) != 0) {
          CHECK(same);
          ++kept;
        } else if (!same) {
          ++moved;
        }
      }
      for (std::size_t task = 0; task <= stage; ++task) {
        const std::string router = fmt::format("{}.router.{}", name, task);
        CHECK(after[stage].at(router) == after[stage + 1].at(router));
      }
      CHECK(after[stage].at(name + ".lora_A") != after[stage + 1].at(name + ".lora_A"));
    }
  }
  CHECK(kept == 14 * (1 + 2));
  CHECK(moved > 0);
}

TEST_CASE("the record counts what was learned, the projector if it was") {
  Stream stream;
  Options options = Stream::options();
  options.steps = 1;
  const auto count = [&](const std::string& part) {
    const auto file = io::SafeTensors::open(stream.path("x.safetensors"));
    Index n = 0;
    for (const auto& name : file.names()) {
      if (name.starts_with("selector.")) continue;  // gathered, not trained
      if (name.find(part) != std::string::npos) n += file.tensor(name).size();
    }
    return n;
  };
  const auto learned = run<Branch>(stream, options, stream.path("x.safetensors"))[0];
  CHECK(learned.trainable == count(""));
  CHECK(learned.router == count(".router"));
  options.projector_rate = 0;
  std::filesystem::remove(stream.path("x.safetensors"));
  const auto frozen = run<Branch>(stream, options, stream.path("x.safetensors"))[0];
  CHECK(frozen.trainable == count("") - count("projector."));
  TinyModel<float> base;
  const auto tensors = tensors_of(stream.path("x.safetensors"));
  for (const auto& [name, bytes] : tensors) {
    if (!name.starts_with("projector.")) continue;
    const auto* p = base.net.parameters().find(name);
    CHECK(std::memcmp(bytes.data(), p->value.data, bytes.size()) == 0);
  }
}

TEST_CASE("learning may leave out the snapshot, and none is written then") {
  Stream stream;
  Options options = Stream::options();
  options.steps = 1;
  run<Moe>(stream, options);
  for (const auto& entry : std::filesystem::directory_iterator(stream.folder.path())) {
    const auto name = entry.path().filename().string();
    CHECK((name == "base.safetensors" || entry.path().extension() != ".safetensors"));
  }
}
