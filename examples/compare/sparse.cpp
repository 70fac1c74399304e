#include "entries.hpp"

#include "branchlora/adapter/variant/branch_lora.hpp"

namespace compare {
namespace {

template <int R>
using BranchLora8 = BranchLora<R, 8, 2>;
template <int R>
using Growing = BranchLora8<R>::template with<exhausted::Grow<8>>;

}  // namespace

std::vector<Entry> sparse() {
  return {
      entry<BranchLora8, 4>("BranchLoRA"),
      entry<Growing, 4>("BranchLoRA, growing"),
  };
}

}  // namespace compare
