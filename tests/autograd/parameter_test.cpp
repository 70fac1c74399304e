#include "branchlora/autograd/parameter.hpp"

#include <doctest/doctest.h>

#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("a stack is one matrix, and its members parameters of their own") {
  Double backend;
  ParameterSet<Double> parameters(backend);
  const auto stack = parameters.add_stack({{"a", 2}, {"b", 1}, {"c", 3}}, 4);
  REQUIRE(stack.size() == 3);
  CHECK(stack[1]->value.data == stack[0]->value.data + 8);
  CHECK(stack[2]->value.data == stack[0]->value.data + 12);
  CHECK(parameters.find("c") == stack[2]);
  CHECK(parameters.find("d") == nullptr);
  CHECK(largest(to_dense(stack[2]->value)) == 0);
  CHECK(parameters.trainable_count() == 0);

  parameters.set_trainable(*stack[1], true);
  CHECK(parameters.trainable_count() == 4);
  CHECK(stack[1]->grad.data == stack[0]->grad.data + 8);
  CHECK(stack[2]->grad.data == stack[0]->grad.data + 12);
  const auto* grad = stack[1]->grad.data;
  parameters.set_trainable(*stack[1], false);
  parameters.set_trainable(*stack[1], true);
  parameters.set_trainable(*stack[0], true);
  CHECK(stack[1]->grad.data == grad);
  CHECK(parameters.trainable_count() == 12);
}

TEST_CASE("references stay valid as parameters are added, and names are unique") {
  Double backend;
  ParameterSet<Double> parameters(backend);
  auto& first = parameters.add("first", 1, 1);
  first.value(0, 0) = 7;
  for (int i = 0; i < 1000; ++i) parameters.add(std::to_string(i), 1, 1);
  CHECK(parameters.find("first") == &first);
  CHECK(first.value(0, 0) == 7);
  CHECK(parameters.size() == 1001);
  CHECK_THROWS_WITH_AS(parameters.add("7", 1, 1), "parameter '7' was added twice", Error);
}

TEST_CASE("a frozen parameter gives its memory back, one that trains or is in a stack does not") {
  Double backend;
  ParameterSet<Double> parameters(backend);
  auto& alone = parameters.add("alone", 2, 3);
  parameters.set_trainable(alone, true);
  CHECK_THROWS_WITH_AS(parameters.release(alone),
                       "parameter 'alone': expected one that is frozen and in no stack, to give "
                       "back its memory",
                       Error);
  CHECK_NOTHROW(expect_present(alone));
  parameters.set_trainable(alone, false);
  parameters.release(alone);
  CHECK(alone.value.data == nullptr);
  CHECK(alone.grad.data == nullptr);
  CHECK(alone.value.rows == 2);
  CHECK(alone.value.cols == 3);
  CHECK_THROWS_AS(expect_present(alone), Error);
  CHECK_THROWS_AS(parameters.set_trainable(alone, true), Error);
  CHECK_FALSE(alone.trainable);

  const auto stack = parameters.add_stack({{"a", 2}, {"b", 1}}, 4);
  CHECK_THROWS_AS(parameters.release(*stack[1]), Error);
  CHECK(stack[1]->value.data != nullptr);
}
