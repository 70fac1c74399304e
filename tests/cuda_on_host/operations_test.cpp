#include "branchlora/eigen/backend.hpp"
#include "cuda/compare.hpp"
#include "cuda/groups.hpp"
#include "cuda/operation_cases.hpp"
#include "cuda_on_host/bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

using Exact = eigen::Backend<double>;

TEST_CASE_TEMPLATE("operations, their gradients and the optimiser agree with the Eigen backend", T,
                   float, double) {
  check_same<T>(run_cases(operation_cases<cuda::Backend<T>>()),
                run_cases(operation_cases<Exact>()));
  check_clean();
}
