// Tickets: retries, faults, totals, what ends a reservation, and suspicion.

#include <algorithm>
#include <set>

#include "router.h"

namespace dualmap::test {
namespace {

constexpr double backoffMs = 500;

TEST(aTicketIsVoidAfterItsEnd) {
  Router router(2);
  const uint64_t ticket = router.place(1).ticket;
  router.core->end(ticket, 0);
  CHECK_EQUAL(router.core->ticketsInUse(), 0u);
  Placement placement;
  const char* why = "a ticket was used after its end";
  CHECK_DIES(router.core->end(ticket, 0), why);
  CHECK_DIES(router.core->firstToken(ticket, 0), why);
  CHECK_DIES(router.core->answered(ticket, 0), why);
  CHECK_DIES(router.core->suspect(ticket, 0), why);
  CHECK_DIES((void)router.core->retry(ticket, 0, &placement), why);
  // The next ticket lies in the same place and is another one.
  const uint64_t next = router.place(2).ticket;
  CHECK(next != ticket);
  CHECK_DIES(router.core->end(ticket, 0), why);
  CHECK_DIES(router.core->end(next + 1, 0), "unknown ticket");
  router.core->end(next, 0);
}

TEST(anAnswerNeedsAnInstance) {
  Router router(1);
  const uint64_t ticket = router.place(1).ticket;
  Placement placement;
  CHECK(!router.core->retry(ticket, 0, &placement));
  CHECK_DIES(router.core->firstToken(ticket, 0), "an answer without an instance");
  CHECK_DIES(router.core->answered(ticket, 0), "an answer without an instance");
  router.core->suspect(ticket, 0);  // nobody to suspect
  CHECK_EQUAL(router.slot(0).failures.load(), 0u);
  router.core->end(ticket, 0);
  CHECK(router.fleet.isIdle());
}

TEST(aRetryTakesTheOtherThenTheNextDistinct) {
  for (uint64_t name = 0; name < 20; ++name) {
    Router router(5);
    const Placement first = router.place(name);
    std::set<uint32_t> tried = {first.decision.chosen.slot};
    Placement placement;
    for (uint32_t attempt = 1; attempt < 5; ++attempt) {
      CHECK(router.core->retry(first.ticket, 0, &placement));
      const bool isOther = attempt == 1;
      CHECK_EQUAL(placement.decision.reason, isOther ? Reason::retryOther : Reason::retryNext);
      if (isOther) CHECK_EQUAL(placement.decision.chosen.slot, first.decision.other.slot);
      CHECK(tried.insert(placement.decision.chosen.slot).second);
      CHECK_EQUAL(router.slot(placement.decision.chosen.slot).holds.load(), 1u);
    }
    CHECK(!router.core->retry(first.ticket, 0, &placement));
    CHECK(router.fleet.isIdle());
    router.core->end(first.ticket, 0);
  }
}

TEST(aRetryLeavesSuspectsForLast) {
  Router router(4);
  const Placement first = router.place(1);
  const uint32_t other = first.decision.other.slot;
  router.slot(other).suspectUntilMs = 1000;
  Placement placement;
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK(router.core->retry(first.ticket, 999, &placement));
    CHECK(placement.decision.chosen.slot != other);
    CHECK_EQUAL(placement.decision.reason, Reason::retryNext);
  }
  CHECK(router.core->retry(first.ticket, 999, &placement));
  CHECK_EQUAL(placement.decision.chosen.slot, other);
  router.core->end(first.ticket, 0);
}

TEST(whoServesNobodyIsSaidSo) {
  Placement placement;
  const std::string body = R"({"model":"b","messages":[{"role":"user","content":"c"}]})";
  Router empty(0);
  CHECK_EQUAL(empty.placeBody(body, PromptKind::chat, &placement), PlaceStatus::noInstance);
  CHECK_EQUAL(empty.core->placeBare("", 0, &placement), PlaceStatus::noInstance);
  Router router(2);
  std::vector<RingMember> members = Fleet::membersOf({0, 1});
  for (RingMember& member : members) member.models = {xxh3("a")};
  Rings rings(router.fleet.state, 1);
  CHECK_EQUAL(rings.build(members, 1), Rings::BuildResult::built);
  CHECK_EQUAL(router.placeBody(body, PromptKind::chat, &placement), PlaceStatus::modelNotFound);
  CHECK_EQUAL(router.core->placeBare("b", 0, &placement), PlaceStatus::modelNotFound);
  CHECK_EQUAL(router.core->placeBare("a", 0, &placement), PlaceStatus::placed);
  router.core->end(placement.ticket, 0);
  router.fleet.setState(0, InstanceState::dead);
  router.fleet.setState(1, InstanceState::joining);
  CHECK_EQUAL(router.core->placeBare("a", 0, &placement), PlaceStatus::noInstance);
  CHECK(router.fleet.isIdle());
  CHECK_EQUAL(router.core->ticketsInUse(), 0u);
}

TEST(faultsReserveNothing) {
  Router router(2);
  Placement placement;
  const std::vector<std::pair<std::string, PlaceStatus>> bodies = {
      {"{", PlaceStatus::invalidJson},
      {R"({"messages":1})", PlaceStatus::invalidType},
      {R"({"messages":[]})", PlaceStatus::emptyPrompt},
      {R"({"messages":[{"role":"r","content":)" + repeated("[", 65) + repeated("]", 65) + "}]}",
       PlaceStatus::tooDeep}};
  for (const auto& [body, status] : bodies) {
    CHECK_EQUAL(router.placeBody(body, PromptKind::chat, &placement), status);
    if (body != "{") CHECK_EQUAL(std::string(placement.faultParam), "messages");
  }
  CHECK(router.fleet.isIdle());
  CHECK_EQUAL(router.core->ticketsInUse(), 0u);
}

TEST(embeddingsLeaveThePrefixCacheAlone) {
  Router router(1);
  const std::string text(4000, 'x');
  Placement placement;
  for (int i = 0; i < 2; ++i) {
    CHECK_EQUAL(
        router.placeBody(R"({"input":")" + text + R"("})", PromptKind::embedding, &placement),
        PlaceStatus::placed);
    CHECK_EQUAL(placement.decision.chosen.cachedTokens, 0u);
    router.core->end(placement.ticket, 0);
  }
  CHECK_EQUAL(router.slot(0).insertions.load(), 0u);
  for (const uint64_t cached : {0u, 7u * 128}) {
    CHECK_EQUAL(
        router.placeBody(R"({"prompt":")" + text + R"("})", PromptKind::completion, &placement),
        PlaceStatus::placed);
    CHECK_EQUAL(placement.decision.chosen.cachedTokens, cached);
    router.core->end(placement.ticket, 0);
  }
}

TEST(totalsCountEveryAttempt) {
  Router router(2);
  const Placement first = router.place(1);
  Placement second;
  CHECK(router.core->retry(first.ticket, 0, &second));
  router.core->end(first.ticket, 0);
  const Placement warm = router.place(1);
  router.core->end(warm.ticket, 0);
  uint64_t requests = 0;
  uint64_t prompt = 0;
  uint64_t cached = 0;
  for (const uint32_t index : {0u, 1u}) {
    requests += router.slot(index).requestsTotal;
    prompt += router.slot(index).promptTokensTotal;
    cached += router.slot(index).cachedTokensTotal;
  }
  CHECK_EQUAL(requests, 3u);
  CHECK_EQUAL(prompt, 3u * 512);
  CHECK_EQUAL(cached, 511u);
}

TEST(prefillsWithoutAStreamEndByEstimate) {
  Router router(1);
  Placement unary;
  const std::string body = R"({"prompt":")" + std::string(3996, 'x') + R"("})";
  CHECK_EQUAL(router.placeBody(body, PromptKind::completion, &unary, 1000), PlaceStatus::placed);
  const Placement streamed = router.place(1, 1000);
  InstanceSlot& slot = router.slot(0);
  router.core->look(1099.9);  // 1,000 tokens at 0.1 ms
  CHECK_EQUAL(slot.prefilling.read().requests, 2u);
  router.core->look(1100);
  CHECK_EQUAL(slot.prefilling.read().requests, 1u);
  CHECK_EQUAL(slot.decoding.read().tokens, 1000u);
  router.core->look(5999);
  CHECK_EQUAL(slot.prefilling.read().requests, 1u);
  router.core->end(unary.ticket, 0);
  router.core->end(streamed.ticket, 0);
  CHECK(router.fleet.isIdle());
}

// A thread that looked for what is over, or kept it in mind, would pay for requests of long ago.
TEST(nothingIsLookedForOnceItIsPrefilledOrOver) {
  Router router(2);
  const auto isLookedFor = [&] { return router.core->nextLookMs() < Queues::kNever; };
  CHECK(!isLookedFor());
  const uint64_t first = router.place(1).ticket;
  const uint64_t second = router.place(2).ticket;
  router.core->firstToken(first, 1);
  CHECK(isLookedFor());
  Placement placement;
  CHECK(router.core->retry(second, 2, &placement));
  CHECK(isLookedFor());
  router.core->end(second, 3);
  CHECK(!isLookedFor());
  router.core->end(first, 4);
  CHECK(!isLookedFor());
}

TEST(aBurstOfFailuresCountsOnce) {
  Router router(2);
  std::vector<Placement> burst;
  for (uint64_t name = 0; name < 10; ++name) burst.push_back(router.place(name));
  InstanceSlot& slot = router.slot(0);
  uint64_t failed = 0;
  for (const Placement& placement : burst) {
    if (placement.decision.chosen.slot != 0) continue;
    router.core->suspect(placement.ticket, 100 + static_cast<double>(failed++));
  }
  CHECK(failed > 1);
  CHECK_EQUAL(slot.failures.load(), 1u);
  CHECK_EQUAL(slot.failuresTotal.load(), failed);
  CHECK_EQUAL(slot.suspectUntilMs.load(), 100 + backoffMs);
  for (const Placement& placement : burst) router.core->end(placement.ticket, 0);
}

/// Places until somebody lands on slot 0, and how many did not.
Placement landOnZero(Router& router, double nowMs) {
  for (uint64_t name = 1000;; ++name) {
    const Placement placement = router.place(name, nowMs);
    if (placement.decision.chosen.slot == 0) return placement;
    router.core->end(placement.ticket, 0);
    if (name == 1100) {
      CHECK_THAT(false, "nobody lands on slot 0");
      return router.place(name, nowMs);
    }
  }
}

bool isAvoided(Router& router, double nowMs) {
  bool isAvoided = true;
  for (uint64_t name = 1000; name < 1050; ++name) {
    const Placement placement = router.place(name, nowMs);
    isAvoided = isAvoided && placement.decision.chosen.slot != 0;
    router.core->end(placement.ticket, 0);
  }
  return isAvoided;
}

TEST(suspicionGrowsWithEveryTrialThatFails) {
  Router router(3);
  InstanceSlot& slot = router.slot(0);
  double nowMs = 100;
  Placement placement = landOnZero(router, nowMs);
  for (uint32_t failures = 1; failures <= 12; ++failures) {
    router.core->suspect(placement.ticket, nowMs);
    router.core->end(placement.ticket, 0);
    const double wait = std::min(30'000.0, backoffMs * static_cast<double>(1u << (failures - 1)));
    CHECK_EQUAL(slot.failures.load(), failures);
    CHECK_EQUAL(slot.suspectUntilMs.load(), nowMs + wait);
    CHECK(isAvoided(router, nowMs + wait - 0.1));
    // Its time is up: one request tries it, and the others still go round it.
    nowMs += wait;
    placement = landOnZero(router, nowMs);
    CHECK_EQUAL(slot.suspectUntilMs.load(), nowMs + wait);
    CHECK(isAvoided(router, nowMs));
    nowMs += 10;
  }
  router.core->firstToken(placement.ticket, 0);
  CHECK_EQUAL(slot.failures.load(), 0u);
  CHECK_EQUAL(slot.suspectUntilMs.load(), 0.0);
  CHECK(!isAvoided(router, nowMs));
  router.core->end(placement.ticket, 0);
}

TEST(aTrialThatTellsNothingLeavesTheSuspicion) {
  Router router(3);
  Placement placement = landOnZero(router, 0);
  router.core->suspect(placement.ticket, 0);
  router.core->end(placement.ticket, 0);
  placement = landOnZero(router, 500);
  router.core->end(placement.ticket, 0);  // its client went away
  CHECK(isAvoided(router, 999));
  placement = landOnZero(router, 1000);
  router.core->answered(placement.ticket, 0);
  CHECK_EQUAL(router.slot(0).failures.load(), 0u);
  CHECK(!isAvoided(router, 1000));
  router.core->end(placement.ticket, 0);
}

// The other candidate is not held: by the time of a retry its slot may be another instance's.
TEST(aRetryGoesToNobodyOffTheRings) {
  for (uint64_t name = 0; name < 50; ++name) {
    Router router(3);
    const Placement placed = router.place(name);
    const uint32_t other = placed.decision.other.slot;
    std::vector<uint32_t> slots = {0, 1, 2};
    std::erase(slots, other);
    Rings rings(router.fleet.state, 1);
    CHECK_EQUAL(rings.build(Fleet::membersOf(slots), 1), Rings::BuildResult::built);
    Placement retried;
    CHECK(router.core->retry(placed.ticket, 0, &retried));
    CHECK(retried.decision.chosen.slot != other);
    CHECK(!router.core->retry(placed.ticket, 0, &retried));
    router.core->end(placed.ticket, 0);
  }
}

}  // namespace
}  // namespace dualmap::test
