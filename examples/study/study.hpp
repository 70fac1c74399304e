/// A study: rows of a table, each a method and a way to train it. What runs and scores them is
/// compiled once, in study.cpp and evaluate.cpp; a row (rows.hpp) costs the compilation of its
/// adapter alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend.hpp"
#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/continual/strategy_factory.hpp"

namespace study {

/// How a row is trained.
enum class Protocol {
  zero_shot,  ///< Not at all.
  stream,     ///< One task after another.
  joint,      ///< All tasks jointly.
  alone,      ///< Each task by itself, from the base.
  generated,  ///< So, and then all adapters come from a generator.
};

/// A row of the table.
struct Row {
  std::string name;
  Protocol protocol;
  branchlora::Method<Backend> method;
  branchlora::Hyper hyper;  ///< With alpha such that the output is scaled by 2, as in CoIN's runs.
  /// What its loop does against forgetting, in a stream.
  std::vector<branchlora::continual::StrategyFactory<Backend>> strategies{};

  /// This row with one more strategy, as in `stream<Lora<32>>("EWC").with(strategy::Ewc{})`.
  template <class Settings>
  Row with(Settings settings) const {
    Row row = *this;
    row.strategies.push_back(branchlora::continual::strategy_factory<Backend>(settings));
    return row;
  }
};

/// The base model as it is.
inline Row zero_shot(std::string name) { return {std::move(name), Protocol::zero_shot, {}, {}}; }

/// The name of a file with its special characters as dashes.
std::string file_name(std::string text);

/// The names of the files of a row's records, of which the first is `file`: "x", "x-ridge",
/// "x-task-given".
std::vector<std::string> record_files(const Row& row, const std::string& file);

/// The processes that share the rows and seeds of a study, and this one among them. As it stands
/// there is no other.
struct Processes {
  int rank = 0;
  int count = 1;
  /// Called by every process with what went wrong in it, or with nothing: waits for all, and
  /// returns the same message in each, empty if all is well.
  std::function<std::string(const std::string& error)> agree = std::identity();
};

/// The program: reads the command line, runs the rows, prints the table and writes the results
/// folder, which all processes must see. Data are loaded once; processes meet after each phase, and
/// the first prints. `pack` is the folder of `data/` whose tasks are learned unless the command
/// line names another. Returns the exit status, the same in each.
int main(int argc, char** argv, const std::string& title, const std::vector<Row>& rows,
         const Processes& processes = {}, const std::string& pack = "minicoin");

/// The program that scores a checkpoint of one of these rows, or the base model alone, on data
/// folders. Returns the exit status.
int evaluate(int argc, char** argv, const std::vector<Row>& rows);

}  // namespace study
