#include "branchlora/cuda/backend.hpp"
#include "cuda/groups.hpp"
#include "cuda/operation_cases.hpp"

namespace branchlora::test::on_cuda {

template <class T>
Entries adapters() {
  return run_cases(adapter_cases<cuda::Backend<T>>());
}
template Entries adapters<float>();
template Entries adapters<double>();

}  // namespace branchlora::test::on_cuda
