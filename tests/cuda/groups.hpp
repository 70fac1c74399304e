/// @file
/// The cases of each group on any backend.
#pragma once

#include <exception>

#include "cuda/cases.hpp"
#include "cuda/results.hpp"

namespace branchlora::test {

/// Runs cases on one backend.
template <Backend B>
Entries run_cases(const std::vector<Case<B>>& cases) {
  B backend;
  Entries entries;
  for (const Case<B>& each : cases) entries.push_back({each.name, each.depth, each.run(backend)});
  return entries;
}

}  // namespace branchlora::test
