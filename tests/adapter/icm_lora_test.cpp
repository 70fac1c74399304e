#include "branchlora/adapter/variant/icm_lora.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/layer.hpp"

using namespace branchlora;

TEST_CASE("ICM-LoRA is rsLoRA whose A starts normal") {
  CHECK(IcmLora<4>::scale(icm_lora_hyper) == 4.0);  // 8 / sqrt(4)
  CHECK(IcmLora<4>::parameters(10, 6).total() == 4 * (10 + 6));
  static_assert(std::is_same_v<IcmLora<4>::Init, init::Gaussian>);
  static_assert(std::is_same_v<IcmLora<4>::with<init::KaimingUniform>::Init, RsLora<4>::Init>);
  static_assert(std::is_same_v<IcmLora<4>::Scaling, RsLora<4>::Scaling>);
}
