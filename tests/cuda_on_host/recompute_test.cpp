#include "cuda/cases.hpp"
#include "cuda/model_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

using B = cuda::Backend<float>;

namespace {

// The losses of three steps with dropout and all parameters after them.
template <class V>
Results train(B& backend, model::Recompute recompute) {
  cases::TinyModel<V, B> tiny(backend);
  tiny.net.decoder().set_recompute(recompute);
  AdamW<B> adam(tiny.net.parameters());
  Results results;
  for (std::uint64_t i = 0; i < 3; ++i) {
    if (i == 2) Device::get().forget_calls();
    results.emplace_back(1, 1, std::vector<double>{tiny.step(i)});
    adam.step(0.01);
  }
  CHECK(Device::get().calls("cudaMallocAsync") == 0);
  CHECK(Device::get().calls("cudaFreeAsync") == 0);
  for (auto& p : tiny.net.parameters()) {
    if (p.trainable) results.push_back(read<B>(backend, p.value));
  }
  return results;
}

}  // namespace

TEST_CASE_TEMPLATE("blocks that are run again learn the same to the bit", V, Lora4, MoeBalanced,
                   Branch) {
  OnHost<float> device;
  CHECK(train<V>(*device, model::Recompute::block) == train<V>(*device, model::Recompute::none));
}
