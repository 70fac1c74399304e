/// @file
/// Mean and standard deviation over seeds, and how a table writes them.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace branchlora::report {

/// What a table prints for a value that was not measured.
inline constexpr std::string_view missing = "–";

/// Mean and sample standard deviation of `count` values.
struct Statistic {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double sd = std::numeric_limits<double>::quiet_NaN();  ///< NaN for fewer than two values
  std::size_t count = 0;
};

/// Mean and sample standard deviation (division by n-1) over seeds. One missing value (NaN) makes
/// the whole statistic missing: a mean over fewer seeds than its neighbours' would mislead.
inline Statistic summarize(std::span<const double> values) {
  Statistic result{.count = values.size()};
  if (values.empty()) return result;
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  result.mean = sum / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.sd = std::sqrt(squares / (n - 1));
  return result;
}

/// `value` with `decimals` digits after the point; `–` for NaN, and no minus sign before zero.
inline std::string format_number(double value, int decimals = 1) {
  if (std::isnan(value)) return std::string(missing);
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.starts_with('-') && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

/// `12.3 ± 0.4`; `12.3` alone for one seed, `–` for a missing value.
inline std::string format_statistic(const Statistic& value, int decimals = 1) {
  if (std::isnan(value.mean) || std::isnan(value.sd)) return format_number(value.mean, decimals);
  return fmt::format("{} ± {}", format_number(value.mean, decimals),
                     format_number(value.sd, decimals));
}

/// The same for LaTeX: `$12.3 \pm 0.4$`, `--` for a missing value.
inline std::string format_statistic_latex(const Statistic& value, int decimals = 1) {
  if (std::isnan(value.mean)) return "--";
  if (std::isnan(value.sd)) return fmt::format("${}$", format_number(value.mean, decimals));
  return fmt::format("${} \\pm {}$", format_number(value.mean, decimals),
                     format_number(value.sd, decimals));
}

/// A count of parameters: exact with thousands separated (`213,504`) below a million, else in
/// millions (`9.10 M`, `222.4 M`).
inline std::string format_count(std::ptrdiff_t count) {
  if (count >= 1'000'000)
    return fmt::format("{:.{}f} M", static_cast<double>(count) / 1e6, count < 10'000'000 ? 2 : 1);
  std::string digits = fmt::format("{}", count);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) digits.insert(i -= 3, 1, ',');
  return digits;
}

}  // namespace branchlora::report
