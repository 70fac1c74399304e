/// @file
/// What a policy is: an empty type that says which category it belongs to and how it prints.
///
/// A category is a tag with two members: `accepts<P>`, whether P has the members that it asks of
/// its policies, and `Default<Given>`, the policy that an adapter takes where none is given;
/// `Given::get<C>` is what the adapter has for another category. One with a `check<P, say>()`, the
/// same as `accepts<P>`, says there which member is missing: a `static_assert` for each, where
/// `say` holds. Anybody may add a policy to a category, or a category, in a namespace of their own.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

namespace branchlora {

/// An empty type with a `Category` and a printable `name()`.
template <class P>
concept Policy = std::is_empty_v<P> && requires {
  typename P::Category;
  { P::name() } -> std::convertible_to<std::string_view>;
};

/// A policy of the category `C`.
template <class P, class C>
concept PolicyOf = Policy<P> && std::same_as<typename P::Category, C>;

/// Whether a policy says a number of at least 1 as its `value`.
template <class P>
concept Counted = requires {
  { P::value } -> std::convertible_to<int>;
  requires P::value >= 1;
};

/// The policy as it is written in a program, such as "Rank<16>".
template <Policy P>
std::string describe() {
  return std::string(std::string_view(P::name()));
}

}  // namespace branchlora
