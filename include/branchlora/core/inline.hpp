/// @file
/// One source for two forms of the library: headers alone, and headers with a compiled library.
#pragma once

/// Precedes the definition of each ordinary function (no template, not constexpr). These stand in
/// `x-inl.hpp` beside the `x.hpp` that declares them, which includes it. With `BRANCHLORA_COMPILED`
/// defined it does not: the library branchlora::compiled, which passes that definition on to who
/// links it, holds their code.
#ifdef BRANCHLORA_COMPILED
#define BRANCHLORA_INLINE
#else
#define BRANCHLORA_INLINE inline
#endif
