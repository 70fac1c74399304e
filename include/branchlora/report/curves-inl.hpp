/// @file
/// The bodies of `curves.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/curves.hpp"
#include "branchlora/report/method_runs.hpp"
#include "branchlora/report/svg.hpp"

namespace branchlora::report {

namespace detail {

/// How a line is drawn.
struct LineStyle {
  Color color;
  std::string_view dashes;  ///< of `stroke-dasharray`, empty for a solid line
  std::size_t marker;

  std::string stroke() const {
    return fmt::format(R"(stroke="{}" stroke-width="1.6" stroke-linejoin="round"{})", color.hex(),
                       dashes.empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", dashes));
  }

  /// The `i`-th line; colour, dashes and marker together repeat late.
  static LineStyle line(std::size_t i) {
    static constexpr std::array<std::string_view, 3> dashes{"", "6 3", "8 2 2 2"};
    return {categorical_color(i), dashes[i / 9 % dashes.size()], i};
  }
  /// The `i`-th level that lines are read against: grey and dotted.
  static LineStyle level(std::size_t i) {
    static constexpr std::array<std::string_view, 3> dashes{"1.5 2.5", "4 2.5", "7 2.5 1.5 2.5"};
    return {{110, 110, 110}, dashes[i % dashes.size()], 4 - i % 5};
  }
};

/// A line of the legend. A level was scored only at the end, as joint training is.
struct LegendEntry {
  std::string name;
  LineStyle style;
  bool level = false;
};

/// One line of a panel: a score a stage, NaN where there is none.
struct Curve {
  std::size_t entry;  ///< index into the legend
  std::vector<double> scores;
};

/// A plot of scores over stages. `own_stage` marks the stage that trains the panel's task.
struct CurvePanel {
  std::string title;
  std::vector<Curve> curves;
  std::optional<std::size_t> own_stage = {};
};

/// Small multiples that share both axes, and one legend at their right.
class CurvePlot {
 public:
  CurvePlot(std::string_view title, std::string subtitle, std::vector<CurvePanel> panels,
            std::vector<LegendEntry> legend, std::size_t stages)
      : title_(title),
        subtitle_(std::move(subtitle)),
        panels_(std::move(panels)),
        legend_(std::move(legend)),
        stages_(stages) {
    double highest = 0;
    for (const CurvePanel& panel : panels_) {
      for (const Curve& curve : panel.curves) {
        for (const double score : curve.scores)
          if (score > highest) highest = score;
      }
    }
    step_ = highest > 50 ? 20 : highest > 20 ? 10 : 5;
    top_ = std::max(step_, std::ceil(highest / step_ - 1e-9) * step_);
  }

  std::string str() const {
    double legend_width = 0;
    for (const LegendEntry& entry : legend_)
      legend_width = std::max(legend_width, text_width(entry.name, 11));
    std::size_t title_lines = 1;
    for (const CurvePanel& panel : panels_)
      title_lines = std::max(title_lines, Svg::heading_lines(panel.title, plot_width));
    const double titles = Svg::heading_height * static_cast<double>(title_lines - 1);
    const std::size_t columns = std::min<std::size_t>(panels_.size(), panels_.size() == 4 ? 2 : 3);
    const std::size_t lines = (panels_.size() + columns - 1) / columns;
    const double pitch_x = plot_width + 44;
    const double pitch_y = plot_height + 76 + titles;
    const Point first{62, 88 + titles};
    const double legend_x = first.x + pitch_x * static_cast<double>(columns) - 14;
    const double height = std::max(first.y + pitch_y * static_cast<double>(lines) - 20 - titles,
                                   first.y + 18 * static_cast<double>(legend_.size()) + 12);
    Svg svg(std::max({legend_x + 44 + legend_width, text_width(title_, 16) + 40,
                      text_width(subtitle_, 11) + 32}),
            height, title_);

    svg.text({16, 26}, title_, {.size = 15, .bold = true});
    svg.text({16, 44}, subtitle_, {.color = soft});
    for (std::size_t p = 0; p < panels_.size(); ++p) {
      const std::size_t row = p / columns;
      const std::size_t column = p % columns;
      draw(svg,
           {first.x + pitch_x * static_cast<double>(column),
            first.y + pitch_y * static_cast<double>(row)},
           panels_[p], column == 0);
    }
    for (std::size_t i = 0; i < legend_.size(); ++i) {
      const auto& [name, style, level] = legend_[i];
      const double y = first.y + 8 + 18 * static_cast<double>(i);
      svg.line({legend_x, y}, {legend_x + 26, y}, style.stroke());
      svg.marker({legend_x + 13, y}, style.marker, style.color);
      svg.text({legend_x + 34, y + 4}, name);
    }
    return svg.str();
  }

