#include "branchlora/eigen/backend.hpp"
#include "cuda/compare.hpp"
#include "cuda/groups.hpp"
#include "cuda/operation_cases.hpp"
#include "cuda_on_host/bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

using Exact = eigen::Backend<double>;

TEST_CASE_TEMPLATE("adapters and their gradients agree with the Eigen backend", T, float, double) {
  check_same<T>(run_cases(adapter_cases<cuda::Backend<T>>()), run_cases(adapter_cases<Exact>()));
  check_clean();
}
