#include <array>

#include "cuda_on_host/bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

// That the stand-in finds what it is there to find.

namespace {

class Raw {
 public:
  ~Raw() {
    Device::get().forget_violations();
    device_.release(p_);
    device_.synchronize();
    Device::get().forget_violations();
  }

  // The one violation that f must lead to.
  template <class F>
  void violates(const std::string& what, F f) {
    try {
      f(device_, p_);
      device_.synchronize();
    } catch (const Error&) {
    }
    REQUIRE(Device::get().violations().size() == 1);
    CHECK(Device::get().violations().front() == what);
    Device::get().forget_violations();
  }

 private:
  cuda::Backend<float> device_;
  float* p_ = static_cast<float*>(device_.allocate(100 * sizeof(float)));
};

}  // namespace

TEST_CASE("copies and fills outside of an allocation are found") {
  Raw raw;
  std::array<float, 200> host{};
  raw.violates("the target of a copy: outside of allocated device memory",
               [&](auto& b, float* p) { b.upload(p + 50, host.data(), 51 * sizeof(float)); });
  raw.violates("the source of a copy: outside of allocated device memory",
               [&](auto& b, float* p) { b.download(host.data(), p, 101 * sizeof(float)); });
  raw.violates("filled memory: outside of allocated device memory", [&](auto& b, float* p) {
    b.fill({p, 11, 9, 10}, 0);
  });
  raw.violates("a product's c: outside of allocated device memory", [&](auto& b, float* p) {
    b.gemm(Op::none, Op::none, 1, MatrixView<float>(p, 4, 4), MatrixView<float>(p, 4, 4), 0,
           {p + 90, 4, 4});
  });
}

TEST_CASE("a kernel that writes behind its memory is found when that is freed") {
  Device& device = Device::get();
  {
    cuda::Backend<float> backend;
    auto* p = static_cast<float*>(backend.allocate(12));
    backend.for_each(4, [=](Index i) { p[i] = 1; });
    backend.release(p);
  }
  REQUIRE(device.violations().size() == 1);
  CHECK(device.violations().front() == "written behind an allocation");
  device.forget_violations();
}

TEST_CASE("a kernel that writes to freed memory is found, and reads are not a number") {
  Device& device = Device::get();
  {
    cuda::Backend<float> backend;
    auto* p = static_cast<float*>(backend.allocate(4));
    backend.fill({p, 1, 1}, 1);
    backend.release(p);
    CHECK(std::isnan(backend.sum(1, [=](Index) { return *p; })));
    backend.for_each(1, [=](Index) { *p = 1; });
  }
  cuda::Backend<float> next;
  REQUIRE(device.violations().size() == 1);
  CHECK(device.violations().front() == "written after it was freed");
  device.forget_violations();
}

TEST_CASE("freeing twice is found") {
  Raw raw;
  raw.violates("freed memory that is not allocated", [](auto& b, float* p) { b.release(p + 1); });
}

TEST_CASE("leaks are counted") {
  auto backend = std::make_unique<cuda::Backend<float>>();
  void* p = backend->allocate(4);
  const auto in_use = Device::get().allocations();
  backend->release(p);
  CHECK(Device::get().allocations() == in_use - 1);
  CHECK(Device::get().handles() > 0);
  backend.reset();
  check_clean();
}

TEST_CASE("work is done when somebody waits for it") {
  OnHost<float> device;
  float host = 0;
  auto* p = static_cast<float*>((*device).allocate(4));
  (*device).fill({p, 1, 1}, 3);
  cuda::check(cudaMemcpyAsync(&host, p, 4, cudaMemcpyDeviceToHost,
                              static_cast<cudaStream_t>(nullptr)) == cudaSuccess
                  ? cudaErrorUnknown
                  : cudaSuccess,
              "a copy on no stream");
  Device::get().forget_violations();
  (*device).download(&host, p, 4);
  CHECK(host == 3);
  (*device).release(p);
}
