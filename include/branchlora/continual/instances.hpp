/// @file
/// The runs of streams of tasks, for programs that compile them once for a backend.
///
/// A program of several sources includes this in each of them and says
/// `BRANCHLORA_CONTINUAL_INSTANCES(extern, B)`; one of its sources says
/// `BRANCHLORA_CONTINUAL_INSTANCES(, B)`.
#pragma once

#include "branchlora/continual/joint.hpp"
#include "branchlora/continual/preparation.hpp"
#include "branchlora/continual/run.hpp"

/// Explicit instantiations for the backend `B`, on one process.
#define BRANCHLORA_CONTINUAL_INSTANCES(prefix, B)                                                 \
  namespace branchlora::continual {                                                               \
  prefix template class Preparation<B>;                                                           \
  prefix template std::vector<double> zero_shot<B>(B&, const Base&, std::span<const TaskData<B>>, \
                                                   const Options&);                               \
  prefix template RunResult run_alone<B>(B&, const Base&, std::span<const TaskData<B>>,           \
                                         const Method<B>&, const std::string&, const Options&,    \
                                         const Listener&, const parallel::SingleProcess&);        \
  prefix template std::vector<RunResult> run_joint<B>(B&, const Base&,                            \
                                                      std::span<const TaskData<B>>,               \
                                                      const Method<B>&, const std::string&,       \
                                                      const Options&, const Listener&,            \
                                                      const parallel::SingleProcess&);            \
  prefix template std::vector<RunResult> run_stream<B>(                                           \
      B&, const Base&, std::span<const TaskData<B>>, const Method<B>&, const std::string&,        \
      const Options&, const std::filesystem::path&, const Listener&,                              \
      const std::vector<StrategyFactory<B>>&, const parallel::SingleProcess&);                    \
  }
