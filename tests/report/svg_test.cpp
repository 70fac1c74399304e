#include "branchlora/report/svg.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "xml.hpp"

using namespace branchlora::report;
using test::xml_error;

TEST_CASE("the reader of the tests tells good XML from bad") {
  CHECK(xml_error("<a b=\"1\"><c/>&lt;</a>").empty());
  for (const char* bad : {"", "<a>", "<a></b>", "<a/><a/>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>",
                          "<a>&</a>", "<a", "text"}) {
    CAPTURE(bad);
    CHECK_FALSE(xml_error(bad).empty());
  }
}

TEST_CASE("every shape is well-formed, text is escaped") {
  Svg svg(100.2, 50, "a < b & \"c\"");
  svg.rect({1, 2}, 3.14159, 4, "fill=\"#fff\"");
  svg.line({0, 0}, {-0.001, 1}, "stroke=\"#000\"");
  svg.polyline(std::vector<Point>{{0, 0}, {1, 1}}, "stroke=\"#000\"");
  svg.text({5, 5}, "<script> & 'x'", {.size = 12, .anchor = "end", .bold = true, .rotate = -40});
  for (std::size_t shape = 0; shape < 6; ++shape) svg.marker({1, 1}, shape, {1, 2, 3});
  const std::string document = svg.str();
  CHECK(xml_error(document) == "");
  CHECK(document.find("width=\"101\" height=\"50\"") != std::string::npos);
  CHECK(document.find("&lt;script&gt; &amp; &#39;x&#39;") != std::string::npos);
  CHECK(document.find("<script") == std::string::npos);
  CHECK(document.find("width=\"3.14\"") != std::string::npos);
  CHECK(document.find("x2=\"0\"") != std::string::npos);  // no minus zero
  CHECK(document.find("rotate(-40 5 5)") != std::string::npos);
}

TEST_CASE("colours") {
  CHECK(Color{0, 114, 178}.hex() == "#0072b2");
  CHECK(Color{255, 255, 255}.luminance() == doctest::Approx(1).epsilon(1e-12));
  CHECK(Color{0, 0, 0}.luminance() == 0);
  CHECK(sequential_color(-1).hex() == sequential_color(0).hex());
  CHECK(sequential_color(2).hex() == "#08306b");
}

TEST_CASE("the scale darkens all the way, and its text always contrasts 4.5 to 1") {
  double before = 2;
  for (int i = 0; i <= 1000; ++i) {
    const Color color = sequential_color(i / 1000.0);
    const double l = color.luminance();
    CHECK(l <= before);
    before = l;
    const double text = readable_on(color).luminance();
    const double contrast = (std::max(l, text) + 0.05) / (std::min(l, text) + 0.05);
    CHECK(contrast >= 4.5);  // what WCAG asks of small text
  }
}
