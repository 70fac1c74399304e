/// @file
/// Finds truncated and damaged image files, which stb_image in part decodes without complaint: it
/// fills up a JPEG that ends early, and does not compare a PNG's checksums.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace branchlora::data {

namespace detail {

/// The CRC-32 of PNG chunks (ISO 3309), polynomial 0xEDB88320, bits reversed.
std::uint32_t crc32(std::string_view bytes);

}  // namespace detail

/// What is wrong with the bytes of an image file, if that shows without decoding it: neither PNG
/// nor JPEG, cut short, or not what its checksums say.
std::optional<std::string> find_image_defect(std::string_view file);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/image_check-inl.hpp"
#endif
