#include <array>

#include "cuda/cases.hpp"
#include "cuda/model_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

using B = cuda::Backend<float>;

namespace {

// A model's forward and backward pass, without waiting for the loss.
class CapturedStep {
 public:
  explicit CapturedStep(B& backend) : backend_(backend), tiny_(backend) {}

  void operator()() {
    tiny_.tape.reset();
    tiny_.net.parameters().clear_gradients();
    const RoutingContext routing{.sequences = &tiny_.batch.sequences, .tasks = tiny_.batch.tasks};
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
  CapturedStep step(b);
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

namespace {

// The losses of seven steps of training and all parameters then. The numbers of the batch, of
// dropout and of the rate are another each time. `run(step)` does a step.
template <class Run>
Results train(B& backend, Run run) {
  cases::TinyModel<Branch, B> tiny(backend);
  AdamW<B> adam(tiny.net.parameters());
  std::array<Matrix<B>, 7> losses{Matrix<B>(backend, Dense(1, 1)), Matrix<B>(backend, Dense(1, 1)),
                                  Matrix<B>(backend, Dense(1, 1)), Matrix<B>(backend, Dense(1, 1)),
                                  Matrix<B>(backend, Dense(1, 1)), Matrix<B>(backend, Dense(1, 1)),
                                  Matrix<B>(backend, Dense(1, 1))};
  for (std::size_t i = 0; i < losses.size(); ++i) {
    tiny.batch.text[0] = static_cast<std::int32_t>(i);
    run([&] {
      tiny.tape.reset();
      const Random dropout(i);
      const RoutingContext routing{
          .sequences = &tiny.batch.sequences, .tasks = tiny.batch.tasks, .dropout = &dropout};
      const auto loss = tiny.net.loss(tiny.tape, tiny.batch,
                                      tiny.net.gather(tiny.tape, tiny.batch, tiny.bank), routing);
      tiny.tape.backward(loss);
      backend.copy(loss.value(), losses[i].view());
      adam.step(0.01 / static_cast<double>(i + 1));
    });
  }
  Results results;
  for (const auto& loss : losses) results.push_back(loss.dense());
  for (auto& p : tiny.net.parameters()) {
    if (p.trainable) results.push_back(read<B>(backend, p.value));
  }
  return results;
}

}  // namespace

TEST_CASE("a graphed step is one launch, and takes other data and arguments each time") {
  OnHost<float> device;
  B& b = *device;
  const Results expected = train(b, [](auto step) { step(); });
  cuda::GraphedStep graphed;
  int count = 0;
  const Results found = train(b, [&](auto step) {
    Device::get().forget_calls();
    b.run(graphed, step);
    if (++count < 3) return;
    CHECK(Device::get().calls("cudaGraphLaunch") == 1);
    CHECK(Device::get().calls("cudaGraphInstantiate") == (count == 3 ? 1 : 0));
  });
  CHECK(found == expected);
  CHECK(graphed.launches() == 5);
  CHECK(graphed.rebuilds() == 0);
}

TEST_CASE("a graphed step that changes its shape is prepared anew") {
  OnHost<float> device;
  B& b = *device;
  const Matrix<B> x(b, Dense(3, 2));
  const Matrix<B> y(b, Dense(3, 2));
  cuda::GraphedStep graphed;
  for (int i = 0; i < 6; ++i) {
    b.run(graphed, [&] {
      b.fill(x.view(), static_cast<float>(i));
      if (i == 4) b.fill(y.view(), 9);
    });
  }
  CHECK(graphed.launches() == 4);
  CHECK(graphed.rebuilds() == 2);
  CHECK(x.dense() == dense(3, 2, [](Index, Index) { return 5; }));
  CHECK(y.dense() == dense(3, 2, [](Index, Index) { return 9; }));
}

TEST_CASE("a graphed step that waits or allocates is refused, and the backend goes on") {
  OnHost<float> device;
  B& b = *device;
  const Matrix<B> x(b, Dense(3, 2));
  cuda::GraphedStep graphed;
  for (int i = 0; i < 3; ++i) b.run(graphed, [&] { b.fill(x.view(), 1); });
  CHECK_THROWS_AS(b.run(graphed, [&] { b.synchronize(); }), Error);
  CHECK_THROWS_WITH_AS(b.run(graphed, [&] { b.allocate(12); }),
                       "CUDA: a step that is recorded must allocate nothing; it asked for 12 bytes",
                       Error);
  for (const auto* call : {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphLaunch",
                           "cudaEventSynchronize", "cudaEventRecord"}) {
    CAPTURE(call);
    Device::get().fail_at(1, call);
    CHECK_THROWS_AS(b.run(graphed, [&] { b.fill(x.view(), 1); }), Error);
    Device::get().fail_never();
  }
  // Where the program can not be brought up to date, it is prepared anew.
  Device::get().fail_at(1, "cudaGraphExecUpdate");
  b.run(graphed, [&] { b.fill(x.view(), 2); });
  Device::get().fail_never();
  CHECK(graphed.rebuilds() == 1);
  CHECK(x.dense() == dense(3, 2, [](Index, Index) { return 2; }));
}
