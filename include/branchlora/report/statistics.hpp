/// @file
/// Mean and standard deviation over seeds, and how a table writes them.
#pragma once

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
Statistic summarize(std::span<const double> values);

/// `value` with `decimals` digits after the point; `–` for NaN, and no minus sign before zero.
std::string format_number(double value, int decimals = 1);

/// `12.3 ± 0.4`; `12.3` alone for one seed, `–` for a missing value.
std::string format_statistic(const Statistic& value, int decimals = 1);

/// A count of parameters: exact with thousands separated (`213,504`) below a million, else in
/// millions (`9.10 M`, `222.4 M`).
std::string format_count(std::ptrdiff_t count);

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/statistics-inl.hpp"
#endif
