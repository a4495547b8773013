// The queues of the router, rule by rule: who waits, who is claimed by whom and when.

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

TEST(anInstanceWithRoomIsPassedTo) {
  QueueRouter router(1, early());
  CHECK(!router.place(1, 512, 0).isWaiting);
  CHECK_EQUAL(router.core->waiting(), 0u);
  CHECK_EQUAL(router.slot(0).prefilling.read().tokens, 512u);
}

TEST(theWindowHoldsTheRestBackAndTheFirstTokenLetsItIn) {
  CoreOptions options = early(QueueOrder::fcfs);
  options.queue.prefillWindowTokens = 600;
  QueueRouter router(1, options);
  const Placement first = router.place(1, 512, 0);
  const Placement second = router.place(2, 512, 0);
  const Placement third = router.place(3, 512, 0);
  CHECK(!first.isWaiting && !second.isWaiting && third.isWaiting);
  CHECK_EQUAL(router.slot(0).queued.read().tokens, 512u);
  router.core->firstToken(first.ticket, 40);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, third.ticket);
  CHECK_EQUAL(claimed.queuedMs, 40.0);
  CHECK_EQUAL(claimed.decision.chosen.slot, 0u);
  CHECK_EQUAL(router.slot(0).queued.read().requests, 0u);
  CHECK_EQUAL(router.slot(0).prefilling.read().requests, 2u);
  for (const Placement& one : {first, second, third}) router.core->end(one.ticket, 50);
  CHECK(router.fleet.isIdle());
}

