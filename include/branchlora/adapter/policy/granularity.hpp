/// @file
/// What a router reads, and how many gate vectors it makes. Not a category: a part of a router.
#pragma once

#include <concepts>
#include <string_view>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// Whether `G` has each member of a `GranularityOf`; if not, an error for it where `say` holds.
template <class G, bool say = false>
consteval bool check_granularity() {
  constexpr bool per_sequence = requires {
    { G::per_sequence } -> std::convertible_to<bool>;
  };
  static_assert(per_sequence || !say,
                "The Granularity of a router lacks `static constexpr bool per_sequence`: whether "
                "all tokens of a sequence share their gates.");
  constexpr bool every_token = requires {
    { G::every_token } -> std::convertible_to<bool>;
  };
  static_assert(every_token || !say,
                "The Granularity of a router lacks `static constexpr bool every_token`: whether a "
                "gate depends on tokens beside its own and the first.");
  constexpr bool name = requires {
    { G::name() } -> std::convertible_to<std::string_view>;
  };
  static_assert(name || !say,
                "The Granularity of a router lacks `static std::string_view name()`: how it is "
                "written in a program.");
  return per_sequence && every_token && name;
}

/// Asks for `per_sequence` (one gate vector a sequence, else one a token) and `every_token`
/// (whether a gate depends on tokens beside its own and the first); if it reads a sequence, also
/// for `tokens(length)`, how many of a sequence's tokens, from the first, the router's input is the
/// mean of; and for `name()`.
template <class G>
concept GranularityOf = check_granularity<G>();

namespace per {

/// Every token is routed by itself.
struct Token {
  static constexpr bool per_sequence = false;
  static constexpr bool every_token = false;
  static constexpr std::string_view name() { return "per::Token"; }
  bool operator==(const Token&) const = default;
};

/// All tokens of a sequence follow its first token. Under causal attention a first token that is
/// the same in every input (a begin-of-sequence mark) makes the routing constant.
struct FirstToken {
  static constexpr bool per_sequence = true;
  static constexpr bool every_token = false;
  static constexpr Index tokens(Index /*length*/) { return 1; }
  static constexpr std::string_view name() { return "per::FirstToken"; }
  bool operator==(const FirstToken&) const = default;
};

/// All tokens of a sequence follow the mean of its tokens.
struct MeanToken {
  static constexpr bool per_sequence = true;
  static constexpr bool every_token = true;
  static constexpr Index tokens(Index length) { return length; }
  static constexpr std::string_view name() { return "per::MeanToken"; }
  bool operator==(const MeanToken&) const = default;
};

/// All tokens of a sequence follow its task, whatever they are.
struct Task {
  static constexpr bool per_sequence = true;
  static constexpr bool every_token = false;
  static constexpr std::string_view name() { return "per::Task"; }
  bool operator==(const Task&) const = default;
};

}  // namespace per
}  // namespace branchlora
