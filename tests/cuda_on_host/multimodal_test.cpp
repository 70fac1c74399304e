#include "branchlora/eigen/backend.hpp"
#include "cuda/compare.hpp"
#include "cuda/groups.hpp"
#include "cuda/model_cases.hpp"
#include "cuda_on_host/bench.hpp"

using namespace branchlora;
using namespace branchlora::test;

using Exact = eigen::Backend<double>;

// In double alone: in float, gates next to each other may be chosen in another order.
TEST_CASE("models that learn and answer agree with the Eigen backend") {
  check_same<double>(run_cases(model_cases<cuda::Backend<double>>()),
                     run_cases(model_cases<Exact>()));
  check_clean();
}
