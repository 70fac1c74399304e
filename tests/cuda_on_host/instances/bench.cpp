#include "cuda_on_host/bench.hpp"

namespace branchlora::test {

void check_clean() {
  Device& device = Device::get();
  for (const std::string& violation : device.violations()) FAIL_CHECK(violation);
  device.forget_violations();
  CHECK(device.allocations() == 0);
  CHECK(device.handles() == 0);
  CHECK(device.pinned.empty());
}

template <std::floating_point T>
OnHost<T>::OnHost() : backend_(std::make_unique<cuda::Backend<T>>()) {}

template <std::floating_point T>
OnHost<T>::~OnHost() {
  backend_.reset();
  check_clean();
}

template class OnHost<float>;
template class OnHost<double>;

}  // namespace branchlora::test
