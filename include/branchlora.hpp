/// @file
/// The whole library, and its map: each floor includes only what stands above it here.
///
/// A backend comes beside it: `branchlora/eigen/backend.hpp` (backends/eigen).
#pragma once

// Floor 0, core: what everything stands on.
#include "branchlora/core/backend.hpp"        // the concept that a backend models
#include "branchlora/core/buffer.hpp"         // a matrix that owns its memory
#include "branchlora/core/chosen.hpp"         // which blocks of a factor each token uses
#include "branchlora/core/error.hpp"          // the one error type
#include "branchlora/core/fused.hpp"          // products with fused operations
#include "branchlora/core/hash.hpp"           // a short name for bytes
#include "branchlora/core/host_device.hpp"    // the mark of functions for host and device
#include "branchlora/core/host_matrix.hpp"    // a matrix in host memory
#include "branchlora/core/low_rank_term.hpp"  // a product of low rank that is added to another
#include "branchlora/core/math.hpp"           // exp, sigmoid, erf of per-element bodies
#include "branchlora/core/matrix.hpp"         // row-major views
#include "branchlora/core/numbered.hpp"       // names of things of which there are several
#include "branchlora/core/plan.hpp"           // a pass as a list of steps
#include "branchlora/core/random.hpp"         // counter-based random numbers
#include "branchlora/core/row_work.hpp"       // work interleaved with a product
#include "branchlora/core/sequences.hpp"      // batches without padding
#include "branchlora/core/svd.hpp"            // singular values on the host
#include "branchlora/core/to_host.hpp"        // a matrix out of backend memory
#include "branchlora/core/version.hpp"        // the library's version

// Floor 1, files and data.
#include "branchlora/data/augment.hpp"            // random changes of pictures
#include "branchlora/data/bpe/bpe_tokenizer.hpp"  // tokenizer.json of language models
#include "branchlora/data/clip_image.hpp"         // pictures as CLIP and LLaVA want them
#include "branchlora/data/coin.hpp"               // CoIN's tasks
#include "branchlora/data/conversation.hpp"       // a turn as a chat model expects it
#include "branchlora/data/image.hpp"              // PNG and JPEG, contact sheets
#include "branchlora/data/instructions.hpp"       // LLaVA's and CoIN's JSON
#include "branchlora/data/paraphrase.hpp"         // MiniCoIN's 10Type variant
#include "branchlora/data/sampler.hpp"            // batches in random order
#include "branchlora/data/scorers.hpp"            // CoIN's scorers
#include "branchlora/data/task.hpp"               // a folder with a task's training and test files
#include "branchlora/data/tokenizer.hpp"          // words to numbers and back
#include "branchlora/io/atomic_file.hpp"          // files that are whole or not there
#include "branchlora/io/gguf.hpp"                 // quantised checkpoints
#include "branchlora/io/gguf_llama.hpp"           // a LLaMA among them as a folder as published
#include "branchlora/io/peft.hpp"                 // adapters as PEFT keeps them
#include "branchlora/io/peft_config.hpp"          // their settings
#include "branchlora/io/safetensors.hpp"          // tensors on disk
#include "branchlora/io/sharded.hpp"              // checkpoints of many files

// Floor 2, tape, layers, optimiser.
#include "branchlora/autograd/ops.hpp"            // every operation
#include "branchlora/autograd/parameter.hpp"      // what is trained, by name
#include "branchlora/autograd/tape.hpp"           // reverse-mode differentiation
#include "branchlora/nn/init.hpp"                 // how parameters start
#include "branchlora/nn/layer_norm.hpp"           // a layer norm with gain and bias
#include "branchlora/nn/linear.hpp"               // a linear layer, trained or frozen and packed
#include "branchlora/nn/rms_norm.hpp"             // an RMS norm with gain
#include "branchlora/optim/adamw.hpp"             // AdamW, gradient norm
#include "branchlora/optim/schedule.hpp"          // warm-up and cosine, clipping
#include "branchlora/parallel/communicator.hpp"   // processes that compute one thing together
#include "branchlora/parallel/gradients.hpp"      // the sum of their gradients
#include "branchlora/selector/nearest_key.hpp"    // the task of a sample by keys (BranchLoRA's)
#include "branchlora/selector/ridge.hpp"          // the same by ridge regression
#include "branchlora/selector/softmax_keys.hpp"   // mixes tasks by softmax of keys (DISCO's)
#include "branchlora/selector/task_selector.hpp"  // what all of them are
#include "branchlora/selector/uniform.hpp"        // mixes all tasks alike

