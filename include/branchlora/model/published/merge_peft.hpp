/// @file
/// A PEFT adapter as a part of a published model's weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/adapter/exchange.hpp"
#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/buffer.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/io/peft.hpp"

namespace branchlora::model::published {

/// Merges an adapter of any rank into weights that are not frozen yet: W becomes W + s B A and, of
/// a DoRA (Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024), each row of it is
/// scaled to the norm that the magnitude says. `module_of` gives what PEFT calls the linear of a
/// name here, or an empty text for what is no linear of the decoder. Throws `Error` if the adapter
/// has a layer that the model lacks, or has in another size; the weights are undefined then.
template <Backend B>
void merge_peft(const io::PeftAdapter& adapter, ParameterSet<B>& parameters,
                const std::function<std::string(const std::string&)>& module_of) {
  using T = typename B::Scalar;
  B& backend = parameters.backend();
  const auto put = [&](std::span<const float> values, Index rows, Index cols) {
    Buffer<B> buffer(backend, rows, cols);
    const std::vector<T> host(values.begin(), values.end());
    backend.upload(buffer.view().data, host.data(), host.size() * sizeof(T));
    return buffer;
  };
  constexpr std::string_view ending = ".weight";
  std::vector<std::string> merged;
  for (auto& p : parameters) {
    if (!p.name.ends_with(ending)) continue;
    const std::string module = module_of(p.name.substr(0, p.name.size() - ending.size()));
    const io::PeftLayer* layer = module.empty() ? nullptr : adapter.find(module);
    if (layer == nullptr) continue;
    expect_present(p);
    expect(layer->in == p.value.cols && layer->out == p.value.rows,
           "the adapter's layer '{}': expected {} inputs and {} outputs, found {} and {}", module,
           p.value.cols, p.value.rows, layer->in, layer->out);
    const Buffer<B> a = put(layer->a, layer->rank, layer->in);
    const Buffer<B> b = put(layer->b, layer->out, layer->rank);
    backend.gemm(Op::none, Op::none, static_cast<T>(adapter.config.scale_of(module)), b.view(),
                 a.view(), T(1), p.value);
    if (adapter.config.use_dora) {
      const Buffer<B> magnitude = put(layer->magnitude, 1, layer->out);
      backend.for_rows(p.value.rows, [w = p.value, m = magnitude.view().data] BRANCHLORA_BODY(
                                         auto team, Index o) {
        T* row = w.row(o);
        const T square = team.sum(w.cols, [=](Index c) { return row[c] * row[c]; });
        const T factor = square > T(0) ? m[o] / std::sqrt(square) : T(0);
        team.loop(w.cols, [=](Index c) { row[c] *= factor; });
      });
    }
    merged.push_back(module);
  }
  for (const io::PeftLayer& layer : adapter.layers) {
    expect(std::ranges::find(merged, layer.module) != merged.end(),
           "the model has no linear for the adapter's layer '{}'", layer.module);
  }
}

}  // namespace branchlora::model::published
