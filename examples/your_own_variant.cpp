/// A router and a freezing strategy that exist nowhere else, written outside the library and put in
/// a table beside BranchLoRA:
///
///     your_own_variant --steps 50 --tasks 03-imagenet,04-gqa
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "rows.hpp"

using namespace branchlora;

namespace mine {

/// Gates that need not sum to one: the sigmoid of each of the k best scores.
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

  /// The same for one unit, plainly: the tests hold the layer's outputs and gradients against it.
  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index k,
                                 const std::vector<double>& /*bias*/) {
    std::vector<double> sigmoids;
    for (const double s : scores) sigmoids.push_back(1 / (1 + std::exp(-s)));
    return reference::weighted(reference::best(scores, allowed, k), sigmoids, false);
  }
};

/// Freezes the branches that did more than their share, and no others.
struct AboveAverage {
  using Category = category::Freezing;
  using Activity = activity::MeanWeight;
  static constexpr int count = 8;  // the most that can be frozen at once
  static constexpr std::string_view name() { return "mine::AboveAverage"; }

  static constexpr BranchSet choose(std::span<const double> activity, BranchSet tunable) {
    double mean = 0;
    for (const double a : activity) mean += a / static_cast<double>(activity.size());
    BranchSet frozen = 0;
    for (std::size_t i = 0; i < activity.size(); ++i) {
      if (activity[i] > mean) frozen |= BranchSet{1} << i;
    }
    return frozen & tunable;
  }
};

using Variant = BranchLora<4, 8, 2>::with<SigmoidTopK, AboveAverage>;

}  // namespace mine

int main(int argc, char** argv) {
  return study::main(argc, argv, "your-own-variant",
                     {study::stream<BranchLora<4, 8, 2>>("BranchLoRA"),
                      study::stream<mine::Variant>("Mine")});
}
