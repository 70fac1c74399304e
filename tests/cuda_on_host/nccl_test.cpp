#include "branchlora/parallel/nccl.hpp"

#include <memory>
#include <string>
#include <vector>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/parallel/gradients.hpp"
#include "cuda/cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "parallel/check_training.hpp"
#include "parallel/threads.hpp"

// Ranks are threads, each of which has a device of the stand-in to itself.

using namespace branchlora;
using namespace branchlora::test;

namespace {

using Sums = std::vector<cuda_on_host::Nccl::Sum>;

// What ncclAllReduce was called with from here on.
class Recorded {
 public:
  Recorded() { Device::get().forget_calls(); }
  Sums sums() const {
    const auto& all = cuda_on_host::Nccl::get().sums;
    return {all.begin() + static_cast<std::ptrdiff_t>(first_), all.end()};
  }

 private:
  std::size_t first_ = cuda_on_host::Nccl::get().sums.size();
};

// Four parameters of which the second is frozen.
template <class B>
struct Model {
  using T = typename B::Scalar;

  explicit Model(B& b) : backend(b), parameters(b) {
    Index rows = 1;
    for (const char* name : {"a", "frozen", "b", "c"}) {
      auto& p = parameters.add(name, ++rows, 3);
      if (p.name != "frozen") parameters.set_trainable(p, true);
    }
  }
  Parameter<T>& operator[](const std::string& name) { return *parameters.find(name); }
  void give(const std::string& name, T value) {
    backend.fill((*this)[name].grad, value);
    (*this)[name].has_grad = true;
  }
  std::vector<T> gradient(const std::string& name) {
    return to_host(backend, MatrixView<const T>((*this)[name].grad));
  }

  B& backend;
  ParameterSet<B> parameters;
};

using Branch = BranchLora<2, 4, 1>;
using Moe = MoeLora<2, 4>;

}  // namespace

TYPE_TO_STRING(Branch);
TYPE_TO_STRING(Moe);

TEST_CASE("a process takes the device of its number, or the only one that it is shown") {
  Device& device = Device::get();
  CHECK(cuda::device_of(0) == 0);
  CHECK(cuda::device_of(5) == 0);
  device.count = 4;
  CHECK(cuda::device_of(3) == 3);
  CHECK_THROWS_WITH_AS(
      cuda::device_of(4),
      "CUDA: expected a device for each process of a machine, found 4 for 5 or more", Error);
  device.count = 0;  // the backend says so
  CHECK(cuda::device_of(1) == 1);
  device.count = 1;
}

TEST_CASE_TEMPLATE("gradients are summed in their place on the device, where any rank has one", T,
                   float, double) {
  using B = cuda::Backend<T>;
  on_ranks(3, [](const ThreadRank& rank) {
    OnHost<T> device;
    B& backend = *device;
    const parallel::Nccl ranks(rank, 0);
    CHECK(ranks.rank() == rank.rank());
    CHECK(ranks.size() == 3);
    {
      Model<B> model(backend);
      model.give("a", static_cast<T>(rank.rank() + 1));
      if (rank.rank() == 1) model.give("b", T(2.5));
      parallel::GradientSum sum(model.parameters, ranks);
      backend.synchronize();
      const Recorded recorded;
      sum();
      // Nothing goes to the host or comes from it.
      CHECK(Device::get().calls("cudaMemcpy2DAsync") == 0);
      CHECK(Device::get().calls("cudaMallocAsync") == 0);
      CHECK(Device::get().calls("ncclGroupEnd") == 1);
      CHECK(Device::get().calls("ncclCommGetAsyncError") >= 1);
      const Sums sums = recorded.sums();
      REQUIRE(sums.size() == 2);
      for (const auto& each : sums) {
        CHECK(each.from == each.to);
        CHECK(each.stream == backend.stream());
        CHECK(each.type == (sizeof(T) == 8 ? ncclFloat64 : ncclFloat32));
      }
      CHECK(sums[0].to == model["a"].grad.data);
      CHECK(sums[0].count == 2 * 3);
      CHECK(sums[1].to == model["b"].grad.data);
      CHECK(sums[1].count == 4 * 3);

      CHECK(model.gradient("a") == std::vector<T>(6, T(6)));
      CHECK(model["a"].has_grad);
      CHECK(model.gradient("b") == std::vector<T>(12, T(2.5)));
      CHECK(model["b"].has_grad);
      CHECK(!model["c"].has_grad);
      CHECK(!model["frozen"].has_grad);

      // The next step is a new one: what had a gradient in the last may have none.
      model.parameters.clear_gradients();
      model.give("c", T(0.5));
      sum();
      CHECK(!model["a"].has_grad);
      CHECK(!model["b"].has_grad);
      CHECK(model.gradient("c") == std::vector<T>(15, T(1.5)));
    }
    return 0;
  });
}

TEST_CASE("every rank has the same bits") {
  const auto sums = on_ranks(3, [](const ThreadRank& rank) {
    OnHost<float> device;
    cuda::Backend<float>& backend = *device;
    const parallel::Nccl ranks(rank, 0);
    const Matrix<cuda::Backend<float>> values(
        backend, random_dense(7, 9, static_cast<std::uint64_t>(rank.rank())));
    const std::span<float> array(values.data(), 63);
    ranks.sum(backend, std::span<const std::span<float>>(&array, 1));
    return to_host(backend, MatrixView<const float>(values.view()));
  });
  CHECK(sums[0] == sums[1]);
  CHECK(sums[0] == sums[2]);
}

