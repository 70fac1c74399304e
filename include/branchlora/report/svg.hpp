/// @file
/// A small writer of SVG pictures: shapes, text, and colours that stay apart for every reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace branchlora::report {

/// A colour, 8 bits a channel.
struct Color {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;

  /// `#rrggbb`
  std::string hex() const;

  /// Relative luminance of sRGB, 0 black to 1 white (WCAG 2).
  double luminance() const;
};

/// Black or white, whichever contrasts more with `background`.
Color readable_on(Color background);

/// A sequential scale from near white to dark blue, monotone in lightness, for `t` from 0 to 1.
Color sequential_color(double t);

/// Colour of the `i`-th line of a plot: the set of Okabe and Ito without its yellow, which white
/// paper swallows, and two more of like lightness; it repeats after nine.
Color categorical_color(std::size_t i);

/// A point in pixels, from the upper left corner.
struct Point {
  double x = 0;
  double y = 0;
};

/// How a text lies about its point.
struct TextStyle {
  double size = 11;                   ///< pixels
  std::string_view anchor = "start";  ///< `start`, `middle` or `end`
  Color color = {34, 34, 34};
  bool bold = false;
  double rotate = 0;  ///< degrees clockwise about the point
};

/// Room to keep for `text`, in pixels. No font is at hand, so this is on the safe side of what the
/// common sans-serif fonts take.
double text_width(std::string_view text, double size);

/// A picture under construction, with a white background, system fonts and no script. Coordinates
/// are pixels. `attributes` are SVG's own, as in `fill="none" stroke="#333"`.
class Svg {
 public:
  /// `title` is read out by screen readers and shown by browsers.
  Svg(double width, double height, std::string_view title);

  void rect(Point corner, double width, double height, std::string_view attributes);

  void line(Point from, Point to, std::string_view attributes);

  void polyline(std::span<const Point> points, std::string_view attributes);

  void text(Point at, std::string_view text, const TextStyle& style = {});

  /// Lines that `heading` takes.
  static std::size_t heading_lines(std::string_view text, double width);

  /// Writes `text` in bold, broken into lines of about `width` pixels, the last of them at `at`.
  void heading(Point at, std::string_view text, double width);
  static constexpr double heading_height = 16;  ///< of one line

  /// A small mark about `at` whose shape depends on `shape` (five of them, then again): lines that
  /// share a colour, or a reader who sees none, can be told apart by it.
  void marker(Point at, std::size_t shape, Color color, double r = 3);

  /// The whole document.
  std::string str() const { return out_ + "</svg>\n"; }

 private:
  static std::vector<std::string> broken(std::string_view text, double width);

  /// At most two decimals, no trailing zeros.
  static std::string px(double value);

  std::string out_;
};

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/svg-inl.hpp"
#endif
