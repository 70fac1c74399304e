#include "branchlora/eigen/instances.hpp"
#include "cuda_on_host/instances.hpp"

BRANCHLORA_EIGEN_INSTANCES(extern)
BRANCHLORA_FLOAT_INSTANCES()

// Here since it needs much of what is compiled here anyway.
void branchlora::test::check_clean() {
  Device& device = Device::get();
  for (const std::string& violation : device.violations()) FAIL_CHECK(violation);
  device.forget_violations();
  CHECK(device.allocations() == 0);
  CHECK(device.handles() == 0);
  CHECK(device.pinned.empty());
}
