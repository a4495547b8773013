// The queues of the router where two things meet: instances that leave or die while requests wait,
// objectives and priorities at the ends of their ranges, threads that are gone.

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

CoreOptions shedding(CoreOptions options) {
  options.queue.latePolicy = LatePolicy::shed;
  return options;
}

bool isShed(QueueRouter& router, uint64_t ticket) {
  Placement placement;
  return router.core->nextClaim(&placement) == Waited::shed && placement.ticket == ticket;
}

/// A chat of about so many tokens, with a priority.
Placement placeChat(QueueRouter& router, size_t tokens, double priority, double sloTtftMs,
                    double nowMs) {
  std::string body = R"({"stream":true,"messages":[{"role":"user","content":")" +
                     std::string(tokens * 4, 'x') + "\"}]}";
  return router.placeChat(std::move(body), {sloTtftMs, priority}, nowMs);
}

TEST(prioritiesAtTheEndsOfTheirRangeStillCompare) {
  QueueRouter router(1, early());
  const uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t bulk = placeChat(router, 200, INT32_MAX, 100'000, 0).ticket;
  const uint64_t urgent = placeChat(router, 200, INT32_MIN, 0.001, 0).ticket;  // late on arrival
  router.core->end(busy, 1);
  CHECK_EQUAL(router.claimed().ticket, urgent);
  router.core->end(urgent, 2);
  CHECK_EQUAL(router.claimed().ticket, bulk);
  router.core->end(bulk, 3);
  CHECK(router.fleet.isIdle());
}

TEST(amongTheLateAndTheFeasibleTheMoreImportantGoesFirst) {
  QueueRouter router(1, early());
  uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t feasibleBulk = placeChat(router, 200, 1, 100'000, 0).ticket;
  const uint64_t lateDefault = placeChat(router, 200, 0, 0.001, 0).ticket;
  const uint64_t feasibleDefault = placeChat(router, 300, 0, 100'000, 0).ticket;
  for (const uint64_t next : {feasibleDefault, lateDefault, feasibleBulk, kNobody}) {
    router.core->end(busy, 1);
    busy = router.claimed().ticket;
    CHECK_EQUAL(busy, next);
  }
}

TEST(whatIsLateOnArrivalIsShedAtOnceUnlessThereIsRoom) {
  QueueRouter router(1, shedding(early()));
  const Placement admitted = router.place(1, 20'480, 0);  // 2 s, objective 1 s
  CHECK(!admitted.isWaiting);
  const Placement refused = router.place(2, 20'480, 0);
  CHECK(isShed(router, refused.ticket));
  router.core->end(refused.ticket, 0);
  router.core->end(admitted.ticket, 1);
  CHECK(router.fleet.isIdle());
}

TEST(aCandidateThatIsDeadKeepsNothingFromBeingShed) {
  QueueRouter router(2, shedding(late()));
  std::vector<uint64_t> busy;
  for (uint64_t name = 0; busy.size() < 2; ++name) {
    const Placement placement = router.place(name, 512, 0);
    placement.isWaiting ? router.core->end(placement.ticket, 0) : busy.push_back(placement.ticket);
  }
  const Placement waiting = router.place(77, 512, 0);
  CHECK(waiting.isWaiting);
  router.fleet.setState(waiting.decision.chosen.slot, InstanceState::dead);
  router.core->fleetChanged(1);
  double nowMs = 1;
  while (router.core->nextLookMs() < 2000) {
    nowMs = router.core->nextLookMs();
    router.core->look(nowMs);
    if (router.core->hasClaims()) break;
  }
  CHECK(isShed(router, waiting.ticket));
  router.core->end(waiting.ticket, nowMs);
  for (const uint64_t ticket : busy) router.core->end(ticket, nowMs);
  CHECK(router.fleet.isIdle());
}

TEST(whatWaitsForALeavingInstanceGetsAnotherCandidate) {
  QueueRouter router(4, late());
  std::vector<uint64_t> busy;
  for (uint64_t name = 0; busy.size() < 4; ++name) {
    const Placement placement = router.place(name, 512, 0);
    placement.isWaiting ? router.core->end(placement.ticket, 0) : busy.push_back(placement.ticket);
  }
  const Placement waiting = router.place(77, 512, 1);
  CHECK(waiting.isWaiting);
  for (const uint32_t leaving : {waiting.decision.first, waiting.decision.second}) {
    router.fleet.setState(leaving, InstanceState::draining);
    router.core->fleetChanged(2);
    // It does not even stand there as for its second choice: the slot will be that of another.
    CHECK_EQUAL(router.slot(leaving).standing.load(), 0u);
    uint32_t standing = 0;
    for (uint32_t slot = 0; slot < 4; ++slot) standing += router.slot(slot).standing.load();
    CHECK_EQUAL(standing, 2u);
  }
  router.core->end(waiting.ticket, 3);
  for (const uint64_t ticket : busy) router.core->end(ticket, 3);
  CHECK(router.fleet.isIdle());
}

TEST(boundEarlyNothingMovesToASlotThatIsOfAnotherInstanceByNow) {
  QueueRouter router(2, early());
  std::vector<uint64_t> busy;
  for (uint64_t name = 0; busy.size() < 2; ++name) {
    const Placement placement = router.place(name, 512, 0);
    placement.isWaiting ? router.core->end(placement.ticket, 0) : busy.push_back(placement.ticket);
  }
  const Placement waiting = router.place(77, 512, 1);
  CHECK(waiting.isWaiting);
  const uint32_t spare = waiting.decision.other.slot;
  CHECK(spare != kNone);
  // Left, and taken again by an instance that need not serve the same model.
  ++router.slot(spare).generation;
  for (const uint64_t ticket : busy) router.core->suspect(ticket, 2);
  CHECK_EQUAL(router.slot(spare).migrationsTotal.load(), 0u);
  router.core->end(waiting.ticket, 3);
  for (const uint64_t ticket : busy) router.core->end(ticket, 3);
  CHECK(router.fleet.isIdle());
}

TEST(fleetWideNobodyTakesWhatItDoesNotServe) {
  CoreOptions options = late();
  options.queue.isFleetWide = true;
  QueueRouter router(4, options);
  const Placement first = router.place(7, 512, 0);
  for (uint32_t slot = 0; slot < 4; ++slot) {
    const bool isOfPair = slot == first.decision.first || slot == first.decision.second;
    router.slot(slot).models = isOfPair ? 1 : 2;
    if (isOfPair) router.slot(slot).prefilling.add(9000);
  }
  const Placement waiting = router.place(7, 512, 1);
  CHECK(waiting.isWaiting);
  for (uint32_t slot = 0; slot < 4; ++slot) {
    if (router.slot(slot).models == 2) router.core->fleetChanged(2);
  }
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  // The warmest of all has served the model, and does so no more.
  for (uint32_t slot = 0; slot < 4; ++slot) {
    if (router.slot(slot).models == 1) continue;
    std::vector<uint64_t> chain(8);
    for (size_t i = 0; i < chain.size(); ++i) chain[i] = 7 * 1000 + i + 1;
    for (uint64_t& hash : chain) hash = xxh3(&hash, sizeof hash);
    PrefixIndex index(router.fleet.state);
    index.insert(chain.data(), 8, slot, 0);
  }
  const Placement next = router.place(7, 1024, 3);
  CHECK(next.isWaiting);
  CHECK_EQUAL(router.slot(next.decision.chosen.slot).models.load(), 1u);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
}

TEST(fleetWideWhatAnInstanceMayNotTakeDoesNotHideWhatWaitsForIt) {
  CoreOptions options = late();
  options.queue.isFleetWide = true;
  QueueRouter router(4, options);
  for (uint32_t slot = 0; slot < 4; ++slot) router.slot(slot).prefilling.add(9000);
  const Placement dear = router.place(7, 5120, 1);
  CHECK(dear.isWaiting);
  const auto isOfPair = [&](uint32_t slot) {
    return slot == dear.decision.first || slot == dear.decision.second;
  };
  for (uint32_t slot = 0; slot < 4; ++slot) router.slot(slot).models = isOfPair(slot) ? 1 : 2;
  // Cheaper ones, all of them for the other two.
  uint32_t count = 0;
  for (uint64_t name = 100; count < 80; ++name) {
    const Placement cheap = router.place(name, 128, 1);
    if (isOfPair(cheap.decision.first) || isOfPair(cheap.decision.second)) {
      router.core->end(cheap.ticket, 1);
    } else {
      ++count;
    }
  }
  router.slot(dear.decision.first).prefilling.subtract(9000);
  router.core->fleetChanged(2);
  CHECK_EQUAL(router.claimed().ticket, dear.ticket);
}

TEST(whoeverLooksKeepsTheTimesOfAThreadThatIsGone) {
  QueueRouter router(2, late());
  const Placement first = router.place(1, 5120, 0);
  const uint32_t warm = first.decision.chosen.slot;
  router.core->end(first.ticket, 100);
  router.fleet.setState(1 - warm, InstanceState::dead);
  const uint64_t busy = router.place(1001, 1280, 100).ticket;
  router.fleet.setState(1 - warm, InstanceState::serving);
  CoreOptions options = late();
  Core other(router.fleet.state, 1, options);
  const uint64_t waiting = router.place(1, 5120, 101).ticket;
  const double lookMs = router.core->nextLookMs();
  CHECK(lookMs < 250);
  // The thread that knows the time of the promise does not come to it; another one does.
  other.look(lookMs - 1);
  CHECK(!router.core->hasClaims());
  other.look(lookMs);
  CHECK_EQUAL(router.claimed().ticket, waiting);
  router.core->end(waiting, 300);
  router.core->end(busy, 300);
  CHECK(router.fleet.isIdle());
}

TEST(whoeverGaveUpIsNotSentThoughItWasClaimed) {
  QueueRouter router(1, early());
  const uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t givesUp = router.place(2, 512, 0).ticket;
  const uint64_t stays = router.place(3, 512, 0).ticket;
  router.core->end(busy, 1);  // claims for the first of them
  router.core->stopWaiting(givesUp, 2);
  router.core->stopWaiting(givesUp, 2);  // it waits no more
  CHECK_EQUAL(router.claimed().ticket, stays);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  CHECK_EQUAL(router.slot(0).requestsTotal.load(), 2u);
  router.core->end(givesUp, 3);
  router.core->end(stays, 3);
  CHECK(router.fleet.isIdle());
  CHECK_EQUAL(router.core->waiting(), 0u);
}

TEST(aClaimOfAnInstantBeforeTheArrivalHasNotWaited) {
  QueueRouter router(1, early());
  const uint64_t busy = router.place(1, 512, 10).ticket;
  const uint64_t waiting = router.place(2, 512, 10).ticket;
  router.core->end(busy, 9.5);  // another thread read the clock before it got the lock
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, waiting);
  CHECK_EQUAL(claimed.queuedMs, 0.0);
}

}  // namespace
}  // namespace dualmap::test
