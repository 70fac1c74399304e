/// Selectors side by side on one training of a bank of LoRAs: those that find the task of a
/// question, by its picture, its text, both, or what the frozen decoder makes of them, and those
/// that mix the branches of all tasks.
///
///     selectors --seeds 3
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "rows.hpp"

using namespace branchlora;

using All =
    selector::Each<selector::NearestKey, selector::Ridge, selector::RidgeOf<Reads::picture>,
                   selector::RidgeOf<Reads::text>, selector::RidgeOf<Reads::hidden>,
                   selector::SoftmaxKeys<>, selector::SoftmaxKeys<Reads::text>, selector::Uniform>;

int main(int argc, char** argv) {
  return study::main(argc, argv, "selectors",
                     {study::stream<LoraBank<4, 8>::with<TopK<8>, All>>("LoRA bank")});
}
