#define DOCTEST_CONFIG_IMPLEMENT
#include "cuda/compare.hpp"

using namespace branchlora::test;

TEST_CASE_TEMPLATE("primitives", T, float, double) {
  check_same<T>(on_cuda::primitives<T>(), on_eigen::primitives());
}

TEST_CASE_TEMPLATE("operations", T, float, double) {
  check_same<T>(on_cuda::operations<T>(), on_eigen::operations());
}

TEST_CASE_TEMPLATE("adapters", T, float, double) {
  check_same<T>(on_cuda::adapters<T>(), on_eigen::adapters());
}

// In float, gates next to each other may be chosen in another order.
TEST_CASE("models") { check_same<double>(on_cuda::models<double>(), on_eigen::models()); }

int main(int argc, char** argv) {
  if (const std::string reason = on_cuda::reason_to_skip(); !reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return 77;  // What CTest takes for skipped.
  }
  return doctest::Context(argc, argv).run();
}