 private:
  static constexpr double plot_width = 216;
  static constexpr double plot_height = 150;
  static constexpr Color soft{90, 90, 90};
  static constexpr double inset = 10;  ///< between the axis and the first stage

  double x(std::size_t stage) const {
    const double room = plot_width - 2 * inset;
    return stages_ == 1
               ? plot_width / 2
               : inset + room * static_cast<double>(stage) / static_cast<double>(stages_ - 1);
  }
  double y(double score) const { return plot_height * (1 - score / top_); }

  void draw(Svg& svg, Point o, const CurvePanel& panel, bool axis_title) const {
    svg.heading({o.x, o.y - 10}, panel.title, plot_width);
    for (int i = 0; i <= std::lround(top_ / step_); ++i) {
      const double tick = step_ * i;
      svg.line({o.x, o.y + y(tick)}, {o.x + plot_width, o.y + y(tick)}, "stroke=\"#e6e6e6\"");
      svg.text({o.x - 6, o.y + y(tick) + 4}, fmt::format("{:.0f}", tick), {.anchor = "end"});
    }
    if (panel.own_stage) {
      svg.line({o.x + x(*panel.own_stage), o.y}, {o.x + x(*panel.own_stage), o.y + plot_height},
               R"(stroke="#999999" stroke-dasharray="3 3")");
    }
    svg.line({o.x, o.y + plot_height}, {o.x + plot_width, o.y + plot_height}, "stroke=\"#555555\"");
    svg.line({o.x, o.y}, {o.x, o.y + plot_height}, "stroke=\"#555555\"");
    const std::size_t stride = (stages_ + 11) / 12;
    for (std::size_t i = 0; i < stages_; i += stride) {
      const Point foot{o.x + x(i), o.y + plot_height};
      svg.line(foot, {foot.x, foot.y + 4}, "stroke=\"#555555\"");
      svg.text({foot.x, foot.y + 17}, fmt::format("{}", i + 1), {.anchor = "middle"});
    }
    svg.text({o.x + plot_width / 2, o.y + plot_height + 34}, "tasks trained",
             {.anchor = "middle", .color = soft});
    if (axis_title) {
      svg.text({o.x - 36, o.y + plot_height / 2}, "score (%)",
               {.anchor = "middle", .color = soft, .rotate = -90});
    }
    for (const Curve& curve : panel.curves) draw(svg, o, curve);
  }

  /// A line with a mark a stage, broken where a score is missing; a level right across.
  void draw(Svg& svg, Point o, const Curve& curve) const {
    const auto& [name, style, level] = legend_[curve.entry];
    if (level && !std::isnan(curve.scores.back())) {
      const double at = o.y + y(curve.scores.back());
      svg.line({o.x, at}, {o.x + plot_width, at}, style.stroke());
    }
    std::vector<Point> points;
    const auto flush = [&, &line = style] {
      if (points.size() > 1) svg.polyline(points, line.stroke());
      for (const Point& p : points) svg.marker(p, line.marker, line.color);
      points.clear();
    };
    for (std::size_t i = 0; i < curve.scores.size(); ++i) {
      if (std::isnan(curve.scores[i])) {
        flush();
      } else {
        points.push_back({o.x + x(i), o.y + y(curve.scores[i])});
      }
    }
    flush();
  }

  std::string title_;
  std::string subtitle_;
  std::vector<CurvePanel> panels_;
  std::vector<LegendEntry> legend_;
  std::size_t stages_;
  double step_ = 20;
  double top_ = 100;
};

/// `1 ScienceQA`: tasks with their place in the order.
BRANCHLORA_INLINE std::vector<std::string> numbered(const std::vector<std::string>& tasks) {
  std::vector<std::string> names;
  names.reserve(tasks.size());
  for (const std::string& task : tasks)
    names.push_back(fmt::format("{} {}", names.size() + 1, task));
  return names;
}

}  // namespace detail

BRANCHLORA_INLINE std::string curves_by_task_svg(std::span<const RunResult> runs,
                                                 std::string_view title) {
  const std::vector<MethodRuns> groups = group_by_method(runs);
  const std::vector<std::string> tasks = detail::numbered(runs.front().tasks);
  std::vector<detail::LegendEntry> methods;
  std::vector<detail::CurvePanel> panels;
  panels.reserve(tasks.size());
  for (std::size_t j = 0; j < tasks.size(); ++j)
    panels.push_back({.title = tasks[j], .curves = {}, .own_stage = j});
  std::size_t lines = 0;
  std::size_t levels = 0;
  for (const MethodRuns& group : groups) {
    const AccuracyMatrix mean = group.mean_matrix();
    for (std::size_t j = 0; j < tasks.size(); ++j) {
      detail::Curve curve{.entry = methods.size(), .scores = {}};
      for (std::size_t i = 0; i < tasks.size(); ++i) curve.scores.push_back(mean(i, j));
      panels[j].curves.push_back(std::move(curve));
    }
    const bool level = only_end_scored(mean);
    methods.push_back(
        {group.method,
         level ? detail::LineStyle::level(levels++) : detail::LineStyle::line(lines++), level});
  }
  const std::string subtitle = describe_mean(groups) +
                               "; dashed vertical: the stage that trains the task" +
                               (levels > 0 ? "; grey levels: scored only at the end" : "");
  return detail::CurvePlot(title, subtitle, std::move(panels), std::move(methods), tasks.size())
      .str();
}

BRANCHLORA_INLINE bool has_stages(std::span<const RunResult> runs) {
  return std::ranges::any_of(runs, [](const RunResult& r) { return !only_end_scored(r.R); });
}

BRANCHLORA_INLINE std::string curves_by_method_svg(std::span<const RunResult> runs,
                                                   std::string_view title) {
  const std::vector<MethodRuns> groups = group_by_method(runs);
  const std::vector<std::string> tasks = detail::numbered(runs.front().tasks);
  std::vector<detail::CurvePanel> panels;
  for (const MethodRuns& group : groups) {
    const AccuracyMatrix mean = group.mean_matrix();
    if (only_end_scored(mean)) continue;
    detail::CurvePanel panel{.title = group.method, .curves = {}};
    for (std::size_t j = 0; j < tasks.size(); ++j) {
      detail::Curve curve{.entry = j, .scores = std::vector<double>(tasks.size(), not_measured)};
      for (std::size_t i = j; i < tasks.size(); ++i) curve.scores[i] = mean(i, j);
      panel.curves.push_back(std::move(curve));
    }
    panels.push_back(std::move(panel));
  }
  expect(!panels.empty(), "curves: expected a method scored after every task, found none");
  std::vector<detail::LegendEntry> legend;
  legend.reserve(tasks.size());
  for (const std::string& task : tasks)
    legend.push_back({task, detail::LineStyle::line(legend.size())});
  return detail::CurvePlot(title,
                           describe_mean(groups) + "; each task from the stage that trains it",
                           std::move(panels), std::move(legend), tasks.size())
      .str();
}

}  // namespace branchlora::report
