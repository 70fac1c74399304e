/// @file
/// The bodies of `statistics.hpp`.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include "branchlora/core/inline.hpp"
#include "branchlora/report/statistics.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE Statistic summarize(std::span<const double> values) {
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

BRANCHLORA_INLINE std::string format_number(double value, int decimals) {
  if (std::isnan(value)) return std::string(missing);
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.starts_with('-') && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

BRANCHLORA_INLINE std::string format_statistic(const Statistic& value, int decimals) {
  if (std::isnan(value.mean) || std::isnan(value.sd)) return format_number(value.mean, decimals);
  return fmt::format("{} ± {}", format_number(value.mean, decimals),
                     format_number(value.sd, decimals));
}

BRANCHLORA_INLINE std::string format_count(std::ptrdiff_t count) {
  if (count >= 1'000'000)
    return fmt::format("{:.{}f} M", static_cast<double>(count) / 1e6, count < 10'000'000 ? 2 : 1);
  std::string digits = fmt::format("{}", count);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3;) digits.insert(i -= 3, 1, ',');
  return digits;
}

}  // namespace branchlora::report
