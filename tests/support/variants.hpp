/// @file
/// Every variant that the tests of adapters run over, and what a naive reference needs to know.
#pragma once

#include <doctest/doctest.h>

#include "branchlora/adapter/policy/init/corda.hpp"
#include "branchlora/adapter/policy/init/eva.hpp"
#include "branchlora/adapter/policy/init/lora_ga.hpp"
#include "branchlora/adapter/policy/init/pissa.hpp"
#include "branchlora/adapter/variant/adamole.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/icm_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "branchlora/adapter/variant/lora_moe.hpp"
#include "branchlora/adapter/variant/meteora.hpp"
#include "branchlora/adapter/variant/mo_lora.hpp"
#include "branchlora/adapter/variant/moa.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/more.hpp"
#include "branchlora/adapter/variant/mtl_lora.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"
#include "branchlora/adapter/variant/smora.hpp"
#include "branchlora/adapter/variant/task_moe_lora.hpp"

namespace branchlora::test {

using Lora4 = Lora<4>;
using RsLora4 = RsLora<4>;
using Icm4 = IcmLora<4>;
using Moe = MoeLora<3, 4>;
using Hydra = HydraLora<3, 4>;
using Branch = BranchLora<3, 4, 2>;

using MoeShared = Moe::with<trunk::Shared>;
using MoeSparse = Moe::with<TopK<2>>;
using MoeSharedSparse = Moe::with<trunk::Shared, TopK<2>>;
using MoeSoftmaxFirst = Moe::with<TopK<2>, gating::SoftmaxThenTopK>;
using MoeFirstToken = Moe::with<TopK<2>, router::Linear<per::FirstToken>>;
using HydraMeanToken = Hydra::with<router::Linear<per::MeanToken>>;
using BranchToken = Branch::with<router::PerTask<router::Linear<per::Token>>>;
using BranchMeanToken =
    Branch::with<router::PerTask<router::Linear<per::MeanToken>>, gating::SoftmaxThenTopK>;
using BranchSeparate = Branch::with<trunk::Separate>;
using MoeBalanced = Moe::with<TopK<2>, balance::Switch>;
using HydraBalanced = Hydra::with<TopK<2>, balance::Switch>;
using BranchBalanced = Branch::with<balance::Switch, gating::SoftmaxThenTopK>;
using BranchFrozenOnly = Branch::with<exhausted::FrozenOnly>;
using BranchGrow = Branch::with<exhausted::Grow<2>>;
using BranchTunable = Branch::with<reach::TunableOnly>;
using BranchFrozenReach = Branch::with<reach::FrozenOnly>;
using BranchCopied = Branch::with<router_start::Copied, freezing::Never>;

using Mtl = MtlLora<3, 4>;
using MtlSparse = Mtl::with<TopK<2>, gating::SoftmaxThenTopK>;
using TaskMoe = TaskMoeLora<3, 4>;
using TaskMoeEach = TaskMoe::with<router::TaskEmbedding<5>>;
using More5 = More<5>;
using MoreReleased5 = MoreReleased<5>;

using MoLora4 = MoLora<3, 4>;
using LoraMoe5 = LoraMoe<3, 5>;
using LoraMoeSparse = LoraMoe<3, 4>::with<TopK<2>>;
using SMora6 = SMora<6, 3>;
using SMoraSoftmax6 = SMoraSoftmax<6, 3>;
using Meteo = MeteoRa<2, 6, 2>;
using MeteoDense = MeteoRa<2, 6, 6>;
using Moa6 = Moa<3, 6>;
using MoaLinear = Moa6::with<router::Linear<per::MeanToken>>;

using MoeMean = Moe::with<router::Uniform>;
using HydraMean = Hydra::with<router::Uniform, freezing::MostActive<2>>;
using Bank6 = LoraBank<2, 6>;
using BankShared = LoraBank<2, 6, trunk::Shared>;
using BankFrozenTrunk = LoraBank<2, 6, trunk::FrozenAfter<1>>;
using BankSoft = Bank6::with<TopK<6>, selector::SoftmaxKeys<>>;
using BankSoftSparse = Bank6::with<TopK<2>, selector::SoftmaxKeys<Reads::text, 20>>;
using MoeTopP = Moe::with<gating::TopP<60>, balance::Switch>;
using BranchTopP = Branch::with<TopK<4>, gating::TopP<50>>;
using AdaMole4 = AdaMole<3, 4>;
using LoraPissa = Lora4::with<init::Pissa>;
using BankPissa = Bank6::with<init::Pissa>;
using LoraEva = Lora4::with<init::Eva>;
using BankEva = Bank6::with<init::Eva>;
using LoraCorda = Lora4::with<init::Corda>;
using LoraGradient = Lora<3>::with<init::LoraGa<>>;
using BankGradient = Bank6::with<init::LoraGa<>>;
// Of sequences, with a router a task, and a threshold that may be above all branches.
using AdaMoleTasks = AdaMole4::with<router::PerTask<router::Linear<per::MeanToken>>,
                                    gating::Threshold<190>, router_start::Copied>;

#define BRANCHLORA_ALL_VARIANTS                                                                    \
  Lora4, RsLora4, Icm4, Moe, Hydra, Branch, MoeShared, MoeSparse, MoeSharedSparse,                 \
      MoeSoftmaxFirst, MoeFirstToken, HydraMeanToken, BranchToken, BranchMeanToken,                \
      BranchSeparate, MoeBalanced, HydraBalanced, BranchBalanced, BranchFrozenOnly, BranchGrow,    \
      BranchTunable, BranchFrozenReach, BranchCopied, Mtl, MtlSparse, TaskMoe, TaskMoeEach, More5, \
      MoreReleased5, MoLora4, LoraMoe5, LoraMoeSparse, SMora6, SMoraSoftmax6, Meteo, MeteoDense,   \
      Moa6, MoaLinear, MoeMean, HydraMean, MoeTopP, BranchTopP, AdaMole4, AdaMoleTasks, Bank6,     \
      BankShared, BankFrozenTrunk, BankSoft, BankSoftSparse, LoraPissa, BankEva, LoraCorda,        \
      BankGradient

}  // namespace branchlora::test

