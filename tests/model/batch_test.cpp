#include "branchlora/model/batch.hpp"

#include <doctest/doctest.h>

using namespace branchlora;
using model::Batch;
using model::Example;
using Ids = std::vector<std::int32_t>;

TEST_CASE("a turn about a picture is one span that predicts its answer") {
  Batch batch;
  batch.push({5, 2, {{{1, 7, 8}, {9, 2}}}}, 2);
  CHECK(batch.sequences.offsets == std::vector<Index>{0, 6});
  CHECK(batch.sequences.spans.size() == 1);
  CHECK(batch.tasks == Ids{2});
  CHECK(batch.images == std::vector<Index>{5});
  CHECK(batch.text == Ids{1, 7, 8, 9});  // the last token of an answer is never read
  CHECK(batch.order == Ids{0, 1, -1, -2, -3, -4});
  CHECK(batch.positions == Ids{0, 1, 2, 3, 4, 5});
  CHECK(batch.rows == Ids{4, 5});
  CHECK(batch.targets == Ids{9, 2});
  CHECK(batch.kept.rows == Ids{0, 4, 5});
  CHECK(batch.predicting == Ids{1, 2});
}

TEST_CASE("several turns share the picture and restart behind it") {
  Batch batch;
  batch.push({-1, 0, {{{1}, {2}}}}, 2);  // text alone comes first and takes no image rows
  batch.push({3, 1, {{{1, 7}, {2}}, {{1, 6, 5}, {4, 2}}}}, 2);
  CHECK(batch.sequences.offsets == std::vector<Index>{0, 1, 9});
  REQUIRE(batch.sequences.spans.size() == 4);
  const Span turn = batch.sequences.spans[3];
  CHECK(turn.first == 5);
  CHECK(turn.count == 4);
  CHECK(turn.prefix_first == 1);
  CHECK(turn.prefix_count == 2);
  CHECK(batch.images == std::vector<Index>{3});
  CHECK(batch.order == Ids{-1, 0, 1, -2, -3, -4, -5, -6, -7});
  CHECK(batch.positions == Ids{0, 0, 1, 2, 3, 2, 3, 4, 5});
  CHECK(batch.longest() == 6);
  CHECK(batch.rows == Ids{0, 4, 7, 8});
  CHECK(batch.targets == Ids{2, 2, 4, 2});
  CHECK(batch.kept.rows == Ids{0, 1, 4, 7, 8});  // a first row that predicts is there once
  CHECK(batch.predicting == Ids{0, 2, 3, 4});
  CHECK(batch.kept.sequences.offsets == std::vector<Index>{0, 1, 5});
}

TEST_CASE("a turn without an answer predicts one row and learns nothing") {
  Batch batch;
  batch.push({0, 0, {{{1, 7}, {}}}}, 1);
  CHECK(batch.rows == Ids{2});
  CHECK(batch.targets == Ids{op::ignored});
}

TEST_CASE("an image stands where the prompt has it") {
  Batch batch;
  batch.push({7, 0, {{{1, 4, 5}, {6, 2}}}, 2}, 3);
  CHECK(batch.text == std::vector<std::int32_t>{1, 4, 5, 6});
  CHECK(batch.order == std::vector<std::int32_t>{-1, -2, 0, 1, 2, -3, -4});
  CHECK(batch.positions == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(batch.rows == std::vector<std::int32_t>{5, 6});
  CHECK(batch.targets == std::vector<std::int32_t>{6, 2});
  CHECK(batch.sequences.offsets == std::vector<Index>{0, 7});
  REQUIRE(batch.sequences.spans.size() == 1);
  CHECK(batch.sequences.spans[0].count == 7);
}

TEST_CASE("turns share what stands before their image") {
  Batch batch;
  batch.push({7, 0, {{{1, 4, 5}, {2}}, {{1, 4, 8, 9}, {3, 2}}}, 2}, 2);
  CHECK(batch.text == std::vector<std::int32_t>{1, 4, 5, 8, 9, 3});
  CHECK(batch.order == std::vector<std::int32_t>{-1, -2, 0, 1, -3, -4, -5, -6});
  CHECK(batch.positions == std::vector<std::int32_t>{0, 1, 2, 3, 4, 4, 5, 6});
  CHECK(batch.rows == std::vector<std::int32_t>{4, 6, 7});
  REQUIRE(batch.sequences.spans.size() == 3);
  CHECK(batch.sequences.spans[2].prefix_count == 4);
  CHECK(batch.sequences.spans[2].first == 5);
}

TEST_CASE("a place for an image that no prompt has is refused") {
  Batch batch;
  CHECK_THROWS_AS(batch.push({7, 0, {{{1, 4}, {2}}}, 2}, 3), branchlora::Error);
  CHECK_THROWS_AS(batch.push({7, 0, {{{1, 4}, {2}}}, -1}, 3), branchlora::Error);
  CHECK_THROWS_AS(batch.push({7, 0, {{{1, 4}, {2}}, {{3, 4}, {2}}}, 1}, 3), branchlora::Error);
  CHECK(batch.order.empty());
}
