/// @file
/// Policy: how a sample finds the router of its task at inference.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <memory>
#include <string>
#include <vector>

#include "branchlora/adapter/policy/router.hpp"
#include "branchlora/selector/nearest_key.hpp"
#include "branchlora/selector/ridge.hpp"
#include "branchlora/selector/softmax_keys.hpp"
#include "branchlora/selector/task_selector.hpp"
#include "branchlora/selector/uniform.hpp"

namespace branchlora {

namespace selector {
struct None;
template <Reads reads>
struct NearestKeyOf;
}  // namespace selector

namespace category {
/// How a router is picked. Default: `selector::NearestKey` with per-task routers, else
/// `selector::None`.
struct Selector {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool selects = requires {
      { P::selects } -> std::convertible_to<bool>;
    };
    static_assert(selects || !say,
                  "A policy of category::Selector lacks `static constexpr bool selects`: whether "
                  "there is a router to select.");
    constexpr bool finds = requires {
      { P::finds } -> std::convertible_to<bool>;
    };
    static_assert(finds || !say,
                  "A policy of category::Selector lacks `static constexpr bool finds`: whether the "
                  "task is found, and not told.");
    constexpr bool makes = !finds || requires {
      requires !P::finds || requires {
        { P::make() } -> std::same_as<std::unique_ptr<TaskSelector>>;
      }
      || requires {
        { P::makers() } -> std::same_as<std::vector<SelectorMaker>>;
      };
    };
    static_assert(makes || !say,
                  "A policy of category::Selector that finds lacks `static "
                  "std::unique_ptr<TaskSelector> make()`: the algorithm that finds the task.");
    return selects && finds && makes;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = std::conditional_t<Given::template get<Router>::per_task,
                                     selector::NearestKeyOf<Reads::both>, selector::None>;
};
}  // namespace category

/// Asks for `selects`, whether there is anything to select; `finds`, whether the task is found
/// (else it is told); and, if so, for `make()`, the algorithm that finds it. It may say by
/// `title()` how tables name it, else by its `name()`, and by `mixes` that it weighs several tasks
/// in one answer; a member `part`, one of `Reads`, says what it reads.
template <class P>
concept SelectorPolicy = PolicyOf<P, category::Selector> && category::Selector::accepts<P>;

/// Whether a policy weighs several tasks in one answer.
template <class P>
constexpr bool mixes_tasks = requires {
  requires P::mixes;
};

/// A policy of one algorithm that finds the task.
template <class P>
concept FindingSelector = SelectorPolicy<P> && requires {
  requires P::finds;
  P::make();
};

/// What makes the algorithm of a policy, by the policy's title.
template <FindingSelector P>
SelectorMaker selector_maker() {
  SelectorMaker maker{std::string(P::name()), P::make};
  if constexpr (requires { P::title(); }) maker.title = P::title();
  if constexpr (requires { P::part; }) maker.reads_hidden = P::part == Reads::hidden;
  return maker;
}

/// What makes the algorithms of a policy, its own first; none where the task is told.
template <SelectorPolicy P>
std::vector<SelectorMaker> selectors_of() {
  if constexpr (FindingSelector<P>) {
    return {selector_maker<P>()};
  } else if constexpr (P::finds) {
    return P::makers();
  } else {
    return {};
  }
}

namespace detail {

/// "ridge", or "ridge (text)" where that is all that it reads.
inline std::string selector_title(const char* what, Reads reads) {
  return reads == Reads::both ? what : fmt::format("{} ({})", what, to_string(reads));
}

/// How many of `Ts` are `T`.
template <class T, class... Ts>
constexpr int count_same = (0 + ... + (std::same_as<T, Ts> ? 1 : 0));

}  // namespace detail

namespace selector {

/// One router serves all tasks: there is nothing to select.
struct None {
  using Category = category::Selector;
  static constexpr bool selects = false;
  static constexpr bool finds = false;
  static constexpr std::string_view name() { return "selector::None"; }
  bool operator==(const None&) const = default;
};

/// The true task is told at inference: the upper bound of any selector.
struct Given {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool finds = false;
  static constexpr std::string_view name() { return "selector::Given"; }
  bool operator==(const Given&) const = default;
};

/// Each task has an image key and a text key, the means of its samples' unit embeddings; a sample
/// goes to the task with the largest cos(image, image key) + cos(text, text key), or by one of them
/// alone. The means are the exact optimum of BranchLoRA's alignment loss over fixed embeddings, so
/// the keys need no gradient. That the two cosines are summed unweighted is our reading.
template <Reads reads>
struct NearestKeyOf {
  using Category = category::Selector;
  static constexpr Reads part = reads;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static std::unique_ptr<TaskSelector> make() {
    return std::make_unique<NearestKeySelector>(reads);
  }
  static std::string title() { return detail::selector_title("nearest key", reads); }
  static std::string name() {
    if (reads == Reads::both) return "selector::NearestKey";
    return fmt::format("selector::NearestKeyOf<Reads::{}>", to_string(reads));
  }
  bool operator==(const NearestKeyOf&) const = default;
};
using NearestKey = NearestKeyOf<Reads::both>;

/// Ridge regression from the same embeddings to the tasks, in closed form; see `RidgeSelector`.
template <Reads reads>
struct RidgeOf {
  using Category = category::Selector;
  static constexpr Reads part = reads;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static std::unique_ptr<TaskSelector> make() { return std::make_unique<RidgeSelector>(reads); }
  static std::string title() { return detail::selector_title("ridge", reads); }
  static std::string name() {
    if (reads == Reads::both) return "selector::Ridge";
    return fmt::format("selector::RidgeOf<Reads::{}>", to_string(reads));
  }
  bool operator==(const RidgeOf&) const = default;
};
using Ridge = RidgeOf<Reads::both>;

/// The branches of all tasks, weighed by softmax of their keys' similarities over a temperature, in
/// hundredths; see `SoftmaxKeySelector`. DISCO's is `SoftmaxKeys<Reads::text>`. With TopK<K>, the K
/// tasks with the largest weights, which are then divided by their sum.
template <Reads reads = Reads::both, int hundredths = 5>
struct SoftmaxKeys {
  static_assert(hundredths >= 1, "The temperature of SoftmaxKeys must be at least 1 hundredth.");
  using Category = category::Selector;
  static constexpr Reads part = reads;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static constexpr bool mixes = true;
  static std::unique_ptr<TaskSelector> make() {
    return std::make_unique<SoftmaxKeySelector>(reads, hundredths / 100.0);
  }
  static std::string title() { return detail::selector_title("softmax keys", reads); }
  static std::string name() {
    return fmt::format("selector::SoftmaxKeys<Reads::{}, {}>", to_string(reads), hundredths);
  }
  bool operator==(const SoftmaxKeys&) const = default;
};

/// The mean of the branches of all tasks, whatever the sample.
struct Uniform {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static constexpr bool mixes = true;
  static std::unique_ptr<TaskSelector> make() { return std::make_unique<UniformSelector>(); }
  static constexpr std::string_view title() { return "uniform"; }
  static constexpr std::string_view name() { return "selector::Uniform"; }
  bool operator==(const Uniform&) const = default;
};

/// Several selectors for one training, which none of them touches: each finds the tasks of all test
/// questions for itself, and has a record of its own. The first is the method's own, whose record
/// has the method's name alone.
template <class... Ss>
struct Each {
  static_assert(
      sizeof...(Ss) >= 1 && (FindingSelector<Ss> && ...),
      "selector::Each takes one selector or more, each of which finds the task by itself.");
  static_assert(((detail::count_same<Ss, Ss...> == 1) && ...),
                "selector::Each takes each selector once: a second one would find the same tasks.");
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static constexpr bool mixes = (mixes_tasks<Ss> || ...);
  static std::vector<SelectorMaker> makers() { return {selector_maker<Ss>()...}; }
  static std::string name() {
    const std::vector<std::string> names{describe<Ss>()...};
    return fmt::format("selector::Each<{}>", fmt::join(names, ", "));
  }
  bool operator==(const Each&) const = default;
};

}  // namespace selector
}  // namespace branchlora
