/// A study: rows of a table, each a method and a way to train it. What runs them is compiled once,
/// in study.cpp; a row costs the compilation of its adapter alone.
#pragma once

#include <string>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/eigen/backend.hpp"

namespace study {

using Backend = branchlora::eigen::Backend<float>;

/// How a row is trained.
enum class Protocol {
  zero_shot,  ///< Not at all.
  stream,     ///< One task after another.
  joint,      ///< All tasks at once.
};

/// A row of the table.
struct Row {
  std::string name;
  Protocol protocol;
  branchlora::Method<Backend> method;
  double alpha;  ///< Such that the adapter's output is scaled by 2, as in CoIN's runs.
};

/// The base model as it is.
inline Row zero_shot(std::string name) { return {std::move(name), Protocol::zero_shot, {}, 0}; }

/// Variant `V`, one task after another.
template <class V>
Row stream(std::string name) {
  return {std::move(name), Protocol::stream, branchlora::method_of<Backend, V>(),
          2.0 / V::scale(branchlora::Hyper{.alpha = 1.0})};
}

/// Variant `V`, all tasks at once.
template <class V>
Row joint(std::string name) {
  Row row = stream<V>(std::move(name));
  row.protocol = Protocol::joint;
  return row;
}

/// The program: reads the command line, runs the rows, prints the table and writes the results
/// folder. Returns the exit status.
int main(int argc, char** argv, const std::string& title, const std::vector<Row>& rows);

}  // namespace study
