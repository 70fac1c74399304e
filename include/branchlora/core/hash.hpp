/// @file
/// A short name for some bytes.
#pragma once

#include <cstdint>
#include <string_view>

namespace branchlora {

/// The 64-bit FNV-1a hash of some bytes (Fowler, Noll, Vo; RFC 9923). Not cryptographic.
constexpr std::uint64_t hash(std::string_view bytes) {
  std::uint64_t h = 0xCBF29CE484222325ULL;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return h;
}

}  // namespace branchlora
