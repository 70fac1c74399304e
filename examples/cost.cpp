/// What each variant costs on a model, before anything runs:
///
///     cost --model llava-1.5-7b
#include <fmt/format.h>

#include <string>
#include <vector>

#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"
#include "command_line.hpp"

using namespace branchlora;

namespace {

struct Batch {
  std::int64_t tokens = 2048;
  std::int64_t sequences = 1;
};

std::string millions(std::int64_t n) {
  return fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
}

template <class V>
void print_row(const char* label, const ModelShape& model, const Batch& batch) {
  const Parameters p = parameters<V>(model);
  const Flops f = flops<V>(model, batch.tokens, batch.sequences);
  const std::int64_t projector = model.projector_parameters();
  const double gigabytes = static_cast<double>(optimizer_bytes<V>(model)) / 1e9;
  fmt::print("{:<28} {:>9} {:>8} {:>9} {:>9} {:>9.2f} {:>9.2f} {:>10.2f}\n", label,
             millions(p.adapter()), millions(p.router), millions(projector),
             millions(p.total() + projector), 100 * f.forward_overhead(),
             100 * f.backward_overhead(), gigabytes);
}

void print_table(const ModelShape& model, const Batch& batch) {
  using Moe = MoeLora<16, 8>;
  using Shared = Moe::with<trunk::Shared>;
  using Sparse = Shared::with<TopK<2>>;

  fmt::print("{}: {} layers of seven adapted linears; {} tokens in {} sequences\n\n", model.name,
             model.layers, batch.tokens, batch.sequences);
  fmt::print("{:<28} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>10}\n", "variant", "adapter", "router",
             "projector", "total", "forward %", "backward %", "AdamW GB");
  print_row<Lora<16>>("LoRA 16", model, batch);
  print_row<Lora<128>>("LoRA 128", model, batch);
  print_row<RsLora<128>>("rsLoRA 128", model, batch);
  print_row<HydraLora<16, 8>>("HydraLoRA 16 x 8", model, batch);
  print_row<Moe>("MoELoRA 16 x 8", model, batch);
  print_row<Shared>("  + shared trunk", model, batch);
  print_row<Sparse>("  + top-2", model, batch);
  print_row<BranchLora<16, 8, 2>>("BranchLoRA 16 x 8, top-2", model, batch);
  fmt::print(
      "\nadapter: A's and B's. router: one router set; per-task routers add one for each task.\n"
      "total: adapter, router and projector, which is trained too.\n"
      "forward %, backward %: operations of the adapters' matrix products in percent of those of\n"
      "the frozen linears beside them, whose backward pass is that to their input alone.\n"
      "AdamW GB: 16 bytes for each parameter of the total (weight, gradient, two moments in "
      "float).\n");
}

}  // namespace

int main(int argc, char** argv) {
  study::CommandLine line(
      "What each variant costs on a model: parameters, operations, optimizer memory.");
  std::vector<std::string> names;
  for (const ModelShape& model : model_shapes) names.emplace_back(model.name);
  std::string name = names.front();
  Batch batch;
  bool list = false;
  line.option("--model", name, "The model, by name").one_of(names).shows_default();
  line.option("--tokens", batch.tokens, "Tokens of a step").positive().shows_default();
  line.option("--sequences", batch.sequences, "Sequences that the tokens belong to")
      .positive()
      .shows_default();
  line.flag("--list", list, "Print the names of the models and leave");
  if (const auto status = line.end_of(argc, argv)) return *status;

  for (const ModelShape& model : model_shapes) {
    if (list) fmt::print("{}\n", model.name);
    if (!list && model.name == name) print_table(model, batch);
  }
}
