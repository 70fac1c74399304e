/// @file
/// What is trained, or was: named matrices with a gradient.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "branchlora/core/buffer.hpp"

namespace branchlora {

/// Where an operation writes the gradient of an input: adding if another operation wrote first.
template <class T>
struct GradientSink {
  MatrixView<T> view;
  bool add;
};

/// A named matrix of a model. `grad` has memory only once the parameter was made trainable.
template <class T>
struct Parameter {
  std::string name;
  MatrixView<T> value;
  MatrixView<T> grad;
  bool trainable = false;
  bool constant = false;       ///< Whether nothing ever trains it, though it belongs to an adapter.
  bool has_grad = false;       ///< Whether `grad` holds this step's gradient.
  double learning_rate = 1.0;  ///< A factor on the optimiser's learning rate.
  bool decays = true;          ///< Whether weight decay applies.

  /// Where to write this step's gradient, which counts as written from here on.
  GradientSink<T> sink() { return {grad, std::exchange(has_grad, true)}; }
};

/// Throws `Error` if a parameter's values are no longer there (`ParameterSet::release`).
template <class T>
void expect_present(const Parameter<T>& parameter) {
  expect(parameter.value.data != nullptr || parameter.value.empty(),
         "parameter '{}': expected its values, but their memory was given back when they were "
         "packed",
         parameter.name);
}

/// The owner of a model's parameters. References stay valid as more are added.
template <Backend B>
class ParameterSet {
 public:
  using T = typename B::Scalar;

  explicit ParameterSet(B& backend) : backend_(&backend) {}

  /// The name and the number of rows of one parameter in a stack.
  struct Entry {
    std::string name;
    Index rows;
  };

  /// A new `rows x cols` parameter, zero and frozen.
  Parameter<T>& add(std::string name, Index rows, Index cols) {
    return *add_stack({{std::move(name), rows}}, cols).front();
  }

  /// New parameters of `cols` columns that lie one below the other in memory, so that they can be
  /// read as one matrix and yet be frozen one by one.
  std::vector<Parameter<T>*> add_stack(const std::vector<Entry>& entries, Index cols) {
    Index rows = 0;
    for (const Entry& entry : entries) rows += entry.rows;
    groups_.push_back({memory("parameter", entries.front().name, rows, cols), Buffer<B>(), {}});
    Group& group = groups_.back();
    Index first = 0;
    for (const Entry& entry : entries) {
      expect(find(entry.name) == nullptr, "parameter '{}' was added twice", entry.name);
      Parameter<T>& parameter = parameters_.emplace_back();
      parameter.name = entry.name;
      parameter.value = group.value.view().middle_rows(first, entry.rows);
      first += entry.rows;
      group_of_.emplace(&parameter, &group);
      group.members.push_back(&parameter);
    }
    return group.members;
  }

  /// Makes a parameter trainable or freezes it. Its neighbours in a stack get memory for their
  /// gradient too, so that the stack's gradient can be written as one matrix.
  void set_trainable(Parameter<T>& parameter, bool trainable) {
    if (trainable) expect_present(parameter);
    parameter.trainable = trainable;
    if (!trainable || parameter.grad.data != nullptr) return;
    Group& group = *group_of_.at(&parameter);
    const MatrixView<T> all = group.value.view();
    group.grad = memory("the gradient of", parameter.name, all.rows, all.cols);
    Index first = 0;
    for (Parameter<T>* member : group.members) {
      member->grad = group.grad.view().middle_rows(first, member->value.rows);
      first += member->value.rows;
    }
  }

  /// Gives back the memory of a parameter that is in no stack and does not train. Name and shape
  /// stay.
  void release(Parameter<T>& parameter) {
    Group& group = *group_of_.at(&parameter);
    expect(group.members.size() == 1 && !parameter.trainable,
           "parameter '{}': expected one that is frozen and in no stack, to give back its memory",
           parameter.name);
    parameter.value.data = parameter.grad.data = nullptr;
    group.value = Buffer<B>();
    group.grad = Buffer<B>();
  }

  /// The parameter of that name, or null.
  Parameter<T>* find(std::string_view name) {
    for (auto& p : parameters_) {
      if (p.name == name) return &p;
    }
    return nullptr;
  }

  /// Forgets this step's gradients.
  void clear_gradients() {
    for (auto& p : parameters_) p.has_grad = false;
  }

  /// The number of trainable elements.
  Index trainable_count() const {
    Index n = 0;
    for (const auto& p : parameters_) n += p.trainable ? p.value.size() : 0;
    return n;
  }

  B& backend() const { return *backend_; }
  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }
  Index size() const { return static_cast<Index>(parameters_.size()); }

 private:
  struct Group {
    Buffer<B> value;
    Buffer<B> grad;
    std::vector<Parameter<T>*> members;
  };

  /// Memory whose shortage names the parameter.
  Buffer<B> memory(const char* what, const std::string& name, Index rows, Index cols) {
    try {
      return Buffer<B>(*backend_, rows, cols);
    } catch (const Error& e) {
      fail("{} '{}': {}", what, name, e.what());
    }
  }

  B* backend_;
  std::deque<Group> groups_;
  std::deque<Parameter<T>> parameters_;
  std::unordered_map<const Parameter<T>*, Group*> group_of_;
};

}  // namespace branchlora
