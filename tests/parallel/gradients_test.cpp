#include "branchlora/parallel/gradients.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "branchlora/eigen/backend.hpp"
#include "io/temporary_folder.hpp"
#include "parallel/threads.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = eigen::Backend<float>;

namespace {

/// Four parameters of which the second is frozen; `fill` gives those that it wants a gradient.
struct Model {
  Model() : parameters(backend) {
    for (const char* name : {"a", "frozen", "b", "c"}) {
      auto& p = parameters.add(name, 2, 3);
      if (p.name != "frozen") parameters.set_trainable(p, true);
    }
  }
  void give(const std::string& name, float value) {
    Parameter<float>& p = *parameters.find(name);
    backend.fill(p.grad, value);
    p.has_grad = true;
  }
  std::vector<float> gradient(const std::string& name) {
    return to_host(backend, MatrixView<const float>(parameters.find(name)->grad));
  }

  B backend;
  ParameterSet<B> parameters;
};

std::vector<float> six(float value) { return std::vector<float>(6, value); }

}  // namespace

TEST_CASE("gradients are summed in the order of the ranks, where any rank has one") {
  // 1e8 + 1 - 1e8 is 0 in float, and 1 in any order that adds the large ones first.
  const float values[] = {1e8F, 1.0F, -1e8F};
  for (int repetition = 0; repetition < 5; ++repetition) {
    on_ranks(3, [&](const ThreadRank& rank) {
      Model model;
      model.give("a", values[rank.rank()]);
      if (rank.rank() == 1) model.give("b", 2.5F);
      parallel::GradientSum sum(model.parameters, rank);
      sum();
      CHECK(model.gradient("a") == six(0));
      CHECK(model.parameters.find("a")->has_grad);
      CHECK(model.gradient("b") == six(2.5F));
      CHECK(model.parameters.find("b")->has_grad);
      CHECK(!model.parameters.find("c")->has_grad);
      CHECK(!model.parameters.find("frozen")->has_grad);

      // The next step is a new one: what had a gradient in the last may have none.
      model.parameters.clear_gradients();
      model.give("c", 0.5F);
      sum();
      CHECK(!model.parameters.find("a")->has_grad);
      CHECK(!model.parameters.find("b")->has_grad);
      CHECK(model.gradient("c") == six(1.5F));
      return 0;
    });
  }
}

TEST_CASE("the gradients of a single process are left alone") {
  Model model;
  model.give("a", 3);
  const parallel::SingleProcess alone;
  parallel::GradientSum(model.parameters, alone)();
  CHECK(model.gradient("a") == six(3));
  CHECK(model.parameters.find("a")->has_grad);
  CHECK(!model.parameters.find("b")->has_grad);
}

TEST_CASE("ranks whose trained weights differ are told so, all of them") {
  const auto check = [](const std::string& name, float value) {
    return on_ranks(3, [&](const ThreadRank& rank) -> std::string {
      Model model;
      if (rank.rank() == 1) model.backend.fill(model.parameters.find(name)->value, value);
      try {
        parallel::expect_alike(model.parameters, rank);
      } catch (const Error& e) {
        return e.what();
      }
      return "";
    });
  };
  for (const auto& error : check("c", 1e-30F)) check_mentions(error, "all 3", "others in 1");
  CHECK(check("c", 0) == std::vector<std::string>(3));
  CHECK(check("frozen", 1) == std::vector<std::string>(3));
}
