#include "branchlora/model/generate.hpp"

#include <doctest/doctest.h>

#include <set>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "model/naive_decoder.hpp"
#include "support/gradient_check.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;
using model::Batch;
using model::Example;
using Tokens = std::vector<std::vector<std::int32_t>>;

namespace {

/// The base alone.
struct NoAdapter {};

constexpr Index most = 8;

template <class V>
class Bench {
 public:
  Bench() {
    // Large weights, so that the likeliest word is not always the same.
    tiny.randomise("decoder.", 0.5);
    if constexpr (!std::is_same_v<V, NoAdapter>) {
      const Hyper hyper{.alpha = 6.0};
      tiny.net.attach(method_of<Double, V>(), hyper, Random(5));
      tiny.net.for_each_adapter([](auto& each) {
        each.begin_task(0);
        if (V::per_task_router) {
          each.end_task();
          each.begin_task(1);
        }
      });
      tiny.randomise(".lora_", 0.5);
      tiny.randomise(".router", 1.0);
      adapter = NaiveAdapter::of<V>(hyper);
    }
    tiny.net.freeze_base(Storage::full, 0.0);
    bank = tiny.bank(3);
  }

  /// Questions of different lengths, one without a picture, of two tasks.
  static std::vector<Example> questions() {
    return {{0, 0, {{{1, 4, 5}, {}}}},
            {-1, 1, {{{1, 9, 3, 8, 6}, {}}}},
            {2, 1, {{{1, 7}, {}}}},
            {1, 0, {{{1, 4, 5}, {}}}},
            {0, 1, {{{1, 10, 10, 4, 7, 3}, {}}}}};
  }

  Tokens answers(const std::vector<Example>& asked, std::int32_t end) {
    const Batch batch = batch_of(asked);
    return model::generate(tiny.net, tiny.tape, batch, bank,
                           std::span<const std::int32_t>(batch.tasks), end, most);
  }

  /// The embedded rows of a question and the tokens that follow it.
  Dense rows(const Example& e, std::span<const std::int32_t> answer) {
    auto text = e.turns.back().prompt;
    text.insert(text.end(), answer.begin(), answer.end());
    Dense image(0, 8);
    if (e.image >= 0) {
      tiny.tape.reset();
      image = to_dense(
          tiny.net.projector()(tiny.tape, tiny.tape.constant(bank.image(e.image))).value());
    }
    const Dense words = tiny.value("decoder.embedding");
    return dense(image.rows + std::ssize(text), 8, [&](Index i, Index c) {
      return i < image.rows
                 ? image(i, c)
                 : std::sqrt(8.0) * words(text[static_cast<std::size_t>(i - image.rows)], c);
    });
  }

  /// The logits after a question and a part of its answer, by a full pass over all rows.
  std::vector<double> naive_logits(const Example& e, std::span<const std::int32_t> answer) {
    const Dense x = rows(e, answer);
    const Dense all = NaiveDecoder(tiny, adapter).logits(x, x.rows - std::ssize(answer), e.task);
    std::vector<double> last;
    for (Index c = 0; c < all.cols; ++c) last.push_back(all(all.rows - 1, c));
    return last;
  }

  TinyModel<double> tiny;
  model::FeatureBank<Double> bank;
  NaiveAdapter adapter;
};

std::int32_t likeliest(const std::vector<double>& logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

#define VARIANTS NoAdapter, Lora4, Moe, MoeFirstToken, HydraMeanToken, Branch, BranchToken

}  // namespace

TYPE_TO_STRING(NoAdapter);

TEST_CASE_TEMPLATE("answers are those of a naive decoder that computes every row anew", V,
                   VARIANTS) {
  Bench<V> bench;
  const auto asked = bench.questions();
  const Tokens found = bench.answers(asked, -1);
  std::set<std::int32_t> words;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    std::vector<std::int32_t> expected;
    for (Index step = 0; step < most; ++step) {
      expected.push_back(likeliest(bench.naive_logits(asked[i], expected)));
      words.insert(expected.back());
    }
    CAPTURE(i);
    CHECK(found[i] == expected);
  }
  CHECK(words.size() >= 4);  // or the test would say little
}

