/// @file
/// How a strategy is named before there is a run: what lists rows needs no more than this.
#pragma once

#include <functional>
#include <memory>

#include "branchlora/core/backend.hpp"

namespace branchlora::continual {

template <Backend B>
class Strategy;

/// Makes a strategy for one run.
template <Backend B>
using StrategyFactory = std::function<std::unique_ptr<Strategy<B>>(B&)>;

/// The factory of the strategy with these settings, as in `strategy_factory<B>(strategy::Ewc{})`.
/// Settings are an aggregate whose template `On<B>` is the strategy on backend B.
template <Backend B, class Settings>
StrategyFactory<B> strategy_factory(Settings settings) {
  return [settings](B& backend) -> std::unique_ptr<Strategy<B>> {
    return std::make_unique<typename Settings::template On<B>>(backend, settings);
  };
}

}  // namespace branchlora::continual
