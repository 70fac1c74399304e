#include "branchlora/cuda/backend.hpp"
#include "cuda/groups.hpp"
#include "cuda/operation_cases.hpp"

namespace branchlora::test::on_cuda {

template <class T>
Entries operations() {
  return run_cases(operation_cases<cuda::Backend<T>>());
}
template Entries operations<float>();
template Entries operations<double>();

}  // namespace branchlora::test::on_cuda