TYPE_TO_STRING(branchlora::test::Lora4);
TYPE_TO_STRING(branchlora::test::RsLora4);
TYPE_TO_STRING(branchlora::test::Icm4);
TYPE_TO_STRING(branchlora::test::Moe);
TYPE_TO_STRING(branchlora::test::Hydra);
TYPE_TO_STRING(branchlora::test::Branch);
TYPE_TO_STRING(branchlora::test::MoeShared);
TYPE_TO_STRING(branchlora::test::MoeSparse);
TYPE_TO_STRING(branchlora::test::MoeSharedSparse);
TYPE_TO_STRING(branchlora::test::MoeSoftmaxFirst);
TYPE_TO_STRING(branchlora::test::MoeFirstToken);
TYPE_TO_STRING(branchlora::test::HydraMeanToken);
TYPE_TO_STRING(branchlora::test::BranchToken);
TYPE_TO_STRING(branchlora::test::BranchMeanToken);
TYPE_TO_STRING(branchlora::test::BranchSeparate);
TYPE_TO_STRING(branchlora::test::MoeBalanced);
TYPE_TO_STRING(branchlora::test::HydraBalanced);
TYPE_TO_STRING(branchlora::test::BranchBalanced);
TYPE_TO_STRING(branchlora::test::BranchFrozenOnly);
TYPE_TO_STRING(branchlora::test::BranchGrow);
TYPE_TO_STRING(branchlora::test::BranchTunable);
TYPE_TO_STRING(branchlora::test::BranchFrozenReach);
TYPE_TO_STRING(branchlora::test::BranchCopied);
TYPE_TO_STRING(branchlora::test::Mtl);
TYPE_TO_STRING(branchlora::test::MtlSparse);
TYPE_TO_STRING(branchlora::test::TaskMoe);
TYPE_TO_STRING(branchlora::test::TaskMoeEach);
TYPE_TO_STRING(branchlora::test::More5);
TYPE_TO_STRING(branchlora::test::MoreReleased5);
TYPE_TO_STRING(branchlora::test::MoLora4);
TYPE_TO_STRING(branchlora::test::LoraMoe5);
TYPE_TO_STRING(branchlora::test::LoraMoeSparse);
TYPE_TO_STRING(branchlora::test::SMora6);
TYPE_TO_STRING(branchlora::test::SMoraSoftmax6);
TYPE_TO_STRING(branchlora::test::Meteo);
TYPE_TO_STRING(branchlora::test::MeteoDense);
TYPE_TO_STRING(branchlora::test::Moa6);
TYPE_TO_STRING(branchlora::test::MoaLinear);
TYPE_TO_STRING(branchlora::test::MoeMean);
TYPE_TO_STRING(branchlora::test::HydraMean);
TYPE_TO_STRING(branchlora::test::MoeTopP);
TYPE_TO_STRING(branchlora::test::BranchTopP);
TYPE_TO_STRING(branchlora::test::AdaMole4);
TYPE_TO_STRING(branchlora::test::AdaMoleTasks);
TYPE_TO_STRING(branchlora::test::Bank6);
TYPE_TO_STRING(branchlora::test::BankShared);
TYPE_TO_STRING(branchlora::test::BankFrozenTrunk);
TYPE_TO_STRING(branchlora::test::BankSoft);
TYPE_TO_STRING(branchlora::test::BankSoftSparse);
TYPE_TO_STRING(branchlora::test::LoraPissa);
TYPE_TO_STRING(branchlora::test::BankPissa);
TYPE_TO_STRING(branchlora::test::LoraEva);
TYPE_TO_STRING(branchlora::test::BankEva);
TYPE_TO_STRING(branchlora::test::LoraCorda);
TYPE_TO_STRING(branchlora::test::LoraGradient);
TYPE_TO_STRING(branchlora::test::BankGradient);
