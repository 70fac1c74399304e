/// @file
/// Between the adapters of a model and those that PEFT keeps: what PEFT can hold goes out, and one
/// or several of its adapters come in as branches. Both directions are in one file: what one writes
/// the other reads.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/adapter/adapter.hpp"
#include "branchlora/adapter/module_names.hpp"
#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/core/to_host.hpp"
#include "branchlora/io/peft.hpp"

namespace branchlora {

/// What an import does with an adapted linear for which an adapter has no layer.
enum class Absent : std::uint8_t {
  refuse,  ///< Throw.
  zero,    ///< Set its B to zero, so that it adds nothing.
};

namespace detail {

/// The name of a branch's factor in a parameter set.
template <class V>
std::string factor_name(const std::string& layer, const char* factor, Index branch) {
  const bool one = V::capacity == 1 || (V::Trunk::shared && std::string_view(factor) == ".lora_A");
  return one ? layer + factor : numbered(layer + factor, branch);
}

template <Backend B>
Parameter<typename B::Scalar>& named(ParameterSet<B>& parameters, const std::string& name) {
  auto* found = parameters.find(name);
  expect(found != nullptr, "expected an adapter with the parameter '{}', found none", name);
  return *found;
}

/// The adapted linears of a model, in its order. Throws if there are none.
template <Backend B>
std::vector<std::string> adapted_layers(const ParameterSet<B>& parameters) {
  std::vector<std::string> layers;
  for (const auto& p : parameters) {
    for (const std::string_view ending : {".lora_B", ".lora_B.0"}) {
      if (p.name.ends_with(ending)) {
        layers.push_back(p.name.substr(0, p.name.size() - ending.size()));
      }
    }
  }
  expect(!layers.empty(), "expected a model with adapters, found none");
  return layers;
}

template <Backend B>
void to_backend(ParameterSet<B>& parameters, Parameter<typename B::Scalar>& p,
                const std::vector<typename B::Scalar>& host) {
  parameters.backend().upload(p.value.data, host.data(), host.size() * sizeof(host[0]));
}

/// Appends A of `rows` x d_in below the A's of a layer of PEFT, and puts factor * B beside its B's,
/// in the columns from `column` on.
template <Backend B>
void append_pair(ParameterSet<B>& parameters, const Parameter<typename B::Scalar>& a,
                 const Parameter<typename B::Scalar>& b, double factor, Index column, bool with_a,
                 io::PeftLayer& out) {
  out.in = a.value.cols;
  out.out = b.value.cols;
  out.b.resize(static_cast<std::size_t>(out.out * out.rank));
  if (with_a) {
    for (const auto x : to_host(parameters.backend(), a.value)) {
      out.a.push_back(static_cast<float>(x));
    }
  }
  const auto up = to_host(parameters.backend(), b.value);  // rank x out
  for (Index r = 0; r < b.value.rows; ++r) {
    for (Index o = 0; o < out.out; ++o) {
      out.b[static_cast<std::size_t>(o * out.rank + column + r)] += static_cast<float>(
          factor * static_cast<double>(up[static_cast<std::size_t>(r * out.out + o)]));
    }
  }
}

/// The adapter of one linear of `V` as a layer of PEFT: [A_i] and [g_i B_i] over the branches with
/// g_i other than 0 or, with a shared A, A and the sum of g_i B_i. Where a start was taken off the
/// frozen weight, [A_i, A0_i] and [B_i, -B0_i]: of twice the rank, beside the weight as it came.
template <class V, Backend B>
io::PeftLayer exported_layer(ParameterSet<B>& parameters, const std::string& layer,
                             std::span<const double> gates) {
  io::PeftLayer out;
  const auto branches =
      static_cast<Index>(std::ranges::count_if(gates, [](double g) { return g != 0; }));
  constexpr bool residual = requires { requires V::residual; };
  out.rank = V::rank * (V::Trunk::shared ? 1 : branches) * (residual ? 2 : 1);
  Index block = 0;  // where the branch's columns of B begin
  for (Index i = 0; i < std::ssize(gates); ++i) {
    const double gate = gates[static_cast<std::size_t>(i)];
    if (gate == 0) continue;
    const auto& a = named(parameters, factor_name<V>(layer, ".lora_A", i));
    const auto& b = named(parameters, factor_name<V>(layer, ".lora_B", i));
    expect_shape(a.value, V::rank, a.value.cols, a.name.c_str());
    expect_shape(b.value, V::rank, b.value.cols, b.name.c_str());
    append_pair(parameters, a, b, gate, block, !V::Trunk::shared || out.a.empty(), out);
    if (!V::Trunk::shared) block += V::rank;
    if constexpr (residual) {
      append_pair(parameters, named(parameters, factor_name<V>(layer, ".lora_start_A", i)),
                  named(parameters, factor_name<V>(layer, ".lora_start_B", i)), -gate, block, true,
                  out);
      block += V::rank;
    }
  }
  return out;
}

}  // namespace detail

/// The adapters of a model of variant `V`, with the given weight for each branch, as one LoRA:
/// y = W x + s sum_i gates[i] B_i A_i x. Its rank is that of the branches whose weight is not 0
/// together or, with a shared A, that of one. A gate vector with a single 1 exports that branch.
///
/// Throws `Error` if there is not a weight for each branch, or none that is not 0.
template <class V, Backend B, ModuleNames Names = std::identity>
io::PeftAdapter export_peft(ParameterSet<B>& parameters, const Hyper& hyper,
                            std::span<const double> gates, Names module_of = {}) {
  expect(std::ssize(gates) == V::capacity, "{}: expected {} gate weights, found {}", V::describe(),
         V::capacity, gates.size());
  expect(std::ranges::any_of(gates, [](double g) { return g != 0; }) &&
             std::ranges::all_of(gates, [](double g) { return std::isfinite(g); }),
         "{}: expected finite gate weights that are not all 0, found [{}]", V::describe(),
         fmt::join(gates, ", "));
  io::PeftAdapter adapter;
  std::vector<std::string> targets;
  for (const std::string& layer : detail::adapted_layers(parameters)) {
    adapter.layers.push_back(detail::exported_layer<V>(parameters, layer, gates));
    targets.push_back(adapter.layers.back().module = module_of(layer));
  }
  std::ranges::sort(adapter.layers, {}, &io::PeftLayer::module);
  std::ranges::sort(targets);

  io::PeftConfig& config = adapter.config;
  config.r = adapter.layers.front().rank;
  config.lora_dropout = hyper.dropout;
  config.use_rslora = std::same_as<typename V::Scaling, scaling::AlphaOverSqrtRank>;
  const auto rank = static_cast<double>(config.r);
  const double divisor = config.use_rslora ? std::sqrt(rank) : rank;
  const double scale = V::scale(hyper);
  config.lora_alpha = hyper.alpha / divisor == scale ? hyper.alpha : scale * divisor;
  config.target_modules = std::move(targets);
  return adapter;
}

/// The adapters of a model of variant `V` as PEFT's LoRA or rsLoRA. Throws `Error` if the variant
/// has a router, since its gates depend on the input, which no weight can; or several branches
/// without one, whose weights must be given.
template <class V, Backend B, ModuleNames Names = std::identity>
io::PeftAdapter export_peft(ParameterSet<B>& parameters, const Hyper& hyper, Names module_of = {}) {
  if constexpr (V::gate_rows > 0) {
    fail(
        "{} cannot become a PEFT adapter: its gates depend on the input. Give a weight for each "
        "branch to export the mixture as it is under these",
        V::describe());
  } else if constexpr (V::capacity > 1) {
    fail("{} becomes a PEFT adapter only with a given weight for each branch", V::describe());
  } else {
    constexpr double one = 1.0;
    return export_peft<V>(parameters, hyper, std::span(&one, 1), module_of);
  }
}

/// Loads a bank of PEFT adapters into a model with adapters of variant `V` attached: adapter i
/// becomes branch i. A factor s other than the variant's is absorbed in B; of an adapter with a
/// smaller rank than the variant's, the rows left over keep their A and get a B of zero.
///
/// Throws `Error` if the number of adapters is not that of the branches; if one is a DoRA, has a
/// larger rank, a layer that the model has not, or one of another shape; or, unless `absent` says
/// otherwise, if it lacks one. Nothing is changed before everything was checked.
template <class V, Backend B, ModuleNames Names = std::identity>
void import_peft(std::span<const io::PeftAdapter> bank, ParameterSet<B>& parameters,
                 const Hyper& hyper, Names module_of = {}, Absent absent = Absent::refuse) {
  static_assert(!V::Trunk::shared || V::capacity == 1,
                "A bank of PEFT adapters needs trunk::Separate: each of them has an A of its own.");
  static_assert(
      !requires { requires V::residual; },
      "A PEFT adapter stands beside the weight as it came: import it into a variant whose start "
      "takes nothing off.");
  using T = typename B::Scalar;
  expect(std::ssize(bank) == V::branches, "{}: expected {} PEFT adapters, found {}", V::describe(),
         V::branches, bank.size());
  struct Target {
    Parameter<T>* a;
    Parameter<T>* b;
    const io::PeftLayer* from;
    double factor;
  };
  std::vector<Target> targets;
  const std::vector<std::string> layers = detail::adapted_layers(parameters);
  for (Index i = 0; i < V::branches; ++i) {
    const io::PeftAdapter& adapter = bank[static_cast<std::size_t>(i)];
    const std::string which = V::branches == 1 ? "the adapter" : fmt::format("adapter {}", i);
    expect(!adapter.config.use_dora,
           "{}: expected a LoRA or rsLoRA, found a DoRA: {} has no magnitudes", which,
           V::describe());
    std::size_t used = 0;
    for (const std::string& layer : layers) {
      const std::string module = module_of(layer);
      const io::PeftLayer* from = adapter.find(module);
      expect(from != nullptr || absent == Absent::zero,
             "{}: expected a layer '{}', found none of that name", which, module);
      Target target{&detail::named(parameters, detail::factor_name<V>(layer, ".lora_A", i)),
                    &detail::named(parameters, detail::factor_name<V>(layer, ".lora_B", i)), from,
                    1.0};
      if (from != nullptr) {
        ++used;
        expect(from->rank <= V::rank, "{}: layer '{}': expected a rank of at most {}, found {}",
               which, module, V::rank, from->rank);
        expect(from->in == target.a->value.cols && from->out == target.b->value.cols,
               "{}: layer '{}': expected {} inputs and {} outputs, found {} and {}", which, module,
               target.a->value.cols, target.b->value.cols, from->in, from->out);
        target.factor = adapter.config.scale_of(module) / V::scale(hyper);
      }
      targets.push_back(target);
    }
    if (used == adapter.layers.size()) continue;
    for (const io::PeftLayer& layer : adapter.layers) {
      expect(std::ranges::any_of(
                 layers, [&](const std::string& l) { return module_of(l) == layer.module; }),
             "{}: the model has no adapted linear for layer '{}'", which, layer.module);
    }
  }
  for (const Target& target : targets) {
    std::vector<T> a = to_host(parameters.backend(), target.a->value);
    std::vector<T> b(static_cast<std::size_t>(target.b->value.size()));
    if (target.from != nullptr) {
      std::ranges::transform(target.from->a, a.begin(), [](float x) { return static_cast<T>(x); });
      const MatrixView<T> up(b.data(), V::rank, target.from->out);
      for (Index r = 0; r < target.from->rank; ++r) {
        for (Index o = 0; o < target.from->out; ++o) {
          up(r, o) =
              static_cast<T>(target.factor * static_cast<double>(target.from->b_view()(o, r)));
        }
      }
    }
    detail::to_backend(parameters, *target.a, a);
    detail::to_backend(parameters, *target.b, b);
  }
}

/// Loads one PEFT adapter into a model with adapters of variant `V`, which has one branch.
template <class V, Backend B, ModuleNames Names = std::identity>
void import_peft(const io::PeftAdapter& adapter, ParameterSet<B>& parameters, const Hyper& hyper,
                 Names module_of = {}, Absent absent = Absent::refuse) {
  static_assert(V::capacity == 1,
                "One PEFT adapter fits a variant with one branch: give a bank for a mixture.");
  import_peft<V>(std::span(&adapter, 1), parameters, hyper, module_of, absent);
}

}  // namespace branchlora
