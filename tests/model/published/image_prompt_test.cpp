#include "branchlora/model/published/image_prompt.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"

using namespace branchlora;
using model::published::about_image;
using test::check_mentions;
using test::error_of;
using Ids = std::vector<std::int32_t>;

TEST_CASE("the picture stands where its placeholder stood") {
  const model::Example example = about_image({{1, 5, -200, 6, 7}, {8, 2}}, -200, 3, 4);
  CHECK(example.image == 3);
  CHECK(example.task == 4);
  CHECK(example.image_at == 2);
  REQUIRE(example.turns.size() == 1);
  CHECK(example.turns[0].prompt == Ids{1, 5, 6, 7});
  CHECK(example.turns[0].answer == Ids{8, 2});
  CHECK(about_image({{9, 5}, {}}, 9, 0).image_at == 0);

  model::Batch batch;
  batch.push(example, 2);
  CHECK(batch.order == Ids{-1, -2, 0, 1, -3, -4, -5});  // two words, the picture's rows, the rest
  CHECK(batch.text == Ids{1, 5, 6, 7, 8});
}

TEST_CASE("a prompt has one placeholder, and goes on after it") {
  check_mentions(error_of([] { about_image({{1, 5}, {}}, 9, 0); }), "one token 9", "found 0");
  check_mentions(error_of([] { about_image({{9, 5, 9}, {}}, 9, 0); }), "one token 9", "found 2");
  check_mentions(error_of([] { about_image({{1, 9}, {}}, 9, 0); }), "text after the picture");
}
