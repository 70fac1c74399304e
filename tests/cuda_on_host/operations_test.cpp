#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "branchlora/eigen/backend.hpp"
#include "cuda/compare.hpp"
#include "cuda/groups.hpp"
#include "cuda/operation_cases.hpp"
#include "cuda_on_host/bench.hpp"
#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using Exact = eigen::Backend<double>;

constexpr const char* head = R"(# What is supported, and how it is checked

Written by a test; do not edit. After a change of the operations:

```sh
BRANCHLORA_WRITE=1 ctest --test-dir build/release -R cuda_on_host/operations
```

- **Eigen**: the value is the reference of the other backend; naive references are in `tests/eigen`
  and `tests/autograd`. **Its gradient**: agrees with finite differences in double.
- **CUDA**: in float and double, value and gradient agree with the Eigen backend in double, on the
  stand-in in CI and on a device by `scripts/gpu-check`.
- **Timed**: forward and backward are measured by `benchmark_cuda`.

| operation | Eigen | its gradient | CUDA | its gradient | timed |
|---|---|---|---|---|---|
)";

// Every case of a list, in both precisions, against Eigen's.
template <template <class> class Of>
Entries check_all() {
  const Entries exact = run_cases(Of<Exact>::cases());
  check_same<float>(run_cases(Of<cuda::Backend<float>>::cases()), exact);
  check_same<double>(run_cases(Of<cuda::Backend<double>>::cases()), exact);
  check_clean();
  return exact;
}

template <class B>
struct Primitives {
  static auto cases() { return primitive_cases<B>(); }
};
template <class B>
struct Operations {
  static auto cases() { return operation_cases<B>(); }
};

}  // namespace

TEST_CASE("operations and their gradients agree with the Eigen backend and finite differences") {
  std::string table = head;
  for (const Entry& entry : check_all<Primitives>()) {
    table += fmt::format("| {} | yes | | yes | | |\n", entry.name);
  }
  const Entries operations = check_all<Operations>();
  Exact exact;
  const auto descriptions = cases::operations(exact);
  REQUIRE(operations.size() == descriptions.size() + 1);
  for (const auto& each : descriptions) {
    CAPTURE(each.name);
    ParameterSet<Exact> parameters(exact);
    for (std::size_t i = 0; i < each.inputs.size(); ++i) {
      auto& p = parameters.add(std::to_string(i), each.inputs[i].rows, each.inputs[i].cols);
      assign(p.value, each.inputs[i]);
      parameters.set_trainable(p, true);
    }
    check_gradients(parameters, [&](Tape<Exact>& tape) {
      std::vector<Var<double>> vars;
      for (auto& p : parameters) vars.push_back(tape.parameter(p));
      const auto y = each.apply(tape, vars);
      return weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 90));
    });
    table += fmt::format("| `op::{}` | yes | yes | yes | yes | yes |\n", each.name);
  }
  table += fmt::format("| {} | yes | | yes | | |\n", operations.back().name);

  const std::filesystem::path path = BRANCHLORA_SOURCE_DIR "/docs/support.md";
  if (std::getenv("BRANCHLORA_WRITE") != nullptr) std::ofstream(path) << table;
  std::ostringstream found;
  found << std::ifstream(path).rdbuf();
  const bool up_to_date = found.str() == table;
  CHECK_MESSAGE(up_to_date, "docs/support.md is not what is checked here; it says how to write it");
}
