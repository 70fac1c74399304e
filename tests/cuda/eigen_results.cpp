#include "branchlora/eigen/backend.hpp"
#include "cuda/groups.hpp"
#include "cuda/model_cases.hpp"
#include "cuda/operation_cases.hpp"

namespace branchlora::test::on_eigen {

using B = eigen::Backend<double>;

Entries primitives() { return run_cases(primitive_cases<B>()); }
Entries operations() { return run_cases(operation_cases<B>()); }
Entries adapters() { return run_cases(adapter_cases<B>()); }
Entries models() { return run_cases(model_cases<B>()); }

}  // namespace branchlora::test::on_eigen