TEST_CASE("numbers of the host go through the host") {
  on_ranks(2, [](const ThreadRank& rank) {
    OnHost<float> device;
    const parallel::Nccl ranks(rank, 0);
    std::vector<double> values{1.0 + static_cast<double>(rank.rank()), 2};
    ranks.sum(std::span(values));
    CHECK(values == std::vector<double>{3, 4});
    values[1] = static_cast<double>(rank.rank());
    ranks.broadcast(std::span(values));
    CHECK(values == std::vector<double>{3, 0});
    return 0;
  });
}

TEST_CASE_TEMPLATE("ranks with a device each learn what one does, up to rounding", V, Branch, Moe) {
  using B = cuda::Backend<double>;
  Course<B> course;
  course.options.clip = 1e-2;
  const Trace one = course.train<V>();
  for (const Index n : {2, 3}) {
    CAPTURE(n);
    check_same_training(on_ranks(n,
                                 [&](const ThreadRank& rank) {
                                   OnHost<double> device;
                                   const parallel::Nccl ranks(rank, 0);
                                   return course.train<V>(*device, ranks);
                                 }),
                        one);
  }
}

TEST_CASE("ranks that begin with other weights are told so") {
  const auto errors = on_ranks(2, [](const ThreadRank& rank) {
    OnHost<float> device;
    const parallel::Nccl ranks(rank, 0);
    Model<cuda::Backend<float>> model(*device);
    (*device).fill(model["a"].value, static_cast<float>(rank.rank()));
    return error_of([&] { parallel::expect_alike(model.parameters, ranks); });
  });
  for (const auto& error : errors) check_mentions(error, "all 2", "others in 1");
}

namespace {

// Adds up two arrays of one rank, and a third time.
void sum_alone() {
  cuda::Backend<float> backend;
  const parallel::SingleProcess host;
  const parallel::Nccl ranks(host, 0);
  const Matrix<cuda::Backend<float>> values(backend, Dense(2, 3));
  const std::span<float> arrays[] = {{values.data(), 3}, {values.data() + 3, 3}};
  for (int i = 0; i < 2; ++i) ranks.sum(backend, std::span<const std::span<float>>(arrays));
}

}  // namespace

TEST_CASE("every call that fails is one clear error and leaks nothing") {
  const auto fails = [](const std::string& name, int count, const std::string& message) {
    CAPTURE(name);
    Device& device = Device::get();
    for (int nth = 1; nth <= count; ++nth) {
      CAPTURE(nth);
      device.fail_at(nth, name);
      check_mentions(error_of(sum_alone), message);
      CHECK(device.failed());
      device.fail_never();
      check_clean();
    }
    device.fail_at(count + 1, name);
    sum_alone();
    CHECK(!device.failed());
    device.fail_never();
    check_clean();
  };
  const std::string said = " (what the stand-in was told to do)";
  fails("ncclGetUniqueId", 1, "NCCL: making an id failed: unhandled system error" + said);
  fails("ncclCommInitRank", 1,
        "NCCL: connecting the devices of all processes failed: unhandled system error" + said);
  fails("ncclGroupStart", 2, "NCCL: beginning a sum over all processes failed: another error");
  fails("ncclAllReduce", 4, "NCCL: a sum over all processes failed: another error");
  fails("ncclGroupEnd", 2, "NCCL: a sum over all processes failed: unhandled system error");
  fails("ncclCommGetAsyncError", 4, "NCCL: asking for errors failed: another error");
  fails("cudaStreamQuery", 4,
        "CUDA: waiting for a sum over all processes failed: cudaErrorUnknown");
  fails("cudaSetDevice", 2, "CUDA: choosing the device failed");  // the backend's, and ours
}

TEST_CASE("a rank that is gone is an error of the others, not a wait without end") {
  const auto errors = on_ranks(3, [](const ThreadRank& rank) {
    OnHost<float> device;
    cuda::Backend<float>& backend = *device;
    const Matrix<cuda::Backend<float>> values(backend, Dense(2, 3));
    const std::span<float> array(values.data(), 6);
    const auto sum = [&](const auto& ranks) {
      ranks.sum(backend, std::span<const std::span<float>>(&array, 1));
    };
    return error_of([&] {
      const parallel::Nccl ranks(rank, 0);
      sum(ranks);
      if (rank.rank() == 1) fail("out of luck");
      const std::string error = error_of([&] { sum(ranks); });
      check_mentions(error_of([&] { sum(ranks); }),
                     "NCCL: the processes are not connected any more");
      fail("{}", error);
    });
  });
  CHECK(errors[1] == "out of luck");
  for (const std::size_t i : {0U, 2U}) {
    check_mentions(errors[i], "NCCL: a sum over all processes failed: remote process exited");
  }
}

TEST_CASE("the stand-in finds arrays that differ in size") {
  on_ranks(2, [](const ThreadRank& rank) {
    cuda::Backend<float> backend;
    const Matrix<cuda::Backend<float>> values(backend, Dense(2, 3));
    const std::span<float> array(values.data(), rank.rank() == 0 ? 6 : 5);
    const parallel::Nccl ranks(rank, 0);
    check_mentions(
        error_of([&] { ranks.sum(backend, std::span<const std::span<float>>(&array, 1)); }),
        "invalid usage");
    CHECK(Device::get().violations().size() == 1);
    Device::get().forget_violations();
    return 0;
  });
}
