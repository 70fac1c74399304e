#include "cuda/cases.hpp"
#include "cuda/model_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

using B = cuda::Backend<float>;

namespace {

// Everything from the device's discovery to two training steps.
void train() {
  B backend;
  cases::TinyModel<Branch, B> tiny(backend);
  AdamW<B> adam(tiny.net.parameters());
  for (std::uint64_t i = 0; i < 2; ++i) {
    tiny.step(i);
    gradient_norm(tiny.net.parameters());
    adam.step(0.001);
  }
}

// Lets each call of `name` fail in turn, `stride` apart: each failure is one `Error` whose message
// contains `message`, and leaves nothing behind. Returns how many failed.
int fail_each(const std::string& name, int stride, const std::string& message) {
  Device& device = Device::get();
  int failures = 0;
  for (int nth = 1;; nth += stride) {
    CAPTURE(name);
    CAPTURE(nth);
    device.fail_at(nth, name);
    std::string found;
    try {
      train();
    } catch (const Error& e) {
      found = e.what();
    }
    device.fail_never();
    check_clean();
    if (!device.failed()) {
      CHECK(found.empty());
      return failures;
    }
    ++failures;
    CAPTURE(found);
    CHECK(found.find(message) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("every call that fails is one clear error and leaks nothing") {
  CHECK(fail_each("cudaGetDeviceCount", 1, "CUDA: no device was found") == 1);
  CHECK(fail_each("cudaSetDevice", 1, "CUDA: choosing the device failed: ") == 1);
  CHECK(fail_each("cudaDeviceSynchronize", 1, "CUDA: waiting for other backends failed: ") == 1);
  CHECK(fail_each("cudaStreamCreateWithFlags", 1, "CUDA: creating a stream failed: ") == 1);
  CHECK(fail_each("cudaDeviceGetDefaultMemPool", 1, "CUDA: finding the memory pool failed") == 1);
  CHECK(fail_each("cudaMemPoolSetAttribute", 1, "CUDA: setting up the memory pool failed") == 1);
  CHECK(fail_each("cudaHostAlloc", 1, "CUDA: allocating pinned memory failed: ") == 2);
  CHECK(fail_each("cudaEventCreateWithFlags", 1, "CUDA: creating an event failed: ") == 2);
  CHECK(fail_each("cublasCreate", 1, "cuBLAS: creating a handle failed: ") == 1);
  CHECK(fail_each("cublasSetStream", 1, "cuBLAS: setting the stream failed: ") == 1);
  CHECK(fail_each("cublasSetWorkspace", 1, "cuBLAS: setting the workspace failed: ") == 1);
  CHECK(fail_each("cublasLtCreate", 1, "cuBLAS: creating a handle of cuBLASLt failed: ") == 1);
  for (const auto* call :
       {"cublasLtMatmulDescCreate", "cublasLtMatmulPreferenceCreate",
        "cublasLtMatmulDescSetAttribute", "cublasLtMatmulPreferenceSetAttribute"}) {
    CHECK(fail_each(call, 5, "cuBLAS: describing a product failed: ") > 0);
  }
  CHECK(fail_each("cublasLtMatrixLayoutCreate", 5, "cuBLAS: describing a matrix failed: ") > 0);
  CHECK(fail_each("cublasLtMatmulAlgoGetHeuristic", 3, "cuBLAS: choosing an algorithm failed: ") >
        0);
  CHECK(fail_each("cublasLtMatmul", 5, "cuBLAS: a product with a bias failed: ") > 1);
  // Primes, so that the calls that fail are of every kind.
  CHECK(fail_each("cudaMallocAsync", 29, "CUDA: out of memory: ") > 3);
  CHECK(fail_each("cudaMemcpy2DAsync", 31, "CUDA: copying ") > 3);
  CHECK(fail_each("cudaMemset2DAsync", 53, "CUDA: filling with zeros failed: ") > 3);
  CHECK(fail_each("cudaLaunchKernel", 101, "failed: cudaErrorLaunchFailure") > 3);
  CHECK(fail_each("cublasGemmEx", 53, "cuBLAS: a product failed: the execution failed") > 3);
  CHECK(fail_each("cudaStreamSynchronize", 3, "CUDA: waiting for the device failed: ") > 1);
}

TEST_CASE("a backend goes on after an allocation that failed") {
  OnHost<float> device;
  const auto cases_of = primitive_cases<B>();
  for (const auto& each : cases_of) {
    CAPTURE(each.name);
    const Results results = each.run(*device);
    for (int nth = 1; nth <= 3; ++nth) {
      Device::get().fail_at(nth, "cudaMallocAsync");
      try {
        each.run(*device);
      } catch (const Error&) {
      }
      Device::get().fail_never();
    }
    CHECK(each.run(*device) == results);
  }
}