TEST_CASE_TEMPLATE("logits with the cache are those without, at every step", V, VARIANTS) {
  // Sums of at most a few dozen products in another order, through two blocks of weights around 1.
  Bench<V> bench;
  auto& tiny = bench.tiny;
  const auto asked = bench.questions();
  const Batch batch = batch_of(asked);
  const auto& c = tiny.net.config().decoder;
  model::KvCache<Double> cache(tiny.backend, c.layers, c.kv_heads * c.head_size(), batch.sequences,
                               most);
  RoutingContext routing{&batch.sequences, batch.tasks, RoutingContext::Memory::remember};
  tiny.tape.set_recording(false);
  Tokens given(asked.size());
  const auto compare = [&](const Dense& logits) {
    for (std::size_t s = 0; s < asked.size(); ++s) {
      const auto expected = bench.naive_logits(asked[s], given[s]);
      for (Index w = 0; w < logits.cols; ++w) {
        const double difference =
            logits(static_cast<Index>(s), w) - expected[static_cast<std::size_t>(w)];
        if (!(std::abs(difference) < 1e-10)) FAIL("logit ", w, " is off by ", difference);
      }
    }
  };
  compare(to_dense(
      tiny.net
          .logits(tiny.tape, batch, tiny.net.gather(tiny.tape, batch, bench.bank), routing, &cache)
          .value()));
  Sequences single;
  std::vector<std::int32_t> rows;
  for (std::size_t s = 0; s < asked.size(); ++s) {
    single.push(1);
    rows.push_back(static_cast<std::int32_t>(s));
  }
  routing.sequences = &single;
  routing.memory = RoutingContext::Memory::reuse;
  for (Index step = 0; step < 4; ++step) {
    std::vector<std::int32_t> next, positions;
    for (std::size_t s = 0; s < asked.size(); ++s) {  // any words, not the likeliest
      next.push_back(static_cast<std::int32_t>((3 * step + 2 * static_cast<Index>(s) + 1) % 11));
      given[s].push_back(next.back());
      positions.push_back(static_cast<std::int32_t>(batch.sequences.offsets[s + 1] -
                                                    batch.sequences.offsets[s] + step));
    }
    tiny.tape.reset();
    const auto x = tiny.net.decoder().embed(tiny.tape, next);
    const auto out =
        tiny.net.decoder()(tiny.tape, x,
                           {&single, tiny.tape.upload(std::span<const std::int32_t>(positions)),
                            &routing, &cache, true});
    compare(to_dense(tiny.net.decoder().logits(tiny.tape, out, rows).value()));
  }
}

TEST_CASE_TEMPLATE("answers do not depend on what is asked beside them", V, NoAdapter, Moe,
                   HydraMeanToken, Branch) {
  Bench<V> bench;
  const auto asked = bench.questions();
  const Tokens together = bench.answers(asked, -1);
  const Tokens backwards = bench.answers({asked.rbegin(), asked.rend()}, -1);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    CHECK(backwards[asked.size() - 1 - i] == together[i]);
    CHECK(bench.answers({asked[i]}, -1)[0] == together[i]);
  }
}

TEST_CASE("tasks that are mixed weigh the same in every token of an answer") {
  Bench<BankSoft> bench;
  const auto answers = [&](const std::vector<Example>& asked, Index tokens,
                           const std::vector<double>& weights) {
    const Batch batch = batch_of(asked);
    return model::generate(bench.tiny.net, bench.tiny.tape, batch, bench.bank,
                           std::span<const std::int32_t>(batch.tasks), -1, tokens, weights);
  };
  const auto asked = bench.questions();
  const std::vector<double> weights{0.5, 0.5, 0.9, 0.1, 0.3, 0.7, 0.2, 0.8, 0.6, 0.4};
  const Tokens found = answers(asked, most, weights);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    // The same without a cache: one token after a prompt that has those before it.
    Example longer = asked[i];
    std::vector<std::int32_t> expected;
    for (Index step = 0; step < most; ++step) {
      const auto next = answers({longer}, 1, {weights[2 * i], weights[2 * i + 1]})[0][0];
      expected.push_back(next);
      longer.turns.back().prompt.push_back(next);
    }
    CAPTURE(i);
    CHECK(found[i] == expected);
  }
  CHECK(found != bench.answers(asked, -1));
  CHECK(answers(asked, most, {1, 0, 0, 1, 0, 1, 1, 0, 0, 1}) == bench.answers(asked, -1));
}

TEST_CASE("an answer ends before the end token, and others go on") {
  Bench<Branch> bench;
  const auto asked = bench.questions();
  const Tokens endless = bench.answers(asked, -1);
  Index cut = 0;
  Index whole = 0;
  for (std::int32_t end = 0; end < 11; ++end) {
    const Tokens ended = bench.answers(asked, end);
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const auto stop = std::find(endless[i].begin(), endless[i].end(), end);
      CHECK(ended[i] == std::vector<std::int32_t>(endless[i].begin(), stop));
      (stop == endless[i].end() ? whole : cut) += 1;
    }
  }
  CHECK(cut > 0);
  CHECK(whole > 0);
}

TEST_CASE("the tape records again after generation, and there must be room for the answer") {
  Bench<NoAdapter> bench;
  bench.answers(bench.questions(), 2);
  CHECK(bench.tiny.tape.recording());
  Example longest{0, 0, {{std::vector<std::int32_t>(29, 4), {}}}};
  longest.turns[0].prompt[0] = 1;
  CHECK(bench.answers({longest}, -1)[0].size() == most);  // 4 + 29 and 7 more that are read: 40
  longest.turns[0].prompt.push_back(4);
  CHECK_NOTHROW(bench.answers({{-1, 0, longest.turns}}, -1));
  longest.turns[0].prompt.resize(33, 4);
  check_mentions(error_of([&] { bench.answers({longest}, -1); }), "37 tokens", "answer of 8", "40");
}
