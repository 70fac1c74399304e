#include "branchlora/continual/strategy/orthogonal.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "continual/lesson.hpp"
#include "io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::test;
using continual::strategy::Orthogonal;

namespace {

using Moe = MoeLora<2, 3>;
/// Four branches, of which two are in use.
using Growing = MoeLora<2, 2>::with<freezing::MostActive<1>, exhausted::Grow<2>>;

/// Freezes the parameters of the classroom whose names contain one of these.
template <class V>
void freeze(Classroom<V>& room, std::initializer_list<const char*> parts) {
  for (auto& p : room.tiny.net.parameters()) {
    for (const char* part : parts) {
      if (p.name.find(part) != std::string::npos) {
        room.tiny.net.parameters().set_trainable(p, false);
      }
    }
  }
}

/// lambda1 sum |A_old A_new^T| + lambda2 sum ||new|| of one layer, term by term, over `branches`.
template <class V>
double naive(Classroom<V>& room, const std::string& layer, int branches, double lambda1,
             double lambda2) {
  double loss = 0;
  auto& parameters = room.tiny.net.parameters();
  const auto at = [&](const char* factor, int i) {
    return parameters.find(fmt::format("{}.lora_{}.{}", layer, factor, i));
  };
  for (int n = 0; n < branches; ++n) {
    for (const char* factor : {"A", "B"}) {
      if (!at(factor, n)->trainable) continue;
      double square = 0;
      for (const double w : to_dense(at(factor, n)->value).data) square += w * w;
      loss += lambda2 * std::sqrt(square);
    }
    for (int o = 0; o < branches; ++o) {
      const auto fresh = at("A", n);
      const auto old = at("A", o);
      if (!fresh->trainable || old->trainable) continue;
      for (Index i = 0; i < old->value.rows; ++i) {
        for (Index j = 0; j < fresh->value.rows; ++j) {
          double dot = 0;
          for (Index k = 0; k < old->value.cols; ++k) dot += old->value(i, k) * fresh->value(j, k);
          loss += lambda1 * std::abs(dot);
        }
      }
    }
  }
  return loss;
}

/// Checks every gradient of a layer's A and B against differences of the naive loss.
template <class V>
void check_layer(Classroom<V>& room, const std::map<std::string, Dense>& gradients,
                 const std::string& layer, int branches, double lambda1, double lambda2) {
  for (auto& p : room.tiny.net.parameters()) {
    if (!p.name.starts_with(layer + ".lora_") || !p.trainable) continue;
    CAPTURE(p.name);
    const auto found = gradients.find(p.name);
    for (Index i = 0; i < p.value.size(); ++i) {
      double& w = p.value.data[i];
      const double was = w;
      const double h = 1e-6;  // far smaller than the products are away from their kink at zero
      w = was + h;
      const double high = naive(room, layer, branches, lambda1, lambda2);
      w = was - h;
      const double low = naive(room, layer, branches, lambda1, lambda2);
      w = was;
      const double g =
          found == gradients.end() ? 0 : found->second.data[static_cast<std::size_t>(i)];
      CHECK(g == doctest::Approx((high - low) / (2 * h)).epsilon(1e-6).scale(1e-2));
    }
  }
}

}  // namespace

TEST_CASE("the gradient is that of the absolute products of old and new, and of the norms") {
  Classroom<Moe> room;
  freeze(room, {".lora_A.0", ".lora_B.0", ".lora_A.1"});
  for (const auto& [lambda1, lambda2] :
       {std::pair{0.5, 0.0}, std::pair{0.0, 0.3}, std::pair{0.7, 0.2}}) {
    CAPTURE(lambda1);
    CAPTURE(lambda2);
    const auto orthogonal = strategy_of(room, Orthogonal{.lambda1 = lambda1, .lambda2 = lambda2});
    const auto gradients = room.added(*orthogonal);
    // New are A 2, and with the norms B 1 and 2.
    CHECK(gradients.size() == 14 * (lambda2 > 0 ? 3 : 1));
    for (const auto& [name, g] : gradients) {
      CHECK(room.tiny.net.parameters().find(name)->trainable);
      CHECK(largest(g) > 0);
    }
    for (const char* layer : {"decoder.block.0.q", "decoder.block.1.down"}) {
      check_layer(room, gradients, layer, 3, lambda1, lambda2);
    }
  }
}

