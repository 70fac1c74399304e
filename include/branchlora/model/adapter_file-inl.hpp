/// @file
/// The bodies of `adapter_file.hpp`.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/model/adapter_file.hpp"

namespace branchlora::model {

namespace detail {

BRANCHLORA_INLINE io::Json description_of(const io::SafeTensors& file,
                                          const std::filesystem::path& path) {
  const auto text = file.metadata().find("branchlora");
  expect(text != file.metadata().end(),
         "{}: expected adapters of this library, found no 'branchlora' in the metadata",
         path.string());
  return io::parse_json(text->second, path.string());
}

}  // namespace detail

}  // namespace branchlora::model
