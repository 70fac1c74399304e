/// What each task of MiniCoIN is worth by itself: one LoRA a task, from the base model each time.
///
///     alone --steps 300 --seeds 3
#include "branchlora/adapter/variant/lora.hpp"
#include "rows.hpp"

int main(int argc, char** argv) {
  return study::main(argc, argv, "alone",
                     {study::zero_shot("Zero-shot"),
                      study::alone<branchlora::Lora<32>>("LoRA, each task alone")});
}