// Floor 3, adapters: methods as lists of policies.
#include "branchlora/adapter/adapted_linear.hpp"       // a linear layer with an adapter beside it
#include "branchlora/adapter/adapter.hpp"              // Adapter<policies...> and every policy
#include "branchlora/adapter/any_adapter.hpp"          // what a model knows of its adapters
#include "branchlora/adapter/any_ffn.hpp"              // what may replace a block's FFN
#include "branchlora/adapter/auxiliary_losses.hpp"     // values of the losses of adapters' own
#include "branchlora/adapter/budget.hpp"               // ranks at which variants cost the same
#include "branchlora/adapter/by_block.hpp"             // a method that differs by block
#include "branchlora/adapter/cost.hpp"                 // parameters, flops, bytes at compile time
#include "branchlora/adapter/exchange.hpp"             // PEFT adapters out and in
#include "branchlora/adapter/gate/gates.hpp"           // gates: units, scores, weights, losses
#include "branchlora/adapter/gate/reference.hpp"       // a policy's equation, plainly
#include "branchlora/adapter/layer.hpp"                // the engine: one adapter between batches
#include "branchlora/adapter/layer_pass.hpp"           // its equation: down, gate, mix, up
#include "branchlora/adapter/low_rank.hpp"             // the stacked factors A and B of a layer
#include "branchlora/adapter/method.hpp"               // from a type to a value
#include "branchlora/adapter/model_shape.hpp"          // published models by their sizes
#include "branchlora/adapter/module_names.hpp"         // what an adapted linear is called elsewhere
#include "branchlora/adapter/on_attention.hpp"         // a method on the linears of attention alone
#include "branchlora/adapter/plain_adapter.hpp"        // the base of layers without branches
#include "branchlora/adapter/plain_variant.hpp"        // the base of their types
#include "branchlora/adapter/policy/init/corda.hpp"    // CorDA: from weight and inputs
#include "branchlora/adapter/policy/init/eva.hpp"      // EVA: a start from inputs
#include "branchlora/adapter/policy/init/lora_ga.hpp"  // LoRA-GA: from the gradient
#include "branchlora/adapter/policy/init/pissa.hpp"    // PiSSA: from the weight
#include "branchlora/adapter/policy/start.hpp"         // what a start is given, and gives
#include "branchlora/adapter/policy_table.hpp"         // policies as text, and what differs
#include "branchlora/adapter/start_pair.hpp"           // what a start takes off the weight
#include "branchlora/adapter/start_sums.hpp"           // what it sees of a layer
#include "branchlora/adapter/variant/adamole.hpp"      // AdaMoLE: above a learned threshold
#include "branchlora/adapter/variant/branch_lora.hpp"  // BranchLoRA
#include "branchlora/adapter/variant/conditional_mix_lora.hpp"  // Conditional MixLoRA
#include "branchlora/adapter/variant/dora.hpp"                  // DoRA
#include "branchlora/adapter/variant/hydra_lora.hpp"            // HydraLoRA
#include "branchlora/adapter/variant/icm_lora.hpp"              // the adapter of ICM-LoRA
#include "branchlora/adapter/variant/lora.hpp"                  // LoRA
#include "branchlora/adapter/variant/lora_bank.hpp"             // a LoRA for each task
#include "branchlora/adapter/variant/lora_moe.hpp"              // LoRAMoE, with localised balance
#include "branchlora/adapter/variant/meteora.hpp"               // MeteoRA: a bank, then its gate
#include "branchlora/adapter/variant/mix_lora.hpp"              // MixLoRA: experts are whole FFNs
#include "branchlora/adapter/variant/mo_lora.hpp"               // MoLoRA
#include "branchlora/adapter/variant/moa.hpp"            // MoA: a LoRA a domain, and a router
#include "branchlora/adapter/variant/moe_lora.hpp"       // MoELoRA in CoIN's form
#include "branchlora/adapter/variant/mola.hpp"           // MoLA: more experts in higher blocks
#include "branchlora/adapter/variant/more.hpp"           // MoRE, as written and as released
#include "branchlora/adapter/variant/mtl_lora.hpp"       // MTL-LoRA
#include "branchlora/adapter/variant/o_lora.hpp"         // O-LoRA
#include "branchlora/adapter/variant/rs_lora.hpp"        // rank-stabilised LoRA
#include "branchlora/adapter/variant/smora.hpp"          // SMoRA: every rank is an expert
#include "branchlora/adapter/variant/task_moe_lora.hpp"  // MOELoRA whose gate knows the task alone
#include "branchlora/adapter/variant/warm_bank.hpp"  // a bank whose branches start at the nearest task's

