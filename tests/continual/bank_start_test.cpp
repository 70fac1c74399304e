// At which values the branches of a bank start in a run.
#include <doctest/doctest.h>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "continual/stream.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using B = Stream::B;
using Values = std::map<std::string, std::vector<float>>;

/// What the adapters' values are when a task has begun and nothing of it is learned yet.
class Begun final : public continual::Strategy<B> {
 public:
  explicit Begun(std::vector<Values>* tasks) : tasks_(tasks) {}
  continual::RunConfig config() const override { return nlohmann::json{{"name", "Begun"}}; }
  void begin_task(const continual::Lesson<B>&) override { first_ = true; }
  void change_gradient(Tape<B>& tape, model::Multimodal<B>& model) override {
    if (!first_) return;
    first_ = false;
    Values& values = tasks_->emplace_back();
    for (const auto& p : model.parameters()) {
      if (p.name.find(".lora_") == std::string::npos) continue;
      values[p.name] = to_host(tape.backend(), MatrixView<const float>(p.value));
    }
  }

 private:
  std::vector<Values>* tasks_;
  bool first_ = true;
};

/// The values at the beginning of each task, and those that the last one ends at.
template <class V>
std::vector<Values> begun(Stream& stream, std::span<const continual::TaskData<B>> tasks) {
  std::vector<Values> values;
  const std::vector<continual::StrategyFactory<B>> spy{
      [&](B&) { return std::make_unique<Begun>(&values); }};
  continual::run_stream(stream.backend, stream.base, tasks, method_of<B, V>(), "Tiny",
                        Stream::options(), {}, {}, spy);
  return values;
}

/// Whether branch `b` has the values of branch `of` in every linear.
bool same(const Values& values, int b, int of) {
  std::size_t compared = 0;
  for (const auto& [name, v] : values) {
    for (const char* factor : {".lora_A.", ".lora_B."}) {
      if (!name.ends_with(factor + std::to_string(b))) continue;
      std::string other = name;
      other.back() = static_cast<char>('0' + of);
      if (values.at(other) != v) return false;
      ++compared;
    }
  }
  return compared > 0;
}

using Bank = LoraBank<2, 3>;

}  // namespace

TEST_CASE("a fresh branch starts at no other's values, one of the latest at those before it") {
  Stream stream;
  const auto fresh = begun<Bank>(stream, stream.tasks);
  REQUIRE(fresh.size() == 3);
  CHECK_FALSE(same(fresh[1], 1, 0));
  const auto latest = begun<Bank::with<branch_start::Latest>>(stream, stream.tasks);
  CHECK(latest[0] == fresh[0]);
  CHECK(same(latest[1], 1, 0));
  CHECK(same(latest[2], 2, 1));
  CHECK_FALSE(same(latest[2], 1, 0));
  CHECK_FALSE(same(latest[2], 2, 0));
}

TEST_CASE("a branch starts at the values of the task whose samples are most like its own") {
  Stream stream;
  using Near = Bank::with<branch_start::Nearest>;
  // The third task is one of the others come back: the selector takes it for that one.
  for (const std::size_t back : {std::size_t{0}, std::size_t{1}}) {
    CAPTURE(back);
    std::vector<continual::TaskData<B>> tasks;
    Stream other;
    tasks.push_back(std::move(other.tasks[0]));
    tasks.push_back(std::move(other.tasks[1]));
    Stream again;
    tasks.push_back(std::move(again.tasks[back]));
    const auto nearest = begun<Near>(stream, tasks);
    REQUIRE(nearest.size() == 3);
    CHECK(same(nearest[1], 1, 0));
    CHECK(same(nearest[2], 2, static_cast<int>(back)));
    CHECK_FALSE(same(nearest[2], 2, 1 - static_cast<int>(back)));
  }
}
