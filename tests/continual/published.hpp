/// @file
/// Golden checkpoints as a run's base.
#pragma once

#include <string>

#include "../io/temporary_folder.hpp"
#include "branchlora/continual/base.hpp"
#include "branchlora/continual/instances.hpp"
#include "model/published/golden.hpp"

BRANCHLORA_CONTINUAL_INSTANCES(extern, branchlora::eigen::Backend<float>)

namespace branchlora::test {

/// A copy of a golden checkpoint, which a test may change. Its tokenizer knows letters and a few
/// pairs of them.
class GoldenCopy {
 public:
  explicit GoldenCopy(const std::string& model) {
    for (const auto& file : std::filesystem::directory_iterator(golden_model(model))) {
      if (file.is_regular_file()) std::filesystem::copy(file.path(), folder.path());
    }
    std::filesystem::remove(folder.path() / "expected.safetensors");
  }

  continual::Base open(data::Conversation conversation = data::Conversation::Plain,
                       Index longest = 0) const {
    return continual::Base::open_published(
        folder.path(), {.vision_tower = {}, .conversation = conversation, .longest = longest});
  }

  TemporaryFolder folder;
};

}  // namespace branchlora::test
