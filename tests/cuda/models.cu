#include "branchlora/cuda/backend.hpp"
#include "cuda/groups.hpp"
#include "cuda/model_cases.hpp"

namespace branchlora::test::on_cuda {

template <class T>
Entries models() {
  return run_cases(model_cases<cuda::Backend<T>>());
}
template Entries models<double>();

}  // namespace branchlora::test::on_cuda
