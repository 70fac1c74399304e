/// @file
/// What the parts of a `tokenizer.json` have in common.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "branchlora/io/located.hpp"

namespace branchlora::data::bpe {

using io::Located;

/// What is done with a component and its type.
using UseComponent = std::function<void(const Located&, const std::string&)>;

/// Calls `use(part, type)` for the component at `owner[key]`, or for each of `parts` if it is a
/// `Sequence`; not at all if it is null or absent. Throws `Error` if one has no type.
void for_each_component(const Located& owner, const char* key, const char* parts,
                        const UseComponent& use);

/// Refuses a component by its name.
[[noreturn]] void refuse_type(const Located& component, const std::string& type, const char* known);

/// The string that `pattern` of `component` stands for: `{"String": "..."}`.
const std::string& plain_pattern(const Located& component);

/// `text` with each `from`, which is not empty, replaced by `to`.
std::string replaced(const std::string& text, const std::string& from, const std::string& to);

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/component-inl.hpp"
#endif
