/// @file
/// The bodies of `svg.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/report/svg.hpp"
#include "branchlora/report/text.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE std::string Color::hex() const {
  return fmt::format("#{:02x}{:02x}{:02x}", red, green, blue);
}

BRANCHLORA_INLINE double Color::luminance() const {
  const auto linear = [](std::uint8_t channel) {
    const double v = channel / 255.0;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

BRANCHLORA_INLINE Color readable_on(Color background) {
  const double l = background.luminance();
  return (l + 0.05) / 0.05 >= 1.05 / (l + 0.05) ? Color{0, 0, 0} : Color{255, 255, 255};
}

BRANCHLORA_INLINE Color sequential_color(double t) {
  static constexpr std::array<Color, 6> stops{{{247, 251, 255},
                                               {208, 225, 242},
                                               {148, 196, 223},
                                               {74, 152, 201},
                                               {23, 100, 171},
                                               {8, 48, 107}}};
  const double position = std::clamp(t, 0.0, 1.0) * (stops.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(position), stops.size() - 2);
  const double fraction = position - static_cast<double>(low);
  const auto mix = [&](std::uint8_t a, std::uint8_t b) {
    return static_cast<std::uint8_t>(std::lround(a + fraction * (b - a)));
  };
  const Color& a = stops[low];
  const Color& b = stops[low + 1];
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

BRANCHLORA_INLINE Color categorical_color(std::size_t i) {
  static constexpr std::array<Color, 9> colors{{{0, 114, 178},
                                                {213, 94, 0},
                                                {0, 158, 115},
                                                {204, 121, 167},
                                                {230, 159, 0},
                                                {86, 180, 233},
                                                {0, 0, 0},
                                                {136, 34, 85},
                                                {153, 153, 51}}};
  return colors[i % colors.size()];
}

BRANCHLORA_INLINE double text_width(std::string_view text, double size) {
  return static_cast<double>(display_width(text)) * size * 0.6;
}

BRANCHLORA_INLINE Svg::Svg(double width, double height, std::string_view title) {
  out_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"system-ui, "
      "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\">\n"
      "<title>{2}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      std::ceil(width), std::ceil(height), escape_xml(title));
}

BRANCHLORA_INLINE void Svg::rect(Point corner, double width, double height,
                                 std::string_view attributes) {
  out_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}/>\n", px(corner.x),
                      px(corner.y), px(width), px(height), attributes);
}

BRANCHLORA_INLINE void Svg::line(Point from, Point to, std::string_view attributes) {
  out_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" {}/>\n", px(from.x),
                      px(from.y), px(to.x), px(to.y), attributes);
}

BRANCHLORA_INLINE void Svg::polyline(std::span<const Point> points, std::string_view attributes) {
  out_ += R"(<polyline fill="none" points=")";
  for (const Point& p : points) out_ += fmt::format("{},{} ", px(p.x), px(p.y));
  out_ += fmt::format("\" {}/>\n", attributes);
}

BRANCHLORA_INLINE void Svg::text(Point at, std::string_view text, const TextStyle& style) {
  out_ += fmt::format(R"(<text x="{}" y="{}" font-size="{}" fill="{}")", px(at.x), px(at.y),
                      px(style.size), style.color.hex());
  if (style.anchor != "start") out_ += fmt::format(" text-anchor=\"{}\"", style.anchor);
  if (style.bold) out_ += " font-weight=\"600\"";
  if (style.rotate != 0)
    out_ += fmt::format(" transform=\"rotate({} {} {})\"", px(style.rotate), px(at.x), px(at.y));
  out_ += fmt::format(">{}</text>\n", escape_xml(text));
}

BRANCHLORA_INLINE std::size_t Svg::heading_lines(std::string_view text, double width) {
  return std::max<std::size_t>(1, broken(text, width).size());
}

BRANCHLORA_INLINE void Svg::heading(Point at, std::string_view text, double width) {
  const std::vector<std::string> lines = broken(text, width);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double above = heading_height * static_cast<double>(lines.size() - 1 - i);
    this->text({at.x, at.y - above}, lines[i], {.size = 13, .bold = true});
  }
}

BRANCHLORA_INLINE void Svg::marker(Point at, std::size_t shape, Color color, double r) {
  const std::string paint =
      fmt::format(R"(fill="{}" stroke="#ffffff" stroke-width="0.7")", color.hex());
  const auto path = [&](std::string_view d) {
    out_ += fmt::format("<path transform=\"translate({} {})\" d=\"{}\" {}/>\n", px(at.x), px(at.y),
                        d, paint);
  };
  switch (shape % 5) {
    case 0:
      out_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {}/>\n", px(at.x), px(at.y), px(r),
                          paint);
      break;
    case 1:
      path(fmt::format("M{0} {0}H-{0}V-{0}H{0}Z", px(0.9 * r)));
      break;
    case 2:
      path(fmt::format("M0 -{0}L{0} {1}H-{0}Z", px(1.2 * r), px(r)));
      break;
    case 3:
      path(fmt::format("M0 -{0}L{0} 0L0 {0}L-{0} 0Z", px(1.25 * r)));
      break;
    default:
      path(fmt::format("M0 {0}L{0} -{1}H-{0}Z", px(1.2 * r), px(r)));
      break;
  }
}

BRANCHLORA_INLINE std::vector<std::string> Svg::broken(std::string_view text, double width) {
  return wrap(text, static_cast<std::size_t>(width / 8));
}

BRANCHLORA_INLINE std::string Svg::px(double value) {
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

}  // namespace branchlora::report