TEST(aRequestLargerThanTheWindowIsAdmittedAlone) {
  QueueRouter router(1, early());
  CHECK(!router.place(1, 100'000, 0).isWaiting);
  CHECK(router.place(2, 128, 0).isWaiting);
}

// Ends whatever is prefilling at instance 0, and says who comes next.
uint64_t nextAfter(QueueRouter& router, uint64_t* busy, double nowMs) {
  router.core->end(*busy, nowMs);
  *busy = router.claimed().ticket;
  return *busy;
}

TEST(deadlineOrderTakesTheCheapestThatCanBeInTimeThenTheOldest) {
  QueueRouter router(1, early());
  uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t hopeless = router.place(2, 20'480, 0).ticket;  // 2 s, objective 1 s
  const uint64_t dear = router.place(3, 5120, 1).ticket;
  const uint64_t cheap = router.place(4, 256, 2).ticket;
  CHECK_EQUAL(nextAfter(router, &busy, 10), cheap);
  CHECK_EQUAL(nextAfter(router, &busy, 20), dear);
  CHECK_EQUAL(nextAfter(router, &busy, 30), hopeless);
  CHECK_EQUAL(nextAfter(router, &busy, 40), kNobody);
}

TEST(whatBecomesLateGoesBehindWhatCanStillBeInTime) {
  QueueRouter router(1, early());
  uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t cheap = router.place(2, 256, 0).ticket;
  const uint64_t dear = router.place(3, 2560, 900).ticket;
  CHECK_EQUAL(nextAfter(router, &busy, 1000), dear);
  CHECK_EQUAL(nextAfter(router, &busy, 1300), cheap);
}

TEST(hitOrderTakesTheMostCachedFirst) {
  QueueRouter router(1, early(QueueOrder::hit));
  uint64_t busy = router.place(1, 1024, 0).ticket;
  const uint64_t cold = router.place(2, 256, 1).ticket;
  const uint64_t warm = router.place(1, 1024, 2).ticket;
  CHECK_EQUAL(nextAfter(router, &busy, 10), warm);
  CHECK_EQUAL(nextAfter(router, &busy, 20), cold);
}

TEST(fcfsOrderTakesTheOldest) {
  QueueRouter router(1, early(QueueOrder::fcfs));
  uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t first = router.place(2, 2560, 1).ticket;
  const uint64_t second = router.place(3, 128, 2).ticket;
  CHECK_EQUAL(nextAfter(router, &busy, 10), first);
  CHECK_EQUAL(nextAfter(router, &busy, 20), second);
}

TEST(aLateRequestHasItsTurnUnderAStreamOfFreshOnes) {
  QueueRouter router(1, early());
  uint64_t busy = router.place(1, 128, 0).ticket;
  const uint64_t hopeless = router.place(2, 20'480, 0).ticket;
  int turns = 0;
  for (uint64_t name = 3; busy != hopeless; ++name, ++turns) {
    CHECK(turns <= 16);
    (void)router.place(name, 128, 1.0 * turns);
    (void)nextAfter(router, &busy, 1.0 * turns);
  }
}

TEST(whatCannotBeInTimeIsShedWhenSoConfigured) {
  CoreOptions options = early();
  options.queue.latePolicy = LatePolicy::shed;
  QueueRouter router(1, options);
  const uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t cheap = router.place(2, 1280, 0).ticket;
  CHECK(router.core->nextLookMs() < 900);
  router.core->look(router.core->nextLookMs());
  Placement placement;
  CHECK_EQUAL(router.core->nextClaim(&placement), Waited::shed);
  CHECK_EQUAL(placement.ticket, cheap);
  router.core->end(cheap, 900);
  router.core->end(busy, 900);
  CHECK(router.fleet.isIdle());
}

TEST(aFullQueueRefuses) {
  CoreOptions options = early();
  QueueRouter router(1, options);
  const uint32_t places = router.fleet.state.capacities().waitingMax;
  const uint64_t busy = router.place(0, 512, 0).ticket;
  std::vector<uint64_t> waiting;
  for (uint32_t i = 1; i <= places; ++i) waiting.push_back(router.place(i, 512, 0).ticket);
  Placement placement;
  CHECK_EQUAL(router.tryPlace(99'999, 512, 0, &placement), PlaceStatus::queueFull);
  CHECK_EQUAL(router.core->ticketsInUse(), places + 1);
  router.core->end(waiting.back(), 0);
  waiting.pop_back();
  waiting.push_back(router.place(88'888, 512, 0).ticket);
  for (const uint64_t ticket : waiting) router.core->end(ticket, 1);
  router.core->end(busy, 1);
  CHECK(router.fleet.isIdle());
  CHECK_EQUAL(router.core->waiting(), 0u);
}

TEST(whoLeavesIsGoneFromEveryQueue) {
  QueueRouter router(2, late());
  const uint64_t a = router.place(1, 512, 0).ticket;
  const uint64_t b = router.place(2, 512, 0).ticket;
  const Placement waiting = router.place(3, 512, 0);
  CHECK(waiting.isWaiting);
  CHECK_EQUAL(router.slot(0).standing.load(), 1u);
  CHECK_EQUAL(router.slot(1).standing.load(), 1u);
  router.core->end(waiting.ticket, 1);
  CHECK_EQUAL(router.slot(0).standing.load(), 0u);
  CHECK_EQUAL(router.slot(1).standing.load(), 0u);
  router.core->end(a, 2);
  router.core->end(b, 2);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  CHECK(router.fleet.isIdle());
}

TEST(aClaimOfSomebodyWhoLeftGivesItsRoomToTheNext) {
  QueueRouter router(1, early(QueueOrder::fcfs));
  const uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t leaves = router.place(2, 512, 0).ticket;
  const uint64_t stays = router.place(3, 512, 0).ticket;
  router.core->end(busy, 1);    // claims for `leaves`, who does not know yet
  router.core->end(leaves, 2);  // and never reads it
  CHECK_EQUAL(router.claimed().ticket, stays);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->end(stays, 3);
  CHECK(router.fleet.isIdle());
}

// Two instances, the prefix of name 1 warm on one of them, both idle at 100 ms.
struct WarmPair : QueueRouter {
  explicit WarmPair(const CoreOptions& options = late()) : QueueRouter(2, options) {
    const Placement first = place(1, 5120, 0);
    warm = first.decision.chosen.slot;
    cold = 1 - warm;
    core->end(first.ticket, 100);
  }
  /// Keeps an instance busy with so many tokens; its prefix goes there by being placed when the
  /// other one does not serve.
  uint64_t keepBusy(uint32_t which, uint64_t tokens, double nowMs) {
    fleet.setState(1 - which, InstanceState::dead);
    const Placement placement = place(1000 + which, tokens, nowMs);
    CHECK(!placement.isWaiting && placement.decision.chosen.slot == which);
    fleet.setState(1 - which, InstanceState::serving);
    return placement.ticket;
  }
  uint32_t warm, cold;
};

TEST(aWarmRequestWaitsForItsWarmInstanceWhileThatIsSoon) {
  WarmPair pair;
  const uint64_t busy = pair.keepBusy(pair.warm, 1280, 100);  // 128 ms; cold would take 512
  const Placement waiting = pair.place(1, 5120, 101);
  CHECK(waiting.isWaiting);
  pair.core->firstToken(busy, 220);
  const Placement claimed = pair.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, pair.warm);
  CHECK(claimed.decision.reason != Reason::coldClaim);
  CHECK_EQUAL(pair.slot(pair.cold).coldClaimsTotal.load(), 0u);
}

TEST(aColdInstanceTakesWhatWouldWaitTooLong) {
  WarmPair pair;
  (void)pair.keepBusy(pair.warm, 9000, 100);  // 900 ms; cold takes 512
  const Placement waiting = pair.place(1, 5120, 101);
  const Placement claimed = pair.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, pair.cold);
  CHECK_EQUAL(claimed.decision.reason, Reason::coldClaim);
  CHECK_EQUAL(pair.slot(pair.cold).coldClaimsTotal.load(), 1u);
}

TEST(fleetWideAnInstanceThatIsNoCandidateTakesWhatTheCandidatesHaveNoRoomFor) {
  for (const bool isFleetWide : {false, true}) {
    CoreOptions options = late();
    options.queue.isFleetWide = isFleetWide;
    QueueRouter router(4, options);
    const Placement first = router.place(7, 512, 0);
    // Both candidates of the same prefix are busy with others.
    InstanceSlot& one = router.slot(first.decision.first);
    InstanceSlot& two = router.slot(first.decision.second);
    one.prefilling.add(9000);
    two.prefilling.add(9000);
    const Placement again = router.place(7, 512, 1);
    const Placement claimed = router.claimed();
    CHECK_EQUAL(claimed.ticket, isFleetWide ? again.ticket : kNobody);
    if (isFleetWide) {
      const uint32_t chosen = claimed.decision.chosen.slot;
      CHECK(chosen != first.decision.first && chosen != first.decision.second);
      CHECK_EQUAL(claimed.decision.reason, Reason::coldClaim);
      // Now that instance is the warmest, whatever the ring says.
      router.core->end(claimed.ticket, 100);
      one.prefilling.subtract(9000);
      two.prefilling.subtract(9000);
      router.core->end(first.ticket, 100);
    }
  }
}

TEST(fleetWideTheWarmestOfAllIsAskedFirst) {
  CoreOptions options = late();
  options.queue.isFleetWide = true;
  QueueRouter router(4, options);
  const Placement first = router.place(7, 512, 0);
  router.core->end(first.ticket, 50);
  // An instance off the pair holds a longer prefix of the next turn.
  uint32_t stranger = 0;
  while (stranger == first.decision.first || stranger == first.decision.second) ++stranger;
  std::vector<uint64_t> chain(8);
  for (size_t i = 0; i < chain.size(); ++i) chain[i] = 7 * 1000 + i + 1;
  for (uint64_t& hash : chain) hash = xxh3(&hash, sizeof hash);
  PrefixIndex index(router.fleet.state);
  index.insert(chain.data(), 8, stranger, 0);
  const Placement next = router.place(7, 1024, 100);
  CHECK(!next.isWaiting);
  CHECK_EQUAL(next.decision.chosen.slot, stranger);
  CHECK_EQUAL(next.decision.chosen.cachedTokens, 1023u);
  router.core->end(next.ticket, 200);
  CHECK(router.fleet.isIdle());
}

TEST(aPromiseThatIsNotKeptEndsThePatience) {
  WarmPair pair;
  (void)pair.keepBusy(pair.warm, 1280, 100);
  const Placement waiting = pair.place(1, 5120, 101);
  CHECK(waiting.isWaiting);
  // The warm one was to begin with it at 101 + 128 ms; its first token does not come.
  const double lookMs = pair.core->nextLookMs();
  CHECK(lookMs > 229 && lookMs < 235);
  pair.core->look(lookMs - 1);
  CHECK_EQUAL(pair.claimed().ticket, kNobody);
  pair.core->look(lookMs);
  const Placement claimed = pair.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, pair.cold);
}

TEST(aSuspectLeavesWhatWaitsToTheOther) {
  WarmPair pair;
  const uint64_t busy = pair.keepBusy(pair.warm, 1280, 100);
  const Placement waiting = pair.place(1, 5120, 101);
  CHECK(waiting.isWaiting);
  pair.core->suspect(busy, 110);
  const Placement claimed = pair.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, pair.cold);
}

TEST(boundEarlyARequestMovesFromASuspectToItsOtherCandidate) {
  WarmPair pair(early());
  const uint64_t busy = pair.keepBusy(pair.warm, 1280, 100);
  const uint64_t busyToo = pair.keepBusy(pair.cold, 1280, 100);
  const Placement waiting = pair.place(1, 5120, 101);
  CHECK(waiting.isWaiting);
  CHECK_EQUAL(waiting.decision.chosen.slot, pair.warm);
  pair.core->suspect(busy, 110);
  CHECK_EQUAL(pair.slot(pair.cold).queued.read().requests, 1u);
  CHECK_EQUAL(pair.slot(pair.cold).migrationsTotal.load(), 1u);
  pair.core->firstToken(busyToo, 120);
  CHECK_EQUAL(pair.claimed().decision.chosen.slot, pair.cold);
}

TEST(whatWaitsForTheDeadGoesToTheNextDistinctInstances) {
  QueueRouter router(4, late());
  std::vector<uint64_t> busy;
  for (uint64_t name = 0; busy.size() < 4; ++name) {
    const Placement placement = router.place(name, 512, 0);
    if (!placement.isWaiting)
      busy.push_back(placement.ticket);
    else
      router.core->end(placement.ticket, 0);
  }
  const Placement waiting = router.place(77, 512, 1);
  CHECK(waiting.isWaiting);
  for (const uint32_t dead : {waiting.decision.first, waiting.decision.second}) {
    router.fleet.setState(dead, InstanceState::dead);
  }
  router.core->fleetChanged(2);
  for (uint32_t slot = 0; slot < 4; ++slot) {
    const bool isDead = slot == waiting.decision.first || slot == waiting.decision.second;
    CHECK_EQUAL(router.slot(slot).standing.load(), isDead ? 0u : 1u);
  }
  for (const uint64_t ticket : busy) router.core->end(ticket, 10);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.queuedMs, 9.0);
  for (const uint32_t slot : {claimed.decision.first, claimed.decision.second}) {
    CHECK(slot != waiting.decision.first && slot != waiting.decision.second);
  }
  router.core->end(waiting.ticket, 20);
  CHECK(router.fleet.isIdle());
}

TEST(anInstanceThatComesBackTakesWhatWaitsForIt) {
  QueueRouter router(1, early());
  const uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t waiting = router.place(2, 512, 0).ticket;
  router.fleet.setState(0, InstanceState::dead);
  router.core->end(busy, 1);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.fleet.setState(0, InstanceState::serving);
  router.core->fleetChanged(2);
  CHECK_EQUAL(router.claimed().ticket, waiting);
}

TEST(aRequestWithoutAStreamGivesItsRoomBackAtItsEstimate) {
  QueueRouter router(1, early());
  std::string body =
      R"({"messages":[{"role":"user","content":")" + std::string(2048, 'x') + "\"}]}";
  const size_t bytes = body.size();
  body.resize(bytes + 64);
  Placement unary;
  CHECK_EQUAL(router.core->place(body.data(), bytes, body.size(), PromptKind::chat, 0, {}, &unary),
              PlaceStatus::placed);
  const uint64_t waiting = router.place(2, 512, 0).ticket;
  const double dueMs = unary.decision.chosen.ttftEstimateMs;
  CHECK_EQUAL(router.core->nextLookMs(), dueMs);
  router.core->look(dueMs - 0.1);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->look(dueMs);
  CHECK_EQUAL(router.claimed().ticket, waiting);
}

TEST(aFirstTokenThatNeverComesKeepsNobodyWaitingForEver) {
  QueueRouter router(1, early());
  const uint64_t stuck = router.place(1, 512, 0).ticket;
  const uint64_t waiting = router.place(2, 512, 0).ticket;
  router.core->look(4999);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->look(5000);
  CHECK_EQUAL(router.claimed().ticket, waiting);
  router.core->firstToken(stuck, 6000);
  router.core->end(stuck, 6000);
  router.core->end(waiting, 6000);
  CHECK(router.fleet.isIdle());
}

}  // namespace
}  // namespace dualmap::test
