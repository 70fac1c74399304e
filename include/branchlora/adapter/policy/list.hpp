/// @file
/// Lists of policies: finding one by category, replacing, checking.
#pragma once

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

/// A list of types. Lists concatenate with `+`.
template <class... Ts>
struct List {
  template <class... Us>
  friend constexpr List<Ts..., Us...> operator+(List, List<Us...>) {
    return {};
  }
};

namespace detail {

/// Whether `C` is in the list.
template <class C, class... Cs>
constexpr bool contains(List<Cs...> /*list*/) {
  return (std::same_as<C, Cs> || ...);
}

/// Whether a policy models the concept of its category.
template <class P>
constexpr bool accepted = false;
template <Policy P>
constexpr bool accepted<P> = P::Category::template accepts<P>;

/// How many of `Ps` are of category `C`.
template <class C, class... Ps>
constexpr int count_of = (0 + ... + (PolicyOf<Ps, C> ? 1 : 0));

/// Whether `P` shares its category with no other of `Ps`. What is no policy shares none.
template <class P, class... Ps>
constexpr bool alone = true;
template <Policy P, class... Ps>
constexpr bool alone<P, Ps...> = count_of<typename P::Category, Ps...> == 1;

/// `List<P>` where `condition` holds, else an empty list: a sum of these is a filtered list.
template <bool condition, class P>
using ListIf = std::conditional_t<condition, List<P>, List<>>;

/// `Ps` without those of the categories of `Qs`, then `Qs`.
template <class... Ps, class... Qs>
constexpr auto replace(List<Ps...> /*list*/, List<Qs...> replacements) {
  return (List<>{} + ... + ListIf<alone<Ps, Ps..., Qs...>, Ps>{}) + replacements;
}

/// The first of a list, or the category's default.
template <class Found, class Category, class Given>
struct FirstOrDefault {
  using type = typename Category::template Default<Given>;
};
template <class P, class... Rest, class Category, class Given>
struct FirstOrDefault<List<P, Rest...>, Category, Given> {
  using type = P;
};

/// Those of some policies that are of a category and fit for it.
template <class Category, class... Ps>
struct OfCategory {
  using type =
      decltype((List<>{} + ... + ListIf < PolicyOf<Ps, Category> && accepted<Ps>, Ps > {}));
};

/// An error for each member that a policy lacks, else nothing: always true.
template <class P>
consteval bool say_what_it_lacks() {
  if constexpr (requires { P::Category::template check<P, true>; }) {
    [[maybe_unused]] constexpr bool fits = P::Category::template check<P, true>();
  } else if constexpr (Policy<P>) {
    static_assert(accepted<P>, "A policy lacks a member that its category asks for.");
  }
  return true;
}

/// Says what is wrong with a type that is not fit to be given; the compiler says which it is.
template <class P>
struct Fit : std::true_type {
  static_assert(
      Policy<P>,
      "An argument of an Adapter is no policy: an empty type with a Category and a name().");
  static_assert(say_what_it_lacks<P>());
};

}  // namespace detail

/// Policies in any order, at most one of a category.
template <class... Ps>
struct Policies {
  /// The policy of category `C`: the given one if it is fit, else the category's default.
  template <class C>
  using get = typename detail::FirstOrDefault<typename detail::OfCategory<C, Ps...>::type, C,
                                              Policies>::type;
};

}  // namespace branchlora
