/// Every method of the family in one table, on equal terms:
///
///     compare --budget parameters --seeds 3 --search 3e-4,1e-3,3e-3
///     compare --protocol joint --rows "LoRA;MTL-LoRA"
///     mpirun -n 4 compare --seeds 3
///
/// Options that are not listed here are those of every study (`ablation --help`). Started by MPI,
/// the processes share the rows and seeds among them, and the first prints the table:
/// docs/parallel.md.
#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "entries.hpp"
#ifdef BRANCHLORA_MPI
#include "branchlora/parallel/mpi.hpp"
#endif

namespace {

using namespace compare;

const std::map<std::string, Budget> budget_of{budgets.begin(), budgets.end()};
const std::map<std::string, study::Protocol> protocol_of{{"stream", study::Protocol::stream},
                                                         {"joint", study::Protocol::joint}};

/// The texts that a map has a value for.
template <class T>
std::vector<std::string> names_in(const std::map<std::string, T>& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

/// The rows of a comparison: those of the methods, and what bounds them.
std::vector<study::Row> rows(Budget budget, study::Protocol protocol) {
  std::vector<study::Row> rows{study::zero_shot("Zero-shot")};
  for (const auto& part : {simple(), single(), dense(), sparse()}) {
    for (const Entry& entry : part) {
      study::Row row = entry.rows.at(budget);
      if (protocol == study::Protocol::joint) {  // for what needs no stream of tasks
        if (!row.strategies.empty() || row.protocol == study::Protocol::generated) continue;
        row.protocol = protocol;
      }
      rows.push_back(std::move(row));
    }
  }
  if (protocol == study::Protocol::stream) rows.push_back(study::joint<Reference>("Joint LoRA"));
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  study::Processes processes;
#ifdef BRANCHLORA_MPI
  const parallel::MpiSession session(argc, argv);
  const parallel::Mpi ranks;
  processes = {ranks.rank(), ranks.size(),
               [&](const std::string& error) { return ranks.agree(error); }};
#endif
  std::string budget = "parameters";
  std::string protocol = "stream";
  const std::string title = "compare";
  study::CommandLine line("Every method of the family in one table, on equal terms.", title);
  line.pass_on_others();
  line.option("--budget", budget, "What methods have in common: rank, parameters or flops")
      .one_of(names_in(budget_of));
  line.option("--protocol", protocol, "stream (tasks one after another) or joint (mixed)")
      .one_of(names_in(protocol_of));
  try {
    line.parse(argc, argv);
  } catch (const std::exception& error) {  // the same in every process
    if (processes.rank == 0) fmt::print(stderr, "{}: {}\n", title, error.what());
    return 1;
  }

  std::vector<std::string> words{title};
  for (const std::string& word : line.others()) words.push_back(word);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  return study::main(static_cast<int>(pointers.size()), pointers.data(), title,
                     rows(budget_of.at(budget), protocol_of.at(protocol)), processes);
}
