#include "branchlora/continual/snapshot.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = Stream::B;
using continual::Progressed;

namespace {

using Branch = BranchLora<2, 4, 1>::with<selector::Each<selector::NearestKey, selector::Ridge>>;

/// The tiny model with adapters of `V` in the second of their tasks.
template <class V>
struct Learner {
  explicit Learner(std::uint64_t seed) : method(method_of<B, V>()) {
    tiny.net.freeze_base(Storage::full, 1.0);
    tiny.net.attach(method, {}, Random(seed));
  }
  void learn_two_tasks() {
    for (Index task = 0; task < 2; ++task) {
      tiny.net.for_each_adapter([&](auto& adapter) {
        adapter.begin_task(task);
        adapter.end_task();
      });
    }
    tiny.randomise(".lora_", 0.5);
    tiny.randomise("projector.", 0.5);
  }
  std::map<std::string, Dense> learned() {
    std::map<std::string, Dense> values;
    for (const auto& p : tiny.net.parameters()) {
      if (continual::detail::is_learned(p)) values[p.name] = to_dense(p.value);
    }
    return values;
  }
  std::vector<std::vector<std::uint64_t>> states() {
    std::vector<std::vector<std::uint64_t>> all;
    tiny.net.for_each_adapter([&](auto& adapter) { all.push_back(adapter.state()); });
    return all;
  }

  TinyModel<float> tiny;
  Method<B> method;
};

Progressed progress() {
  Progressed p;
  p.tasks_done = 2;
  p.scores = {{1.0 / 3, 0}, {2, 1e-17}};
  p.stage_seconds = {0.1, 0.2};
  p.selectors.push_back({std::make_unique<NearestKeySelector>(), {{4, 5}, {6, 7}}, 200.0 / 3});
  p.selectors.push_back({std::make_unique<RidgeSelector>(), {{8, 1.0 / 7}, {9, 0}}, 100.0 / 3});
  for (continual::Selected& s : p.selectors) {
    s.selector->add(0, {{1, 2}, {3}});
    s.selector->end_task();
    s.selector->add(1, {{}, {-1}});
    s.selector->end_task();
  }
  return p;
}

}  // namespace

TEST_CASE("what is learned is adapters, routers and projector") {
  Learner<Branch> learner(1);
  learner.learn_two_tasks();
  Index adapters = 0;
  for (const auto& [name, value] : learner.learned()) {
    CHECK((name.starts_with("projector.") || name.starts_with("decoder.block.")));
    CHECK(name.find(".weight") ==
          (name.starts_with("projector.") ? name.find(".weight") : std::string::npos));
    adapters += name.find(".router.") != std::string::npos ? 1 : 0;
  }
  CHECK(adapters == 2 * 14);  // two tasks' routers on seven linears of two blocks
}

TEST_CASE("a snapshot restores parameters, sets of branches, scores and keys to the bit") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "deep" / "run.safetensors";
  Learner<Branch> first(1);
  first.learn_two_tasks();
  continual::save_snapshot(path, first.tiny.net, first.method, progress(), "this run");
  Learner<Branch> second(2);
  const Progressed back =
      continual::load_snapshot(path, second.tiny.net, second.method, std::string("this run"));
  CHECK(second.learned() == first.learned());
  CHECK(second.states() == first.states());
  CHECK(back.tasks_done == 2);
  CHECK(back.scores == progress().scores);
  CHECK(back.stage_seconds == progress().stage_seconds);
  REQUIRE(back.selectors.size() == 2);
  for (std::size_t k = 0; k < 2; ++k) {
    CAPTURE(k);
    const Progressed expected = progress();
    CHECK(back.selectors[k].scores == expected.selectors[k].scores);
    CHECK(back.selectors[k].accuracy == expected.selectors[k].accuracy);
    CHECK(back.selectors[k].selector->state() == expected.selectors[k].selector->state());
  }
  for (const auto& p : second.tiny.net.parameters()) {
    if (p.name.find(".router.") != std::string::npos) CHECK(!p.trainable);
  }
  // Whoever does not say which run it is may read any.
  Learner<Branch> third(3);
  CHECK_NOTHROW(continual::load_snapshot(path, third.tiny.net, third.method, std::nullopt));
}

TEST_CASE("another run's, another variant's or no snapshot is refused by name") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run.safetensors";
  Learner<Branch> learner(1);
  learner.learn_two_tasks();
  const auto load = [&](auto fresh) {
    return error_of([&] {
      continual::load_snapshot(path, fresh->tiny.net, fresh->method, std::string("this run"));
    });
  };
  const auto branch = [] { return std::make_unique<Learner<Branch>>(2); };

  continual::save_snapshot(path, learner.tiny.net, learner.method, progress(), "that run");
  check_mentions(load(branch()), path.string(), "another run", "this run", "that run");
  check_mentions(load(std::make_unique<Learner<Lora<2>>>(2)), path.string(), Branch::describe(),
                 Lora<2>::describe());

  const auto write = [&](const io::Metadata& metadata) {
    model::save_parameters(
        path, learner.tiny.net.parameters(),
        [](const auto& p) { return continual::detail::is_learned(p); }, metadata);
  };
  write({});
  check_mentions(load(branch()), path.string(), "'variant'", "found none");
  write({{"variant", Branch::describe()}});
  check_mentions(load(branch()), path.string(), "'continual'", "found none");
  // What is there contradicts itself.
  continual::save_snapshot(path, learner.tiny.net, learner.method, progress(), "this run");
  const auto good = io::parse_json(io::SafeTensors::open(path).metadata().at("continual"), "good");
  const auto change = [&](const char* field, const io::Json& value) {
    io::Json changed = good;
    changed.at(io::Json::json_pointer(field)) = value;
    write({{"variant", Branch::describe()}, {"continual", changed.dump()}});
    return load(branch());
  };
  const std::string layer = "decoder.block.0.q";
  check_mentions(change("/tasks_done", 3), path.string(), "each of 3 tasks, found 2 rows");
  check_mentions(change("/tasks_done", -1), path.string(), "-1 tasks");
  check_mentions(change("/scores", io::Json::array()), path.string(), "found 0 rows");
  check_mentions(change("/selectors/1/scores", io::Json::array()), path.string(), "found 0 rows");
  check_mentions(change("/selectors", io::Json::array()), path.string(),
                 "scored by 2 selectors, found 0");
  check_mentions(change("/adapters/0/0", 1U << 4), layer, "some of 4 branches, found 0x10");
  check_mentions(change("/adapters/0/6", 0), layer, "some of 4 branches, found 0x0");
  check_mentions(change("/adapters/0", io::Json::array({1})), layer,
                 "1 numbers, expected at least 6");
  write({{"variant", Branch::describe()}, {"continual", "[1,"}});
  check_mentions(load(branch()), path.string(), "JSON");
  write({{"variant", Branch::describe()}, {"continual", R"({"run": "this run"})"}});
  check_mentions(load(branch()), path.string(), "can not be read", "tasks_done");

  continual::save_snapshot(path, learner.tiny.net, learner.method, progress(), "this run");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  check_mentions(load(branch()), path.string());
}
