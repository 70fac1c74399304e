#include "branchlora/continual/strategy.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/continual/strategy/ewc.hpp"
#include "branchlora/continual/strategy/lwf.hpp"
#include "branchlora/continual/strategy/orthogonal.hpp"
#include "branchlora/continual/strategy/replay.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;
using namespace branchlora::continual::strategy;
using B = Stream::B;
using continual::RunResult;
using Factories = std::vector<continual::StrategyFactory<B>>;

namespace {

using Branch = BranchLora<2, 4, 1>;
using Moe = MoeLora<2, 4>;

template <class... Settings>
Factories with(const Settings&... settings) {
  return {continual::strategy_factory<B>(settings)...};
}

continual::Options options() {
  continual::Options o = Stream::options();
  o.steps = 10;
  o.hyper.dropout = 0.1;
  return o;
}

template <class V>
RunResult run(Stream& stream, const Factories& strategies,
              const std::filesystem::path& snapshot = {}, std::size_t tasks = 3,
              const continual::Listener& listener = {}) {
  return continual::run_stream(stream.backend, stream.base, stream.first(tasks), method_of<B, V>(),
                               "Tiny", options(), snapshot, listener, strategies)
      .front();
}

/// Thrown in the middle of a run, as a kill would come.
struct Killed {};

/// A run that is killed in its second task and in scoring its third, and goes on each time, ends in
/// the same bits as one that is not. Returns its tensors.
template <class V>
Tensors check_resumed(Stream& stream, const Factories& strategies) {
  const auto whole = stream.path("whole.safetensors");
  const auto killed = stream.path("killed.safetensors");
  for (const auto& path : {whole, killed}) std::filesystem::remove(path);
  const RunResult once = run<V>(stream, strategies, whole);
  for (const std::string moment : {"task say", "task count, scoring task look"}) {
    CHECK_THROWS_AS(run<V>(stream, strategies, killed, 3,
                           [&](Index, const std::string& now) {
                             if (now == moment) throw Killed{};
                           }),
                    Killed);
  }
  const RunResult again = run<V>(stream, strategies, killed);
  CHECK(tensors_of(killed) == tensors_of(whole));
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j <= i; ++j) CHECK(again.R(i, j) == once.R(i, j));
  }
  CHECK(again.config == once.config);
  return tensors_of(whole);
}

}  // namespace

TYPE_TO_STRING(Branch);
TYPE_TO_STRING(Moe);

TEST_CASE_TEMPLATE("a run with strategies that was killed goes on to the same bits", V, Branch,
                   Moe) {
  Stream stream;
  const Tensors without = check_resumed<V>(stream, {});
  const Ewc ewc{.lambda = 100, .gamma = 0.5, .samples = 8};
  const Replay replay{.bytes = 1500, .share = 0.5};
  for (const Factories& strategies :
       {with(ewc), with(Lwf{}), with(replay), with(Orthogonal{.lambda1 = 0.1, .lambda2 = 0.1}),
        with(replay, Lwf{}), with(ewc, Orthogonal{.lambda2 = 0.1}, Lwf{}, replay)}) {
    CAPTURE(strategies.size());
    const Tensors tensors = check_resumed<V>(stream, strategies);
    CHECK(tensors.at("decoder.block.0.q.lora_B.0") != without.at("decoder.block.0.q.lora_B.0"));
  }
}

TEST_CASE("each of two strategies acts, and what they do is not what one does") {
  Stream stream;
  const auto tensors = [&](const Factories& strategies) {
    const auto path = stream.path("run.safetensors");
    std::filesystem::remove(path);
    run<Moe>(stream, strategies, path, 2);
    return tensors_of(path).at("decoder.block.0.q.lora_B.0");
  };
  const Replay replay{.bytes = 3000};
  const auto both = tensors(with(replay, Lwf{}));
  CHECK(both != tensors(with(replay)));
  CHECK(both != tensors(with(Lwf{})));
  // Weights of zero leave the other as it is.
  CHECK(tensors(with(replay)) == tensors(with(replay, Lwf{.alpha = 0}, Ewc{.lambda = 0},
                                              Orthogonal{.lambda1 = 0, .lambda2 = 0})));
  CHECK(tensors({}) == tensors(with(Replay{.bytes = 3000, .share = 0})));
}

TEST_CASE("strategies do nothing in the first task but remember") {
  Stream stream;
  const auto path = [&](const char* name) { return stream.path(name); };
  run<Moe>(stream, {}, path("plain.safetensors"), 1);
  run<Moe>(stream, with(Ewc{}, Lwf{}, Replay{}, Orthogonal{}), path("all.safetensors"), 1);
  auto all = tensors_of(path("all.safetensors"));
  std::erase_if(all, [](const auto& t) { return t.first.starts_with("strategy.0."); });
  CHECK(all == tensors_of(path("plain.safetensors")));
}

TEST_CASE("replay keeps what the run would forget") {
  Stream stream;
  continual::Options o = Stream::options();
  const auto final_mean = [&](const Factories& strategies) {
    double mean = 0;
    for (const std::uint64_t seed : {1, 2, 3}) {
      o.seed = seed;
      mean +=
          continual::acc(continual::run_stream(stream.backend, stream.base, stream.first(3),
                                               method_of<B, Moe>(), "Tiny", o, {}, {}, strategies)
                             .front()
                             .R) /
          3;
    }
    return mean;
  };
  const double plain = final_mean({});
  const double replayed = final_mean(with(Replay{.bytes = 100000}));
  INFO(fmt::format("{} without, {} with", plain, replayed));
  CHECK(replayed > plain + 10);
}

TEST_CASE("the record names the strategies, their numbers and the memory that they held") {
  Stream stream;
  const RunResult plain = run<Moe>(stream, {}, {}, 2);
  CHECK(!plain.config.json().contains("strategies"));
  const RunResult r = run<Moe>(stream, with(Ewc{.lambda = 3}, Lwf{}, Replay{.bytes = 2000}), {}, 2);
  const auto& list = r.config.json().at("strategies");
  REQUIRE(list.size() == 3);
  CHECK(list[0].at("name") == "EWC");
  CHECK(list[0].at("lambda") == 3);
  CHECK(list[0].at("held_bytes") == 2 * 4 * r.trainable);
  CHECK(list[1].at("name") == "LwF");
  CHECK(list[1].at("held_bytes") == 12 * 2 * 11 * 4);  // two rows of 11 floats a sample
  CHECK(list[2].at("name") == "Replay");
  CHECK(list[2].at("bytes") == 2000);
  CHECK(list[2].at("held_bytes") <= 2000);
  CHECK(list[2].at("held_bytes") > 1000);
  CHECK(r.trainable == plain.trainable);
}

TEST_CASE("a snapshot of a run with other strategies is refused") {
  Stream stream;
  const auto path = stream.path("run.safetensors");
  run<Moe>(stream, with(Ewc{.lambda = 1}), path, 2);
  for (const Factories& other :
       {with(), with(Ewc{.lambda = 2}), with(Lwf{}), with(Ewc{.lambda = 1}, Lwf{})}) {
    check_mentions(error_of([&] { run<Moe>(stream, other, path, 2); }), path.string(),
                   "another run");
  }
}
