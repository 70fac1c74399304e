// A gating and a router that exist nowhere else pass what all variants pass: the tests learn of
// their equations from the policies' own `reference`.
#include <doctest/doctest.h>

#include "support/adapter_contract.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace mine {

// The sigmoid of each of the k best scores: weights need not sum to 1.
struct SigmoidTopK {
  using Category = category::Gating;
  static constexpr std::string_view name() { return "mine::SigmoidTopK"; }

  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* /*saved*/, T* weights,
                                    std::int32_t* chosen) {
    const BranchSet kept = gating::top_k<N, K>(logits, allowed, chosen);
    for (Index i = 0; i < N; ++i) {
      weights[i] = contains(kept, i) ? math::sigmoid(logits[i]) : T(0);
    }
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* /*saved*/, const T* weights,
                                     const std::int32_t* chosen, const T* dweights, T* dlogits) {
    for (Index i = 0; i < N; ++i) dlogits[i] = T(0);
    for (Index k = 0; k < K; ++k) {
      const T w = weights[chosen[k]];
      dlogits[chosen[k]] = dweights[chosen[k]] * w * (T(1) - w);
    }
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index k,
                                 const std::vector<double>& /*bias*/) {
    std::vector<double> sigmoids;
    for (const double s : scores) sigmoids.push_back(1 / (1 + std::exp(-s)));
    return reference::weighted(reference::best(scores, allowed, k), sigmoids, false);
  }
};

// Scores R x + i / 2, which like later branches better, however R starts.
template <Backend B, class V>
struct LaterScores : LinearScores<B, V, true> {
  using Base = LinearScores<B, V, true>;
  using Base::Base;

  void score(B& backend, const typename Base::Pass& g, const typename Base::Router& router,
             Index first, Index n) const {
    Base::score(backend, g, router, first, n);
    const auto scores = g.logits.middle_rows(first, n);
    backend.for_each(n, [=] BRANCHLORA_BODY(Index t) {
      for (Index i = 0; i < scores.cols; ++i) {
        scores(t, i) += static_cast<typename B::Scalar>(0.5 * static_cast<double>(i));
      }
    });
  }
};

struct Later {
  using Category = category::Router;
  using Granularity = per::Token;
  template <class B, class V>
  using Gate = GateLayer<B, V, LaterScores<B, V>>;
  static constexpr bool per_task = false;
  static constexpr std::string_view name() { return "mine::Later"; }
  static constexpr int rows(int scores) { return scores; }

  static std::vector<double> reference(const UnitReference& unit) {
    auto scores = reference::times(unit.parameter(unit.router), unit.input);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] += 0.5 * static_cast<double>(i);
    return scores;
  }
};

using Variant = Adapter<Rank<3>, Branches<4>, TopK<2>, SigmoidTopK, Later>;

}  // namespace mine

TEST_CASE("policies of one's own keep the contract") { check_contract<mine::Variant>(); }

TEST_CASE("policies of one's own are tested by their own equations") {
  AdapterBench<mine::Variant> bench;
  bench.two_tasks();
  for (auto& p : bench.parameters) {
    if (p.name == "layer.router") bench.backend.fill(p.value, 0.0);
  }
  const double third = 1 / (1 + std::exp(-1 / bench.hyper.temperature));
  const double last = 1 / (1 + std::exp(-1.5 / bench.hyper.temperature));
  for (const NaiveGate& gate : bench.naive_gates().first) {
    CHECK(gate.weights == std::vector<double>{0, 0, third, last});
  }
  CHECK(distance(bench.output(), bench.naive_output()) < 1e-13 * largest(bench.naive_output()));
}
