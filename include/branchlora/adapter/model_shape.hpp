/// @file
/// The sizes of a whole model, and what a variant costs on it.
#pragma once

#include <array>
#include <string_view>
#include <type_traits>

#include "branchlora/adapter/cost.hpp"

namespace branchlora {

/// A linear layer by its sizes.
struct LinearShape {
  std::string_view name;
  std::int64_t d_in = 0;
  std::int64_t d_out = 0;
  bool bias = false;

  constexpr std::int64_t parameters() const { return d_in * d_out + (bias ? d_out : 0); }
};

/// A multimodal model by its sizes: a decoder of equal layers whose seven linears are adapted, and
/// a projector of two linears with biases, which is trained as it is. Vision tower, embeddings and
/// output head are frozen, carry no adapter, and are left out.
struct ModelShape {
  std::string_view name;
  std::int64_t layers = 0;
  std::array<LinearShape, 7> linears;
  std::array<LinearShape, 2> projector;

  constexpr std::int64_t projector_parameters() const {
    return projector[0].parameters() + projector[1].parameters();
  }
};

/// A decoder of `layers` LLaMA layers of width `width` and inner width `inner`, whose attention has
/// as many key heads as query heads, behind a projector from `vision` features.
constexpr ModelShape llama_shape(std::string_view name, std::int64_t layers, std::int64_t width,
                                 std::int64_t inner, std::int64_t vision) {
  return {
      .name = name,
      .layers = layers,
      .linears = {{{"q", width, width},
                   {"k", width, width},
                   {"v", width, width},
                   {"o", width, width},
                   {"gate", width, inner},
                   {"up", width, inner},
                   {"down", inner, width}}},
      .projector = {{{"projector.0", vision, width, true}, {"projector.2", width, width, true}}}};
}

/// LLaVA-1.5 on Vicuna 7B, CLIP ViT-L features (Liu et al., "Improved Baselines with Visual
/// Instruction Tuning", CVPR 2024).
inline constexpr ModelShape llava_7b = llama_shape("llava-1.5-7b", 32, 4096, 11008, 1024);

/// LLaVA-1.5 on Vicuna 13B.
inline constexpr ModelShape llava_13b = llama_shape("llava-1.5-13b", 40, 5120, 13824, 1024);

/// The models that programs know by name.
inline constexpr std::array model_shapes{llava_7b, llava_13b};

/// Whether `V` has one router for each block, which counts with another linear of it, the first.
template <class V>
constexpr bool routed_elsewhere(const LinearShape& linear) {
  return requires { V::Router::per_block; }
  &&linear.name != "q";
}

/// Trainable parameters of `V` beside one linear of a model.
template <Priced V>
constexpr Parameters parameters(const LinearShape& linear) {
  if constexpr (requires { V::parameters(linear); }) {
    return V::parameters(linear);
  } else {
    Parameters p = V::parameters(linear.d_in, linear.d_out);
    if (routed_elsewhere<V>(linear)) p.router = 0;
    return p;
  }
}

/// Operations of `V` beside one linear of a model.
template <Priced V>
constexpr Flops flops(const LinearShape& linear, std::int64_t tokens, std::int64_t sequences) {
  if constexpr (requires { V::flops(linear, tokens, sequences); }) {
    return V::flops(linear, tokens, sequences);
  } else {
    Flops f = V::flops(linear.d_in, linear.d_out, tokens, sequences);
    if constexpr (requires { V::Router::per_block; }) {
      const std::int64_t routed = V::Granularity::per_sequence ? sequences : tokens;
      const std::int64_t route =
          routed_elsewhere<V>(linear) ? 2 * routed * linear.d_in * V::gate_rows : 0;
      f.adapter += {-route, -2 * route};
    }
    return f;
  }
}

/// What has a price on a model.
template <class V>
concept PricedOnModels = Priced<V> || VariesByBlock<V>;

/// The sum of cost(variant of the block, model of that block alone) over the blocks of a model.
template <VariesByBlock V, class Cost>
constexpr auto sum_of_blocks(ModelShape model, Cost cost) {
  const std::int64_t blocks = model.layers;
  model.layers = 1;
  const auto of = [&](std::int64_t block) {
    return V::at(block, blocks, [&](auto variant) { return cost(variant, model); });
  };
  decltype(of(0)) all{};
  for (std::int64_t block = 0; block < blocks; ++block) all += of(block);
  return all;
}

/// Trainable parameters of `V` on all linears of a model. The projector's are not among them: see
/// `ModelShape::projector_parameters`.
template <PricedOnModels V>
constexpr Parameters parameters(const ModelShape& model) {
  if constexpr (VariesByBlock<V>) {
    return sum_of_blocks<V>(model, []<class U>(std::type_identity<U>, const ModelShape& block) {
      return parameters<U>(block);
    });
  } else {
    Parameters layer;
    for (const LinearShape& linear : model.linears) layer += parameters<V>(linear);
    Parameters all = model.layers * layer;
    if constexpr (requires { requires V::Router::per_model; }) {
      const Parameters one = parameters<V>(model.linears.front());
      all.router = one.router;
      all.shared = one.shared;
    }
    return all;
  }
}

/// Operations of `V` and of the frozen linears of a model, the adapted ones alone: no attention
/// scores, vision tower, projector or output head. Counted as for one linear.
template <PricedOnModels V>
constexpr Flops flops(const ModelShape& model, std::int64_t tokens, std::int64_t sequences = 1) {
  if constexpr (VariesByBlock<V>) {
    return sum_of_blocks<V>(model, [=]<class U>(std::type_identity<U>, const ModelShape& block) {
      return flops<U>(block, tokens, sequences);
    });
  } else {
    Flops layer;
    for (const LinearShape& linear : model.linears) {
      layer += flops<V>(linear, tokens, sequences);
    }
    return model.layers * layer;
  }
}

/// Bytes that training with AdamW takes: adapters with one router set, and the projector.
template <PricedOnModels V>
constexpr std::int64_t optimizer_bytes(const ModelShape& model) {
  return adamw_bytes * (parameters<V>(model).total() + model.projector_parameters());
}

}  // namespace branchlora
