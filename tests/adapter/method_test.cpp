#include "branchlora/adapter/method.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/eigen/backend.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;
using B = eigen::Backend<double>;

namespace {

template <class V>
Method<B> method() {
  return branchlora::method_of<B, V>();
}

}  // namespace

TEST_CASE("a method says of a variant what a training loop must know") {
  CHECK(method<Branch>().description == Branch::describe());
  CHECK(method<Branch>().description != method<BranchFrozenOnly>().description);
  const auto facts = [](const Method<B>& m) {
    return std::vector<bool>{m.per_task_router, m.selects, !m.selectors.empty(), m.freezes};
  };
  CHECK(facts(method<Lora4>()) == std::vector<bool>{false, false, false, false});
  CHECK(facts(method<Moe>()) == std::vector<bool>{false, false, false, false});
  CHECK(facts(method<MoeSparse::with<freezing::MostActive<1>>>()) ==
        std::vector<bool>{false, false, false, true});
  CHECK(facts(method<Branch>()) == std::vector<bool>{true, true, true, true});
  CHECK(facts(method<Branch::with<selector::Given>>()) ==
        std::vector<bool>{true, true, false, true});
  CHECK(facts(method<BranchCopied>()) == std::vector<bool>{true, true, true, false});
  CHECK(facts(method<Meteo>()) == std::vector<bool>{false, false, false, false});
  CHECK(method<Lora4>().stages == std::vector{1.0});
  CHECK(method<Moa6>().stages == std::vector{1.0});
  CHECK(method<Meteo>().stages == std::vector{0.5, 0.5});
}

namespace {

/// A selector of someone's own, which says no title.
struct Own {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static std::unique_ptr<TaskSelector> make() { return std::make_unique<RidgeSelector>(); }
  static constexpr const char* name() { return "Own"; }
};

}  // namespace

TEST_CASE("a method has the selectors that its variant names, in their order") {
  const auto titles = [](const Method<B>& m) {
    std::vector<std::string> all;
    for (const SelectorMaker& maker : m.selectors) {
      CHECK(maker.make()->tasks() == 0);
      all.push_back(maker.title);
    }
    return all;
  };
  using Texts = selector::RidgeOf<Reads::text>;
  using Each = selector::Each<selector::NearestKey, Texts, Own>;
  CHECK(titles(method<Branch>()) == std::vector<std::string>{"nearest key"});
  CHECK(titles(method<Branch::with<Texts>>()) == std::vector<std::string>{"ridge (text)"});
  using Hidden = selector::Each<selector::NearestKey, selector::RidgeOf<Reads::hidden>>;
  CHECK(titles(method<Branch::with<Hidden>>()).back() == "ridge (hidden)");
  CHECK(method<Branch::with<Hidden>>().reads_hidden());
  CHECK(!method<Branch::with<Each>>().reads_hidden());
  CHECK(!method<Lora4>().reads_hidden());
  CHECK(titles(method<Branch::with<Each>>()) ==
        std::vector<std::string>{"nearest key", "ridge (text)", "Own"});
  CHECK(describe<Each>() ==
        "selector::Each<selector::NearestKey, selector::RidgeOf<Reads::text>, Own>");
  const auto made = method<Branch::with<Each>>().selectors;
  CHECK(dynamic_cast<NearestKeySelector*>(made[0].make().get()) != nullptr);
  CHECK(dynamic_cast<RidgeSelector*>(made[1].make().get()) != nullptr);
}

TEST_CASE_TEMPLATE("a method makes the adapter that its variant describes", V, Lora4, Moe, Branch) {
  B backend;
  const MatrixView<const double> weight(nullptr, 7, 10);  // Of which only the shape is asked.
  ParameterSet<B> parameters(backend);
  const auto adapter = method<V>().make(parameters, {"layer"}, weight, {.alpha = 6.0}, Random(3));
  CHECK(adapter->name() == "layer");
  adapter->begin_task(0);
  Index count = 0;
  for (const auto& p : parameters) {
    CHECK(p.trainable);
    count += p.value.size();
  }
  const auto predicted = V::parameters(10, 7);
  CHECK(count == predicted.total());

  // Another of the same seed starts from the same numbers, one of another does not.
  ParameterSet<B> same(backend), other(backend);
  (void)method<V>().make(same, {"layer"}, weight, {.alpha = 6.0}, Random(3));
  (void)method<V>().make(other, {"layer"}, weight, {.alpha = 6.0}, Random(4));
  const auto* a = parameters.begin()->value.data;
  CHECK(a[0] == same.begin()->value.data[0]);
  CHECK(a[0] != other.begin()->value.data[0]);
}
