// A batch that is split among ranks trains like the whole batch in one process.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/continual/strategy/ewc.hpp"
#include "branchlora/eigen/backend.hpp"
#include "parallel/check_training.hpp"
#include "parallel/threads.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using B = eigen::Backend<double>;
using Branch = BranchLora<2, 4, 1>;
using Moe = MoeLora<2, 4>;

template <class V>
std::vector<Trace> train(const Course<B>& course, Index ranks) {
  return on_ranks(ranks, [&](const ThreadRank& rank) { return course.train<V>(rank); });
}

}  // namespace

TYPE_TO_STRING(Branch);
TYPE_TO_STRING(Moe);
TYPE_TO_STRING(Lora<2>);

TEST_CASE_TEMPLATE("several ranks learn what one process does, up to rounding", V, Lora<2>, Branch,
                   Moe) {
  Course<B> course;
  for (const double clip : {1e3, 1e-2}) {  // never reached, and reached in every step
    CAPTURE(clip);
    course.options.clip = clip;
    const Trace one = course.train<V>();
    for (const double norm : one.norms) CHECK((norm > clip) == (clip < 1));
    for (const Index ranks : {2, 3}) {
      CAPTURE(ranks);
      check_same_training(train<V>(course, ranks), one);
    }
  }
}

TEST_CASE("results depend on the number of ranks and the seed, to the bit") {
  Course<B> course;
  course.options.hyper.dropout = 0.2;
  course.options.hyper.balance_weight = 0.1;
  const auto first = train<Branch>(course, 2);
  CHECK(first == train<Branch>(course, 2));
  CHECK(first[0].weights == first[1].weights);
  course.options.seed = 2;
  CHECK(train<Branch>(course, 2)[0].weights != first[0].weights);
}

TEST_CASE("ranks drop different elements of their shares") {
  Course<B> course;
  for (auto& example : course.examples) example = course.examples.front();
  const auto plain = train<Lora<2>>(course, 2);
  CHECK(plain[0].losses.front() == plain[1].losses.front());
  course.options.hyper.dropout = 0.5;
  // B is zero at first, so dropout shows from the second step on.
  const auto dropped = train<Lora<2>>(course, 2);
  CHECK(dropped[0].losses[1] != dropped[1].losses[1]);
}

TEST_CASE("what a strategy adds to the gradient is added once, however many ranks there are") {
  Course<B> course;
  const auto run = [&](const auto& ranks, const std::string& file) {
    B backend;
    std::vector<continual::TaskData<B>> tasks(2);
    for (std::size_t t = 0; t < 2; ++t) {
      tasks[t].info.name = std::to_string(t);
      tasks[t].train = tasks[t].test = course.split(backend);
    }
    return continual::run_stream<B>(
        backend, course.base, tasks, method_of<B, Lora<2>>(), "Tiny", course.options,
        course.folder.path() / file, {},
        {continual::strategy_factory<B>(continual::strategy::Ewc{.lambda = 1e3})}, ranks);
  };
  const auto alone = run(parallel::SingleProcess{}, "one.safetensors");
  const auto both = on_ranks(
      2, [&](const ThreadRank& rank) { return run(rank, "two.safetensors").front().trainable; });
  CHECK(both == std::vector<Index>(2, alone.front().trainable));
  // The first rank has written the snapshot.
  const auto read = [&](const char* name) {
    const auto file = io::SafeTensors::open(course.folder.path() / name);
    std::map<std::string, std::vector<double>> weights;
    for (const auto& tensor : file.names()) {
      auto& values = weights[tensor];
      values.resize(static_cast<std::size_t>(file.tensor(tensor).size()));
      file.read(tensor, std::span(values));
    }
    return weights;
  };
  check_near(read("two.safetensors"), read("one.safetensors"));
}
