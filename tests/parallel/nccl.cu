// The communicator of NCCL, in processes that MPI starts, with a GPU each. Skipped where there are
// too few.
#include "branchlora/parallel/nccl.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/parallel/mpi.hpp"
#include "parallel/check_training.hpp"

using namespace branchlora;
using namespace branchlora::test;
using parallel::Mpi;

namespace {

// Why this process can not be tested here, or nothing.
std::string reason_to_skip(int local_rank) {
  try {
    cuda::expect_device(local_rank);
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("arrays are summed in their place on the device") {
  const Mpi mpi;
  const int device = cuda::device_of(mpi.local_rank());
  cuda::Backend<float> backend(device);
  const parallel::Nccl ranks(mpi, device);
  using Memory = Buffer<cuda::Backend<float>>;
  const Memory a(backend, 3, 5);
  const Memory b(backend, 1, 1000);
  backend.fill(a.view(), static_cast<float>(ranks.rank() + 1));
  backend.fill(b.view(), 0.5F);
  const std::span<float> arrays[] = {{a.view().data, 15}, {b.view().data, 1000}};
  ranks.sum(backend, std::span<const std::span<float>>(arrays));
  const auto n = static_cast<float>(ranks.size());
  CHECK(to_host(backend, MatrixView<const float>(a.view())) ==
        std::vector<float>(15, n * (n + 1) / 2));
  CHECK(to_host(backend, MatrixView<const float>(b.view())) == std::vector<float>(1000, n / 2));
}

TEST_CASE("processes learn on a GPU each what one does, up to rounding") {
  using B = cuda::Backend<double>;
  using V = BranchLora<2, 4, 1>;
  const Mpi mpi;
  const int device = cuda::device_of(mpi.local_rank());
  B backend(device);
  const parallel::Nccl ranks(mpi, device);
  const Course<B> course;
  const Trace one = course.train<V>(backend);
  const Trace own = course.train<V>(backend, ranks);
  check_near(own.norms, one.norms);
  check_near(own.weights, one.weights);
  check_same_bits(own.weights, ranks);
}

int main(int argc, char** argv) {
  const parallel::MpiSession session(argc, argv);
  const Mpi mpi;
  if (const std::string reason = mpi.agree(reason_to_skip(mpi.local_rank())); !reason.empty()) {
    if (mpi.rank() == 0) std::printf("skipped: %s\n", reason.c_str());
    return 0;
  }
  const int status = doctest::Context(argc, argv).run();
  return mpi.agree(status != 0 ? "tests failed" : "").empty() ? 0 : 1;
}