// Floor 4, the multimodal model.
#include "branchlora/model/adapter_file.hpp"            // adapters of every variant on disk
#include "branchlora/model/attach_adapters.hpp"         // of whichever variant a file is
#include "branchlora/model/checkpoint.hpp"              // parameters on disk
#include "branchlora/model/config.hpp"                  // its sizes
#include "branchlora/model/dataset.hpp"                 // samples as tokens and pictures
#include "branchlora/model/generate.hpp"                // greedy generation with a key-value cache
#include "branchlora/model/multimodal.hpp"              // vision tower, projector, decoder
#include "branchlora/model/published/checkpoint.hpp"    // LLaMA, CLIP and LLaVA-1.5 as published
#include "branchlora/model/published/encode.hpp"        // samples as such a model takes them
#include "branchlora/model/published/image_prompt.hpp"  // a prompt with a picture in it
#include "branchlora/model/published/language.hpp"      // its tokens, conversations, pictures
#include "branchlora/model/published/merge_peft.hpp"    // a PEFT adapter within the weights

// Floor 4, adapters that are generated.
#include "branchlora/generator/checkpoint_bank.hpp"  // checkpoints of an adapter, several a task
#include "branchlora/generator/cvae.hpp"             // the conditional variational autoencoder
#include "branchlora/generator/layout.hpp"           // weights as one vector of z-scores, and back
#include "branchlora/generator/task_vector.hpp"      // a task as a vector
#include "branchlora/generator/train_cvae.hpp"       // its training, and the adapters it makes
#include "branchlora/generator/weights.hpp"          // an adapter outside of its model

// Floor 5, continual learning.
#include "branchlora/continual/accuracy_matrix.hpp"     // scores of a run, task by task
#include "branchlora/continual/base.hpp"                // the base model of a run, published or not
#include "branchlora/continual/generated.hpp"           // every task alone, all from a generator
#include "branchlora/continual/joint.hpp"               // no training, and all tasks jointly
#include "branchlora/continual/language.hpp"            // how it reads and writes
#include "branchlora/continual/metrics.hpp"             // ACC, MAA, BWT and their definitions
#include "branchlora/continual/preparation.hpp"         // samples made ready to be learned
#include "branchlora/continual/published_language.hpp"  // a published model's
#include "branchlora/continual/run.hpp"                 // the continual run, on one screen
#include "branchlora/continual/run_config.hpp"          // its hyper-parameters
#include "branchlora/continual/run_result.hpp"          // what one method scored with one seed
#include "branchlora/continual/selection.hpp"           // what selectors learn and find in it
#include "branchlora/continual/start_adapters.hpp"      // starts that see samples of a task
#include "branchlora/continual/strategy.hpp"            // policies of the loop, for any adapter
#include "branchlora/continual/strategy/ewc.hpp"        // keeps weights that mattered (EWC)
#include "branchlora/continual/strategy/learn_first.hpp"     // learns the first tasks alone
#include "branchlora/continual/strategy/lwf.hpp"             // keeps answers by distillation (LwF)
#include "branchlora/continual/strategy/orthogonal.hpp"      // keeps new A away from old (O-LoRA)
#include "branchlora/continual/strategy/replay.hpp"          // keeps samples, within a budget
#include "branchlora/continual/strategy/weight_average.hpp"  // averages the weights of all tasks
#include "branchlora/continual/validation.hpp"               // choosing without the test split
#include "branchlora/continual/word_language.hpp"            // words of a vocabulary

// Floor 6, reports.
#include "branchlora/report/report.hpp"       // tables, curves and values of a study
#include "branchlora/report/tensorboard.hpp"  // event files
