/// @file
/// What an adapted linear is called elsewhere.
#pragma once

#include <string>
#include <type_traits>

namespace branchlora {

/// From the name of an adapted linear in the library's model to the path of that module in the
/// model that PEFT knows. `std::identity` where both are called alike.
template <class F>
concept ModuleNames = std::is_invocable_r_v<std::string, F, std::string>;

}  // namespace branchlora
