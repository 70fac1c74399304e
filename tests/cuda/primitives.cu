#include "branchlora/cuda/backend.hpp"
#include "cuda/groups.hpp"

namespace branchlora::test::on_cuda {

std::string reason_to_skip() {
  try {
    cuda::expect_device(0);
    return {};
  } catch (const Error& e) {
    return e.what();
  }
}

template <class T>
Entries primitives() {
  return run_cases(primitive_cases<cuda::Backend<T>>());
}
template Entries primitives<float>();
template Entries primitives<double>();

}  // namespace branchlora::test::on_cuda
