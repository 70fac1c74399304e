#include <array>

#include "branchlora/core/random.hpp"
#include "branchlora/eigen/backend.hpp"

// y = x w^T on the Eigen backend, against the sum written out.
int main() {
  using branchlora::MatrixView;
  const branchlora::Random random(1);
  std::array<float, 2> x{};
  std::array<float, 2> w{};
  for (std::size_t i = 0; i < 2; ++i) {
    x[i] = static_cast<float>(random.normal(i));
    w[i] = static_cast<float>(random.normal(2 + i));
  }
  float y = 0;

  branchlora::eigen::Backend<float> backend;
  backend.gemm(branchlora::Op::none, branchlora::Op::transpose, 1,
               MatrixView<const float>(x.data(), 1, 2), MatrixView<const float>(w.data(), 1, 2), 0,
               MatrixView<float>(&y, 1, 1));

  const float difference = y - (x[0] * w[0] + x[1] * w[1]);
  return difference < 1e-5F && difference > -1e-5F ? 0 : 1;
}
