/// Every method of the family in one table, on equal terms:
///
///     compare --budget parameters --seeds 3 --search 3e-4,1e-3,3e-3
///     compare --protocol joint --rows "LoRA;MTL-LoRA"
///     mpirun -n 4 compare --seeds 3
///
/// Options that are not listed here are those of every study (`ablation --help`). Started by MPI,
/// the processes share the rows and seeds among them, and the first prints the table.
#ifdef BRANCHLORA_MPI
#include <mpi.h>
#endif

#include <CLI/CLI.hpp>

#include "entries.hpp"

namespace {

using namespace compare;

/// The rows of a comparison: those of the methods, and what bounds them.
std::vector<study::Row> rows(Budget budget, study::Protocol protocol) {
  std::vector<study::Row> rows{study::zero_shot("Zero-shot")};
  for (const auto& part : {single(), dense(), sparse()}) {
    for (const Entry& entry : part) {
      study::Row row = entry.rows.at(budget);
      if (protocol == study::Protocol::joint && !row.strategies.empty()) continue;
      row.protocol = protocol;
      rows.push_back(std::move(row));
    }
  }
  if (protocol == study::Protocol::stream) rows.push_back(study::joint<Reference>("Joint LoRA"));
  return rows;
}

/// This process among those that MPI started.
class Processes {
 public:
  Processes(int& argc, char**& argv) {
#ifdef BRANCHLORA_MPI
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &count_);
#else
    static_cast<void>(argc);
    static_cast<void>(argv);
#endif
  }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;
  ~Processes() {
#ifdef BRANCHLORA_MPI
    MPI_Finalize();
#endif
  }

  int rank() const { return rank_; }
  int count() const { return count_; }

  /// The largest status of all processes, once all are here.
  int agree(int status) const {
#ifdef BRANCHLORA_MPI
    MPI_Allreduce(MPI_IN_PLACE, &status, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
#endif
    return status;
  }

 private:
  int rank_ = 0;
  int count_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
  const Processes processes(argc, argv);
  Budget budget = Budget::parameters;
  study::Protocol protocol = study::Protocol::stream;
  CLI::App app("Every method of the family in one table, on equal terms.", "compare");
  app.allow_extras();
  app.set_help_flag();
  app.add_option("--budget", budget, "What methods have in common: rank, parameters or flops")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Budget>(budgets.begin(), budgets.end())));
  app.add_option("--protocol", protocol, "stream (tasks one after another) or joint (mixed)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, study::Protocol>{
          {"stream", study::Protocol::stream}, {"joint", study::Protocol::joint}}));
  CLI11_PARSE(app, argc, argv);

  const auto all = rows(budget, protocol);
  const std::string title = "compare";
  std::vector<std::string> arguments = app.remaining();
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> words{title};
    words.insert(words.end(), arguments.begin(), arguments.end());
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    return study::main(static_cast<int>(pointers.size()), pointers.data(), title, all);
  };
  if (processes.count() == 1) return run({});
  // Each process runs its share; then the first finds everything finished and makes the table.
  int status = 0;
  for (const char* phase : {"search", "train"}) {
    const auto share = fmt::format("{}/{}", processes.rank() + 1, processes.count());
    status =
        status != 0
            ? status
            : processes.agree(run({"--resume", "--jobs", "1", "--phase", phase, "--share", share}));
  }
  if (status == 0 && processes.rank() == 0) status = run({"--resume"});
  return status;
}
