#include "branchlora/core/matrix.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

using namespace branchlora;

TEST_CASE("views of rows and columns show the same memory") {
  std::vector<int> memory(12);
  std::iota(memory.begin(), memory.end(), 0);
  const MatrixView<int> m(memory.data(), 3, 4);
  CHECK(m(1, 2) == 6);
  CHECK(m.size() == 12);
  CHECK(m.contiguous());

  const auto rows = m.middle_rows(1, 2);
  CHECK(rows.rows == 2);
  CHECK(rows(0, 0) == 4);
  CHECK(rows.contiguous());

  const auto block = rows.middle_cols(1, 2);
  CHECK(block.cols == 2);
  CHECK(block(1, 1) == 10);
  CHECK_FALSE(block.contiguous());
  CHECK(block.middle_rows(0, 1).contiguous());

  block(1, 1) = -1;
  CHECK(memory[10] == -1);
  const MatrixView<const int> constant = block;
  CHECK(constant(1, 1) == -1);
  CHECK(constant.row(1) == memory.data() + 9);
}

TEST_CASE("a wrong shape is named") {
  const MatrixView<double> m(nullptr, 3, 4);
  CHECK_NOTHROW(expect_shape(m, 3, 4, "w"));
  CHECK_THROWS_WITH_AS(expect_shape(m, 4, 3, "the weight"),
                       "the weight: expected shape 4 x 3, found 3 x 4", Error);
  CHECK(MatrixView<double>().empty());
}
