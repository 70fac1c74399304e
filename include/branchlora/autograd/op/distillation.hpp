/// @file
/// The loss of a student's logits against a teacher's (Hinton et al., arXiv 1503.02531).
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::op {

/// weight T^2 sum over rows of KL(p || q), p and q the softmax of the teacher's and the student's
/// logits over the temperature T. Its gradient is weight T (q - p).
template <Backend B>
struct Distillation {
  using T = typename B::Scalar;
  Var<T> logits, loss;
  MatrixView<const T> teacher;
  const std::int32_t* rows;  ///< The teacher's row for each row of logits; negative: none.
  MatrixView<T> log_sums;    ///< Of teacher and student, 2 x rows.
  T temperature, weight;

  void backward(Tape<B>& tape) const {
    const auto sink = tape.gradient(logits);
    const T* dl = loss.grad().data;
    tape.backend().for_rows(logits.rows(),
                            [=, d = *this, x = logits.value()] BRANCHLORA_BODY(auto team, Index i) {
                              T* out = sink.view.row(i);
                              if (d.rows[i] < 0) {
                                if (!sink.add) team.loop(x.cols, [=](Index c) { out[c] = T(0); });
                                return;
                              }
                              const T* student = x.row(i);
                              const T* old = d.teacher.row(d.rows[i]);
                              const T inverse = T(1) / d.temperature;
                              const T scale = d.weight * d.temperature * *dl;
                              const T old_sum = d.log_sums(0, i);
                              const T new_sum = d.log_sums(1, i);
                              team.loop(x.cols, [=, add = sink.add](Index c) {
                                const T g = scale * (math::exp(student[c] * inverse - new_sum) -
                                                     math::exp(old[c] * inverse - old_sum));
                                out[c] = add ? out[c] + g : g;
                              });
                            });
  }
};

/// alpha T^2 times the mean KL divergence (nats) of the student's distributions, softmax of
/// `logits` (rows x classes) over the temperature T, from the teacher's, 1 x 1. Row i has the
/// teacher's row `rows[i]`, or none and does not count if that is negative. No counted row gives
/// zero.
template <Backend B>
Var<typename B::Scalar> distillation(Tape<B>& tape, Var<typename B::Scalar> logits,
                                     MatrixView<const typename B::Scalar> teacher,
                                     std::span<const std::int32_t> rows, double temperature,
                                     double alpha) {
  using T = typename B::Scalar;
  expect(std::ssize(rows) == logits.rows() && teacher.cols == logits.cols(),
         "distillation: expected {} rows of the teacher and {} classes, found {} and {}",
         logits.rows(), logits.cols(), rows.size(), teacher.cols);
  Index counted = 0;
  for (const auto row : rows) {
    expect(row < teacher.rows, "distillation: row {} of a teacher of {}", row, teacher.rows);
    counted += row >= 0 ? 1 : 0;
  }
  const auto log_sums = tape.scratch(2, logits.rows());
  const auto losses = tape.scratch(1, logits.rows());
  const auto loss = tape.result(1, 1, logits);
  Distillation<B> d{logits,
                    loss,
                    teacher,
                    tape.upload(rows),
                    log_sums,
                    static_cast<T>(temperature),
                    counted > 0 ? static_cast<T>(alpha) / static_cast<T>(counted) : T(0)};
  tape.backend().for_rows(
      logits.rows(), [=, x = logits.value()] BRANCHLORA_BODY(auto team, Index i) {
        losses.data[i] = T(0);
        if (d.rows[i] < 0) return;
        const T inverse = T(1) / d.temperature;
        const T* student = x.row(i);
        const T* old = d.teacher.row(d.rows[i]);
        const auto log_sum = [=](const T* row) {
          const T highest = team.max(x.cols, [=](Index c) { return row[c] * inverse; });
          return highest + std::log(team.sum(x.cols, [=](Index c) {
                   return math::exp(row[c] * inverse - highest);
                 }));
        };
        const T old_sum = log_sum(old);
        const T new_sum = log_sum(student);
        d.log_sums(0, i) = old_sum;
        d.log_sums(1, i) = new_sum;
        losses.data[i] = d.temperature * d.temperature * team.sum(x.cols, [=](Index c) {
          const T log_p = old[c] * inverse - old_sum;
          return math::exp(log_p) * (log_p - (student[c] * inverse - new_sum));
        });
      });
  tape.backend().reduce_columns(
      logits.rows(), 1, [=] BRANCHLORA_BODY(Index r, Index) { return d.weight * losses.data[r]; },
      loss.value().data, false);
  tape.record(loss, d);
  return loss;
}

}  // namespace branchlora::op
