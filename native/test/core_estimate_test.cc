// The estimate, the samples that it is fitted from, and the objective of one request.

#include "core/estimate.h"

#include <cmath>

#include "router.h"

namespace dualmap::test {
namespace {

/// A router whose first tokens become samples.
struct Sampled : Router {
  explicit Sampled(uint32_t instances, size_t rows = 16)
      : Router(instances), words(Samples::kHeadWords + rows * Samples::kRowWords) {
    core->samples().writeTo(words.data(), words.size());
  }
  [[nodiscard]] size_t count() const { return static_cast<size_t>(words[0]); }
  [[nodiscard]] std::vector<double> row(size_t index) const {
    const auto at = words.begin() + Samples::kHeadWords + index * Samples::kRowWords;
    return {at, at + Samples::kRowWords};
  }

  std::vector<double> words;
};

TEST(theEstimateIsItsSum) {
  Fleet fleet;
  InstanceSlot& slot = fleet.state.slot(fleet.add());
  slot.speed.baseMs = 7;
  slot.speed.perTokenMs = 0.5;
  slot.speed.perTokenContextMs = 0.25f;
  slot.speed.perRunningMs = 2;
  slot.decoding.add(100);
  slot.decoding.add(100);
  const double context = 10 * (100 - 5);
  CHECK_EQUAL(estimateTtftMs(slot, 30, 10, 100), 7 + 0.5 * 40 + 0.25 * context + 2 * 2);
}

TEST(thePublishedRuleIsTheSameSumWithoutTheOtherTerms) {
  Fleet fleet;
  InstanceSlot& slot = fleet.state.slot(fleet.add(1000, 0.16));
  slot.decoding.add(100);
  CHECK_EQUAL(estimateTtftMs(slot, 30, 10, 100), 0.16 * 40);
}

TEST(aFirstTokenTellsWhatWasKnownAtItsSending) {
  Sampled router(1);
  const Placement decoding = router.place(1);
  router.core->firstToken(decoding.ticket, 0);
  const Placement ahead = router.place(2);
  const Placement own = router.place(3);
  // What comes later is no part of it.
  const Placement behind = router.place(4);
  router.core->firstToken(ahead.ticket, 0, 60);
  CHECK_EQUAL(router.count(), 1u);
  router.core->firstToken(own.ticket, 0, 110);
  CHECK_EQUAL(router.count(), 2u);
  const double generation = router.slot(0).generation;
  const std::vector<double> expected = {0, generation, 512, 512, 512, 1, 110, 0.1 * 1024};
  CHECK(router.row(1) == expected);
  for (const Placement& placement : {decoding, ahead, own, behind}) {
    router.core->end(placement.ticket, 0);
  }
}

TEST(anAnswerWithoutAStreamIsASampleIfItComesBeforeItsPrefillWasExpectedToEnd) {
  Sampled router(1);
  const std::string body = R"({"prompt":")" + std::string(3996, 'x') + R"("})";
  Placement early;
  CHECK_EQUAL(router.placeBody(body, PromptKind::completion, &early, 1000), PlaceStatus::placed);
  router.core->firstToken(early.ticket, 1030);  // 100 ms were expected
  CHECK_EQUAL(router.count(), 1u);
  CHECK_EQUAL(router.row(0)[6], 30.0);
  router.core->end(early.ticket, 1030);
  Placement late;
  CHECK_EQUAL(router.placeBody(body, PromptKind::completion, &late, 2000), PlaceStatus::placed);
  router.core->look(2000 + late.decision.chosen.ttftEstimateMs);
  router.core->firstToken(late.ticket, 3000);  // it tells of the tokens made, too
  CHECK_EQUAL(router.count(), 1u);
  router.core->end(late.ticket, 3000);
}

TEST(aFirstTokenThatTellsOfSomethingElseIsNoSample) {
  Sampled router(3);
  // Nothing was measured.
  const Placement unmeasured = router.place(1);
  router.core->firstToken(unmeasured.ticket, 0);
  // A retried request waited elsewhere too.
  const Placement retried = router.place(2);
  Placement again;
  CHECK(router.core->retry(retried.ticket, 0, &again));
  router.core->firstToken(retried.ticket, 0, 50);
  // The engine has restarted since: what was ahead is gone.
  const Placement restarted = router.place(3);
  router.slot(restarted.decision.chosen.slot).generation += 1;
  router.core->firstToken(restarted.ticket, 0, 50);
  // No stream, no embedding.
  Placement unary;
  CHECK_EQUAL(router.placeBody(R"({"prompt":"a"})", PromptKind::completion, &unary),
              PlaceStatus::placed);
  router.core->firstToken(unary.ticket, 0, 50);
  Placement embedding;
  CHECK_EQUAL(router.placeBody(R"({"stream":true,"input":"a"})", PromptKind::embedding, &embedding),
              PlaceStatus::placed);
  router.core->firstToken(embedding.ticket, 0, 50);
  CHECK_EQUAL(router.count(), 0u);
  for (const Placement& placement : {unmeasured, retried, restarted, unary, embedding}) {
    router.core->end(placement.ticket, 0);
  }
}

TEST(fullSamplesDropWhatComes) {
  Sampled router(1, 4);
  for (uint64_t name = 0; name < 10; ++name) {
    const uint64_t ticket = router.place(name).ticket;
    router.core->firstToken(ticket, 0, static_cast<double>(1 + name));
    router.core->end(ticket, 0);
  }
  CHECK_EQUAL(router.count(), 4u);
  CHECK_EQUAL(router.row(3)[6], 4.0);
  router.words[0] = 0;
  const uint64_t ticket = router.place(11).ticket;
  router.core->firstToken(ticket, 0, 99);
  router.core->end(ticket, 0);
  CHECK_EQUAL(router.row(0)[6], 99.0);
}

// 1,000 tokens at 0.1 ms wait at the warm instance: an own SLO decides whether that is too long.
TEST(aRequestIsPlacedByItsOwnObjective) {
  const std::string body = R"({"prompt":")" + std::string(4'090, 'x') + R"("})";
  const auto reasonFor = [&](double sloTtftMs, double perTokenMs) {
    Fleet fleet;
    fleet.serve(2);
    CoreOptions options;
    options.placing.sloTtftMs = 100;
    options.placing.sloTtftMsPerToken = perTokenMs;
    Core core(fleet.state, 0, options);
    std::vector<char> padded(body.begin(), body.end());
    padded.resize(body.size() + kPaddingBytes);
    const auto place = [&](double slo, Placement* out) {
      return core.place(padded.data(), body.size(), padded.size(), PromptKind::completion, 0, {slo},
                        out);
    };
    Placement warming;
    CHECK_EQUAL(place(0, &warming), PlaceStatus::placed);
    core.end(warming.ticket, 0);
    fleet.state.slot(warming.decision.chosen.slot).prefilling.add(1'000);
    Placement placed;
    CHECK_EQUAL(place(sloTtftMs, &placed), PlaceStatus::placed);
    core.end(placed.ticket, 0);
    CHECK_EQUAL(
        placed.sloTtftMs,
        sloTtftMs > 0 ? sloTtftMs : 100 + perTokenMs * static_cast<double>(placed.promptTokens));
    return placed.decision.reason;
  };
  CHECK_EQUAL(reasonFor(0, 0), Reason::sloExceeded);
  CHECK_EQUAL(reasonFor(10'000, 0), Reason::warmWithinSlo);
  CHECK_EQUAL(reasonFor(0, 1), Reason::warmWithinSlo);
  CHECK_EQUAL(reasonFor(50, 1), Reason::sloExceeded);
}

}  // namespace
}  // namespace dualmap::test
