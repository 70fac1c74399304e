// A steady-state training step asks the heap for nothing. Every form of the global operator new is
// replaced here, which is why this test is an executable of its own, and Eigen is told to count
// where it would call malloc.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <optional>
#include <vector>

namespace {
std::atomic<long> allocations{0};
}

#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(condition) static_cast<void>((condition) || ++allocations)

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/eigen/backend.hpp"
#include "branchlora/optim/adamw.hpp"

namespace {

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  // aligned_alloc wants a multiple of the alignment.
  void* pointer = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

// Not inlined, or GCC takes its `free` for a mistake where it sees the `new`.
[[gnu::noinline]] void give_back(void* pointer) { std::free(pointer); }

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new[](std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* pointer) noexcept { give_back(pointer); }
void operator delete[](void* pointer) noexcept { give_back(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { give_back(pointer); }
void operator delete[](void* pointer, std::size_t) noexcept { give_back(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { give_back(pointer); }
void operator delete[](void* pointer, std::align_val_t) noexcept { give_back(pointer); }
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept { give_back(pointer); }
void operator delete[](void* pointer, std::size_t, std::align_val_t) noexcept {
  give_back(pointer);
}

using namespace branchlora;

namespace {

// Two blocks of a decoder, cut down: norms, adapted attention and feed-forward, with a trained
// projection before and a tied table after.
template <class V>
class Network {
 public:
  using B = eigen::Backend<float>;

  Network(int threads, Index width, Index tokens)
      : width_(width),
        backend_(threads),
        parameters_(backend_),
        tape_(backend_),
        optimiser_(parameters_, {.weight_decay = 0.1}),
        rope_(backend_, tokens, width / 4, 1e4),
        table_(&parameters_.add("table", 3 * width, width)),
        projection_(&parameters_.add("projection", width, width)),
        gain_(&parameters_.add("gain", 1, width)) {
    for (auto* p : {table_, projection_, gain_}) {
      nn::fill_normal(parameters_, *p, Random(1), 0.3);
      parameters_.set_trainable(*p, p != table_);
    }
    for (std::size_t i = 0; i < linears_.size(); ++i) {
      auto& linear = linears_[i];
      linear.emplace(parameters_, "linear" + std::to_string(i), width, width);
      linear->base().initialize(Random(2));
      linear->base().freeze();
      linear->attach(method_of<B, V>(), {.alpha = 8.0, .dropout = 0.1, .balance_weight = 0.1},
                     Random(3));
      linear->adapter()->begin_task(0);
    }
    sequences_.push(tokens / 2);
    sequences_.push(tokens / 4, {tokens / 8, tokens - tokens / 2 - tokens / 4 - tokens / 8});
    for (Index i = 0; i < tokens; ++i) {
      words_.push_back(static_cast<std::int32_t>(7 * i % (3 * width)));
      positions_.push_back(static_cast<std::int32_t>(i));
    }
  }

  double step() {
    tape_.reset();
    const auto table = tape_.parameter(*table_);
    const auto gain = tape_.parameter(*gain_);
    const std::int32_t* positions = tape_.upload(std::span<const std::int32_t>(positions_));
    const Random dropout = Random(4).fork(++steps_);
    const RoutingContext routing{&sequences_, tasks_, RoutingContext::Memory::none, true, &dropout};
    auto x = op::linear(tape_, op::gather(tape_, table, words_), tape_.parameter(*projection_));
    for (std::size_t layer = 0; layer < 2; ++layer) {
      const auto linear = [&](std::size_t i, Var<float> in) {
        return (*linears_[5 * layer + i])(tape_, in, routing);
      };
      const auto h = op::rms_norm(tape_, x, gain, 1e-5);
      const auto q = op::rope(tape_, linear(0, h), rope_, positions);
      const auto k = op::rope(tape_, linear(1, h), rope_, positions);
      const auto a = op::attention(tape_, sequences_, {4, 4, width_ / 4, true}, q, k, linear(2, h));
      x = op::add(tape_, x, op::dropout(tape_, a, 0.1, dropout));
      x = op::add(tape_, x, op::swiglu(tape_, linear(3, x), linear(4, x)));
    }
    const auto logits = op::linear(tape_, x, table);
    const auto loss = op::cross_entropy(tape_, logits, words_);
    tape_.backward(loss);
    optimiser_.step(1e-3, std::min(1.0, 1.0 / gradient_norm(parameters_)));
    return static_cast<double>(loss.value().data[0]);
  }

 private:
  Index width_;
  B backend_;
  ParameterSet<B> parameters_;
  Tape<B> tape_;
  AdamW<B> optimiser_;
  op::RopeTable<B> rope_;
  Parameter<float>* table_;
  Parameter<float>* projection_;
  Parameter<float>* gain_;
  std::array<std::optional<AdaptedLinear<B>>, 10> linears_;
  Sequences sequences_;
  std::vector<std::int32_t> words_, positions_, tasks_{0, 0};
  std::uint64_t steps_ = 0;
};

}  // namespace

using BranchLoraMean = BranchLora<4, 4, 2>::with<router::PerTask<router::Linear<per::MeanToken>>>;
using MoeLoraBalanced = MoeLora<4, 4>::with<TopK<2>, balance::Switch>;
TYPE_TO_STRING(Lora<8>);
TYPE_TO_STRING(BranchLoraMean);
TYPE_TO_STRING(MoeLoraBalanced);

TEST_CASE_TEMPLATE("a training step allocates nothing once it has run before", V, Lora<8>,
                   BranchLoraMean, MoeLoraBalanced) {
  // Small, and large enough that Eigen's packing buffers leave the stack (128 KiB).
  for (const auto& [width, tokens] : {std::pair<Index, Index>{32, 40}, {192, 600}}) {
    CAPTURE(width);
    for (const int threads : {1, 2}) {
      CAPTURE(threads);
      Network<V> network(threads, width, tokens);
      Eigen::internal::set_is_malloc_allowed(true);
      const double first = network.step();
      for (int i = 0; i < 3; ++i) network.step();
      Eigen::internal::set_is_malloc_allowed(false);
      // One thread allocates nothing from here on. Of several, each does when it first takes part
      // in a product, and on a busy machine that can be some steps later.
      double last = 0;
      long allocated = 1;
      for (int attempt = 0; allocated > 0 && attempt < (threads == 1 ? 1 : 30); ++attempt) {
        const long before = allocations;
        for (int i = 0; i < 3; ++i) last = network.step();
        allocated = allocations - before;
      }
      CHECK(allocated == 0);
      Eigen::internal::set_is_malloc_allowed(true);
      CHECK(last < first);
    }
  }
}

TEST_CASE("a plan allocates nothing") {
  using B = eigen::Backend<float>;
  B backend;
  double sum = 0;
  const float x = 1;
  const MatrixView<const float> reads(&x, 1, 1);
  const long before = allocations;
  Plan<B> plan;
  for (int i = 0; i < 3; ++i) {
    plan.rowwise(reads, [&sum](B&, Index, Index count) { sum += static_cast<double>(count); });
    plan.sum(reads, [&sum](B&, Index, Index count) { sum += static_cast<double>(count); });
    plan.batch([&sum] { sum += 1; });
  }
  plan.rowwise(reads, [&sum](B&, Index, Index count) { sum += static_cast<double>(count); });
  const RowWork<B> work = plan.begin(backend, 1);
  work.rows(backend, 0, 1);
  CHECK(allocations - before == 0);
  CHECK(sum == 10);
}

TEST_CASE("the count counts") {
  long before = allocations;
  std::vector<double> memory(100);
  memory.shrink_to_fit();
  ::operator delete (::operator new (8, std::align_val_t{64}), std::align_val_t{64});
  CHECK(allocations - before >= 2);

  before = allocations;
  Eigen::internal::set_is_malloc_allowed(false);
  Eigen::VectorXd(100).setZero();
  Eigen::internal::set_is_malloc_allowed(true);
  CHECK(allocations - before == 1);
}
