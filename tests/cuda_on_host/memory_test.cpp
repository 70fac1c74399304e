#include "cuda/cases.hpp"
#include "cuda/model_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

using B = cuda::Backend<float>;

TEST_CASE("no device is one clear sentence") {
  Device::get().count = 0;
  CHECK(cuda::device_count() == 0);
  CHECK_THROWS_WITH_AS(B(), "CUDA: no device was found; expected an NVIDIA GPU and its driver",
                       Error);
  Device::get().count = 1;
  CHECK_THROWS_WITH_AS(B(1), "CUDA: expected a device below 1, found 1", Error);
  CHECK(cuda::device_count() == 1);
  check_clean();
}

TEST_CASE("memory is aligned, and an empty allocation is one") {
  OnHost<float> device;
  for (const std::size_t bytes : {0U, 1U, 63U, 1000U}) {
    void* p = (*device).allocate(bytes);
    CHECK(p != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    (*device).release(p);
  }
}

TEST_CASE("running out of memory says how much was asked for, by whom, and what is free") {
  OnHost<float> device;
  const std::size_t capacity = Device::get().capacity;
  Device::get().capacity = Device::get().bytes_in_use() + (std::size_t{3} << 20);
  CHECK_THROWS_WITH_AS((*device).allocate(std::size_t{4} << 20),
                       "CUDA: out of memory: 4.0 MiB were asked for, 3.0 MiB of 35.0 MiB are free",
                       Error);
  ParameterSet<B> parameters(*device);
  CHECK_THROWS_WITH_AS(
      parameters.add("decoder.block.0.q.weight", 1024, 1024),
      "parameter 'decoder.block.0.q.weight': CUDA: out of memory: 4.0 MiB were asked for, 3.0 MiB "
      "of 35.0 MiB are free",
      Error);
  Device::get().capacity = capacity;
}

TEST_CASE("an upload may be changed as soon as it returns") {
  cuda::Stream stream = cuda::make_stream();
  {
    cuda::Pool pool(0, stream.get());
    // Halves of 64 bytes: a large upload goes round several times, small ones share a half.
    cuda::Staging staging(stream.get(), 64);
    auto* p = static_cast<std::byte*>(pool.allocate(1000));
    std::vector<std::byte> expected;
    for (const std::size_t size : {1U, 63U, 64U, 65U, 200U, 3U, 0U, 5U}) {
      std::vector<std::byte> data(size);
      for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(expected.size() + i);
      staging.upload(p + expected.size(), data.data(), size);
      expected.insert(expected.end(), data.begin(), data.end());
      std::fill(data.begin(), data.end(), std::byte{0xEE});
    }
    std::vector<std::byte> found(expected.size());
    cuda::check(
        cudaMemcpyAsync(found.data(), p, found.size(), cudaMemcpyDeviceToHost, stream.get()),
        "reading");
    cuda::check(cudaStreamSynchronize(stream.get()), "waiting");
    CHECK(found == expected);
    pool.release(p);
  }
  stream.reset();
  check_clean();
}

TEST_CASE("the spans of a batch are uploaded once for all layers") {
  OnHost<float> device;
  B& b = *device;
  Sequences s = cases::spans();
  const AttentionShape shape{1, 1, 2, true};
  const auto attend = [&] {
    const Index n = s.tokens();
    const Matrix<B> x(b, random_dense(n, 2, 1));
    const Matrix<B> saved(b, Dense(1, n));
    b.synchronize();
    Device::get().forget_calls();
    b.attention_forward(s, shape, x.view(), x.view(), x.view(), x.view(), saved.data());
    return Device::get().calls("cudaMemcpy2DAsync");
  };
  CHECK(attend() == 2);
  CHECK(attend() == 0);
  s.spans.back().prefix_count -= 1;
  CHECK(attend() == 2);
  s.push(500);
  CHECK(attend() == 2);
  s.clear();
  s.push(9);
  CHECK(attend() == 2);
  CHECK(attend() == 0);
}

TEST_CASE("a steady-state step allocates nothing") {
  OnHost<float> device;
  cases::TinyModel<Branch, B> tiny(*device);
  AdamW<B> adam(tiny.net.parameters());
  const auto step = [&](std::uint64_t number) {
    tiny.step(number);
    gradient_norm(tiny.net.parameters());
    adam.step(0.001);
  };
  for (std::uint64_t i = 0; i < 3; ++i) step(i);
  const std::size_t before = (*device).peak_bytes();
  Device::get().forget_calls();
  step(4);
  CHECK(Device::get().calls("cudaMallocAsync") == 0);
  CHECK(Device::get().calls("cudaFreeAsync") == 0);
  CHECK(Device::get().calls("cudaHostAlloc") == 0);
  CHECK((*device).peak_bytes() == before);
  CHECK(before > std::size_t{32} << 20);
}