TEST_CASE("the loss of the present parameters can be read") {
  Classroom<Moe> room;
  freeze(room, {".lora_A.0", ".lora_B.0", ".lora_A.1"});
  std::set<std::string> layers;
  for (auto& p : room.tiny.net.parameters()) {
    if (const auto at = p.name.find(".lora_A.0"); at != std::string::npos) {
      layers.insert(p.name.substr(0, at));
    }
  }
  CHECK(layers.size() == 14);
  for (const auto& [lambda1, lambda2] :
       {std::pair{0.5, 0.0}, std::pair{0.0, 0.3}, std::pair{0.7, 0.2}}) {
    CAPTURE(lambda1);
    CAPTURE(lambda2);
    double expected = 0;
    for (const auto& layer : layers) expected += naive(room, layer, 3, lambda1, lambda2);
    CHECK(expected > 0);
    const continual::strategy::OrthogonalOn<eigen::Backend<double>> orthogonal(
        room.tiny.backend, {.lambda1 = lambda1, .lambda2 = lambda2});
    // Sums of about 2000 terms in another order.
    CHECK(orthogonal.loss(room.tiny.tape, room.tiny.net) ==
          doctest::Approx(expected).epsilon(1e-12));
  }
  Classroom<Lora<2>> plain;
  const continual::strategy::OrthogonalOn<eigen::Backend<double>> none(plain.tiny.backend, {});
  CHECK(none.loss(plain.tiny.tape, plain.tiny.net) == 0);
}

TEST_CASE("the gradient is added to what is there") {
  Classroom<Moe> room;
  freeze(room, {".lora_A.0"});
  const auto orthogonal = strategy_of(room, Orthogonal{.lambda2 = 0.1});
  const auto gradients = room.added(*orthogonal);
  auto& p = *room.tiny.net.parameters().find("decoder.block.0.v.lora_A.1");
  room.tiny.backend.fill(p.grad, 2.5);
  p.has_grad = true;
  orthogonal->change_gradient(room.tiny.tape, room.tiny.net);
  CHECK(p.grad(1, 3) == doctest::Approx(2.5 + gradients.at(p.name)(1, 3)).epsilon(1e-14));
}

TEST_CASE("what is orthogonal stays, and a block of zeros has no norm to shrink") {
  Classroom<Moe> room;
  freeze(room, {".lora_A.0"});
  auto& parameters = room.tiny.net.parameters();
  for (auto& p : parameters) {
    if (p.name.find(".lora_A") == std::string::npos) continue;
    const bool old = p.name.ends_with(".0");
    assign(p.value, dense(p.value.rows, p.value.cols, [&](Index i, Index j) {
             return (old ? j < 2 : j >= 2) ? static_cast<double>(i + j + 1) : 0.0;
           }));
  }
  for (const auto& [name, g] : room.added(*strategy_of(room, Orthogonal{}))) {
    CHECK(g == Dense(g.rows, g.cols));
  }
  for (auto& p : parameters) {
    if (p.name.find(".lora_B") != std::string::npos) room.tiny.backend.fill(p.value, 0.0);
  }
  for (const auto& [name, g] : room.added(*strategy_of(room, Orthogonal{.lambda2 = 1}))) {
    CHECK(name.find(".lora_B") == std::string::npos);
  }
}

TEST_CASE("branches that are not in use are neither old nor new") {
  Classroom<Growing> room;
  const auto orthogonal = strategy_of(room, Orthogonal{.lambda2 = 0.1});
  freeze(room, {".lora_A.0", ".lora_A.3"});
  const auto gradients = room.added(*orthogonal);
  CHECK(gradients.count("decoder.block.0.q.lora_A.1") == 1);
  CHECK(gradients.count("decoder.block.0.q.lora_A.2") == 0);
  check_layer(room, gradients, "decoder.block.0.q", 2, 0.5, 0.1);
}

TEST_CASE("an adapter of one A has nothing to be orthogonal to") {
  Classroom<Lora<2>> plain;
  Classroom<BranchLora<2, 4, 1>> shared;
  const Orthogonal settings{};
  CHECK(plain.added(*strategy_of(plain, settings)).empty());
  CHECK(shared.added(*strategy_of(shared, settings)).empty());
  check_mentions(error_of([&] { strategy_of(plain, Orthogonal{.lambda1 = -1}); }), "orthogonal",
                 "-1");
}
