#include "cuda/cases.hpp"
#include "cuda/model_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

using B = cuda::Backend<float>;

namespace {

// A model's way forward and back, without waiting for the loss.
class Step {
 public:
  explicit Step(B& backend) : backend_(backend), tiny_(backend) {}

  void operator()() {
    tiny_.tape.reset();
    tiny_.net.parameters().clear_gradients();
    const Routing routing{.sequences = &tiny_.batch.sequences, .tasks = tiny_.batch.tasks};
    const auto loss = tiny_.net.loss(
        tiny_.tape, tiny_.batch, tiny_.net.gather(tiny_.tape, tiny_.batch, tiny_.bank), routing);
    tiny_.tape.backward(loss);
    loss_ = loss.value();
  }

  // The loss and all gradients.
  Results results() {
    Results all{read<B>(backend_, loss_)};
    for (auto& p : tiny_.net.parameters()) {
      if (p.has_grad) all.push_back(read<B>(backend_, p.grad));
    }
    return all;
  }

  // Other values of everything that trains.
  void change() {
    for (auto& p : tiny_.net.parameters()) {
      if (!p.trainable) continue;
      backend_.for_each(p.value.size(), [w = p.value.data](Index i) { w[i] *= 0.5F; });
    }
  }

 private:
  B& backend_;
  cases::TinyModel<Branch, B> tiny_;
  MatrixView<const float> loss_;
};

}  // namespace

TEST_CASE("a recorded step is one launch, and does what the step does") {
  OnHost<float> device;
  B& b = *device;
  const Matrix<B> x(b, random_dense(3, 2, 1));
  const Matrix<B> saved(b, Dense(1, 3));
  Sequences other;
  other.push(3);
  Step step(b);
  for (int i = 0; i < 2; ++i) step();
  const Results first = step.results();
  step.change();
  const auto graph = b.capture([&] { step(); });
  CHECK(step.results() == first);  // Nothing was done.
  // What happens in between is none of its business, not even another batch's spans.
  b.attention_forward(other, {1, 1, 2, true}, x.view(), x.view(), x.view(), x.view(), saved.data());
  Device::get().forget_calls();
  b.replay(graph);
  CHECK(Device::get().launches() == 0);
  CHECK(Device::get().calls("cudaGraphLaunch") == 1);
  const Results second = step.results();
  CHECK(second != first);
  step();
  CHECK(step.results() == second);
  b.replay(graph);
  CHECK(step.results() == second);
}

TEST_CASE("a step that waits or allocates can not be recorded, and the backend goes on") {
  OnHost<float> device;
  B& b = *device;
  CHECK_THROWS_WITH_AS(b.capture([&] { b.synchronize(); }),
                       "CUDA: waiting for the device failed: cudaErrorStreamCaptureUnsupported "
                       "(cudaErrorStreamCaptureUnsupported)",
                       Error);
  CHECK_THROWS_WITH_AS(b.capture([&] { b.allocate(12); }),
                       "CUDA: a step that is recorded must allocate nothing; it asked for 12 bytes",
                       Error);
  const Matrix<B> x(b, Dense(300, 2));
  CHECK_THROWS_AS(b.capture([&] {
    b.reduce_columns(
        300, 2, [x = x.view()](Index r, Index c) { return x(r, c); }, x.data(), false);
  }),
                  Error);
  for (const auto* call :
       {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"}) {
    Device::get().fail_at(1, call);
    CHECK_THROWS_AS(b.capture([&] { b.fill(x.view(), 1); }), Error);
    Device::get().fail_never();
  }
  b.fill(x.view(), 2);
  CHECK(x.dense() == dense(300, 2, [](Index, Index) { return 2; }));
}

TEST_CASE("a recorded step is not replayed once memory was given back") {
  OnHost<float> device;
  B& b = *device;
  void* p = b.allocate(4);
  const auto graph = b.capture([&] { b.fill({static_cast<float*>(p), 1, 1}, 3); });
  b.replay(graph);
  b.release(p);
  CHECK_THROWS_WITH_AS(b.replay(graph),
                       "CUDA: a recorded step can be replayed until memory is given back; that was "
                       "done 1 times since",
                       Error);
}
