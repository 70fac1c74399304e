#include "branchlora/report/text.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace branchlora::report;

TEST_CASE("width counts columns, not bytes") {
  CHECK(display_width("") == 0);
  CHECK(display_width("12.3 ± 0.4") == 10);
  CHECK(display_width("a → b") == 5);
  CHECK(display_width("e\u0301") == 1);  // e and a combining accent
  CHECK(display_width("任务") == 4);
  CHECK(display_width("\xff\xe2") == 2);  // malformed bytes do not run past the end
}

TEST_CASE("padding and cutting keep whole characters") {
  CHECK(pad("±", 3) == "±  ");
  CHECK(pad("±", 3, true) == "  ±");
  CHECK(pad("long", 2) == "long");
  CHECK(branchlora::report::truncate("abcdef", 6) == "abcdef");
  CHECK(branchlora::report::truncate("abcdef", 4) == "abc…");
  CHECK(branchlora::report::truncate("±±±±", 3) == "±±…");
  CHECK(branchlora::report::truncate("任务任务", 4) == "任…");
  CHECK(branchlora::report::truncate("ab", 0).empty());
}

TEST_CASE("wrapping at spaces") {
  CHECK(wrap("one two three", 7) == std::vector<std::string>{"one two", "three"});
  CHECK(wrap("unbreakable", 3) == std::vector<std::string>{"unbreakable"});
  CHECK(wrap("", 3).empty());
}

TEST_CASE("escapes") {
  CHECK(escape_markdown("a|b *c* <d>") == "a\\|b \\*c\\* &lt;d>");
  CHECK(escape_latex("50% of a_b & {c} ± ↑ \\") ==
        "50\\% of a\\_b \\& \\{c\\} $\\pm$ $\\uparrow$ \\textbackslash{}");
  CHECK(escape_xml("<a & \"b\">\n'") == "&lt;a &amp; &quot;b&quot;&gt; &#39;");
  CHECK(escape_csv("plain") == "plain");
  CHECK(escape_csv("a, \"b\"") == "\"a, \"\"b\"\"\"");
  CHECK(escape_csv("two\nlines") == "\"two\nlines\"");
}
