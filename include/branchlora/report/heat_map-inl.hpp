/// @file
/// The bodies of `heat_map.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/report/heat_map.hpp"
#include "branchlora/report/method_runs.hpp"
#include "branchlora/report/statistics.hpp"
#include "branchlora/report/svg.hpp"

namespace branchlora::report {

namespace detail {

/// A matrix to draw, a score a cell.
struct HeatMap {
  struct Row {
    std::string label;
    std::vector<double> scores;
    std::optional<std::size_t> own_task = {};  ///< framed
  };
  std::string title;
  std::vector<Row> rows;
};

/// Sizes in pixels and the drawing of one matrix.
struct HeatMapStyle {
  static constexpr double cell_width = 36;
  static constexpr double cell_height = 24;
  static constexpr double font = 11;
  static constexpr Color soft{90, 90, 90};

  static double map_width(std::size_t tasks) { return cell_width * static_cast<double>(tasks); }
  static double title_width(std::size_t tasks) { return std::max(map_width(tasks), 160.0); }

  static void draw_cell(Svg& svg, Point corner, double score, bool framed) {
    if (std::isnan(score)) {
      svg.rect(corner, cell_width, cell_height, R"(fill="#f1f1f1" stroke="#ffffff")");
      return;
    }
    const Color color = sequential_color(score / 100);
    svg.rect(corner, cell_width, cell_height,
             fmt::format(R"(fill="{}" stroke="#ffffff")", color.hex()));
    if (framed) {
      svg.rect({corner.x + 1.5, corner.y + 1.5}, cell_width - 3, cell_height - 3,
               R"(fill="none" stroke="#e69f00" stroke-width="1.5")");
    }
    svg.text({corner.x + cell_width / 2, corner.y + cell_height / 2 + 0.36 * font},
             format_number(score), {.size = font, .anchor = "middle", .color = readable_on(color)});
  }

  /// Draws `map` with its upper left cell at `origin`.
  static void draw(Svg& svg, Point origin, const HeatMap& map,
                   const std::vector<std::string>& tasks, bool row_labels) {
    svg.heading({origin.x, origin.y - 10}, map.title, title_width(tasks.size()));
    double y = origin.y;
    for (const HeatMap::Row& row : map.rows) {
      if (row_labels)
        svg.text({origin.x - 8, y + cell_height / 2 + 0.36 * font}, row.label, {.anchor = "end"});
      for (std::size_t j = 0; j < tasks.size(); ++j) {
        draw_cell(svg, {origin.x + cell_width * static_cast<double>(j), y}, row.scores[j],
                  row.own_task == j);
      }
      y += cell_height;
    }
    for (std::size_t j = 0; j < tasks.size(); ++j) {
      svg.text({origin.x + cell_width * (static_cast<double>(j) + 0.5) + 4, y + 12}, tasks[j],
               {.anchor = "end", .rotate = -40});
    }
  }
};

/// The matrix of one method, on top the untrained model if `zero_shot_row`.
BRANCHLORA_INLINE HeatMap heat_map(const MethodRuns& group, const std::vector<std::string>& tasks,
                                   bool zero_shot_row) {
  HeatMap map{.title = group.method, .rows = {}};
  if (zero_shot_row) {
    std::vector<double> scores = group.mean_zero_shot();
    scores.resize(tasks.size(), not_measured);
    map.rows.push_back({"untrained", std::move(scores)});
  }
  const AccuracyMatrix mean = group.mean_matrix();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    std::vector<double> scores;
    for (std::size_t j = 0; j < tasks.size(); ++j) scores.push_back(mean(i, j));
    map.rows.push_back({tasks[i], std::move(scores), i});
  }
  return map;
}

}  // namespace detail

BRANCHLORA_INLINE std::string heat_map_svg(std::span<const RunResult> runs,
                                           std::string_view title) {
  using Style = detail::HeatMapStyle;
  const std::vector<MethodRuns> groups = group_by_method(runs);
  const std::vector<std::string>& tasks = runs.front().tasks;
  const bool zero_shot_row = std::ranges::any_of(groups, [](const MethodRuns& group) {
    return !group.mean_zero_shot().empty() && !only_end_scored(group.mean_matrix());
  });

  std::vector<detail::HeatMap> maps;
  detail::HeatMap ends{.title = "Scored at the end", .rows = {}};
  for (const MethodRuns& group : groups) {
    const AccuracyMatrix mean = group.mean_matrix();
    if (only_end_scored(mean)) {
      std::vector<double> scores;
      for (std::size_t j = 0; j < tasks.size(); ++j) scores.push_back(mean(tasks.size() - 1, j));
      ends.rows.push_back({group.method, std::move(scores)});
    } else {
      maps.push_back(detail::heat_map(group, tasks, zero_shot_row));
    }
  }

  double longest_task = 0;
  for (const std::string& task : tasks)
    longest_task = std::max(longest_task, text_width(task, Style::font));
  double longest_label = std::max(longest_task, text_width("untrained", Style::font));
  for (const auto& row : ends.rows)
    longest_label = std::max(longest_label, text_width(row.label, Style::font));
  const double map_width = Style::map_width(tasks.size());
  const double title_width = Style::title_width(tasks.size());
  std::size_t title_lines = 1;
  for (const detail::HeatMap& map : maps)
    title_lines = std::max(title_lines, Svg::heading_lines(map.title, title_width));
  const double titles = Svg::heading_height * static_cast<double>(title_lines - 1);

  const auto map_height = [](const detail::HeatMap& map) {
    return Style::cell_height * static_cast<double>(map.rows.size());
  };
  const double left = longest_label + 38;
  const double top = 88 + titles;
  const double foot = 0.65 * longest_task + 36;  // slanted names and the axis title
  const double pitch_x = std::max(title_width, 0.77 * longest_task) + 28;
  const double pitch_y = (maps.empty() ? 0 : map_height(maps.front())) + foot + 34 + titles;
  const std::size_t columns = std::clamp<std::size_t>(maps.size(), 1, tasks.size() > 6 ? 3 : 4);
  const std::size_t lines = (maps.size() + columns - 1) / columns;
  const double ends_y = top + pitch_y * static_cast<double>(lines);
  const double bottom = ends.rows.empty() ? ends_y - 34 - titles : ends_y + map_height(ends) + foot;
  const double scale_x = left + pitch_x * static_cast<double>(columns) + 4;
  const std::string subtitle =
      describe_mean(groups) + "; framed: the task just trained; grey: not measured";
  Svg svg(std::max({scale_x + 68, text_width(title, 16) + 32, text_width(subtitle, 11) + 32}),
          bottom + 8, title);

  svg.text({16, 26}, title, {.size = 15, .bold = true});
  svg.text({16, 44}, subtitle, {.color = Style::soft});
  const auto draw = [&](const detail::HeatMap& map, Point origin, bool row_labels) {
    Style::draw(svg, origin, map, tasks, row_labels);
    svg.text({origin.x + map_width / 2, origin.y + map_height(map) + foot - 8}, "scored on",
             {.anchor = "middle", .color = Style::soft});
  };
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const std::size_t row = m / columns;
    const std::size_t column = m % columns;
    const Point origin{left + pitch_x * static_cast<double>(column),
                       top + pitch_y * static_cast<double>(row)};
    draw(maps[m], origin, column == 0);
    if (column == 0) {
      svg.text({20, origin.y + map_height(maps[m]) / 2}, "after training on",
               {.anchor = "middle", .color = Style::soft, .rotate = -90});
    }
  }
  if (!ends.rows.empty()) draw(ends, {left, ends_y}, true);

  constexpr int shades = 50;
  const double scale_height = std::min(200.0, bottom - top);
  for (int s = 0; s < shades; ++s) {
    svg.rect({scale_x, top + scale_height * s / shades}, 12, scale_height / shades + 0.5,
             fmt::format("fill=\"{}\"", sequential_color(1 - (s + 0.5) / shades).hex()));
  }
  for (int tick = 0; tick <= 100; tick += 20) {
    const double y = top + scale_height * (1 - tick / 100.0);
    svg.line({scale_x + 12, y}, {scale_x + 16, y}, "stroke=\"#555555\"");
    svg.text({scale_x + 20, y + 4}, fmt::format("{}", tick));
  }
  svg.text({scale_x, top - 10}, "score (%)", {.color = Style::soft});
  return svg.str();
}

}  // namespace branchlora::report
