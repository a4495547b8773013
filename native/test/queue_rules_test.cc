// Rules of the queues that show only in a corner made for them: each of these tests is the one that
// goes red when its rule is broken.

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

CoreOptions fleetWide() {
  CoreOptions options = late();
  options.queue.isFleetWide = true;
  return options;
}

TEST(theLateAreServedOldestFirstWhateverTheyCost) {
  QueueRouter router(1, early());
  uint64_t busy = router.place(1, 512, 0).ticket;
  const uint64_t oldest = router.place(2, 2560, 0).ticket;
  const uint64_t cheapest = router.place(3, 256, 1).ticket;
  const uint64_t lateOnArrival = router.place(4, 20'480, 2).ticket;
  for (const uint64_t next : {oldest, cheapest, lateOnArrival, kNobody}) {
    router.core->end(busy, 2000);
    busy = router.claimed().ticket;
    CHECK_EQUAL(busy, next);
  }
}

TEST(aLongPrefillIsWaitedForEightTimesItsEstimate) {
  QueueRouter router(1, early());
  (void)router.place(1, 10'000, 0);  // 1 s
  const uint64_t waiting = router.place(2, 512, 0).ticket;
  router.core->look(7999);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->look(8000);
  CHECK_EQUAL(router.claimed().ticket, waiting);
}

TEST(theStallOfAnAttemptThatFailedIsNotThatOfTheNextOne) {
  QueueRouter router(2, early());
  Placement placement = router.place(1, 512, 0);
  CHECK(router.core->retry(placement.ticket, 3000, &placement));
  const InstanceSlot& next = router.slot(placement.decision.chosen.slot);
  router.core->look(5000);
  CHECK_EQUAL(next.prefilling.read().requests, 1u);
  router.core->look(8000);
  CHECK_EQUAL(next.prefilling.read().requests, 0u);
}

TEST(whatIsLateOnArrivalGoesToTheOtherIfThatHasRoom) {
  CoreOptions options = late();
  options.queue.latePolicy = LatePolicy::shed;
  QueueRouter router(2, options);
  const Placement first = router.place(1, 512, 0);
  router.core->end(first.ticket, 50);
  const uint32_t warm = first.decision.chosen.slot;
  router.slot(warm).prefilling.add(9000);
  const Placement hopeless = router.place(1, 20'480, 50);  // 2 s, objective 1 s
  CHECK(hopeless.isWaiting);
  CHECK_EQUAL(hopeless.decision.chosen.slot, warm);
  Placement placement;
  CHECK_EQUAL(router.core->nextClaim(&placement), Waited::placed);
  CHECK_EQUAL(placement.decision.chosen.slot, 1 - warm);
}

TEST(whatOneCandidateCanStillServeInTimeIsNotShed) {
  CoreOptions options = late();
  options.queue.latePolicy = LatePolicy::shed;
  QueueRouter router(2, options);
  const uint64_t first = router.place(1, 5120, 0).ticket;
  router.core->end(first, 100);
  for (const uint32_t slot : {0, 1}) router.slot(slot).prefilling.add(9000);
  const uint64_t waiting = router.place(1, 5120, 100).ticket;
  // Late at the cold one from 588 ms on, at the warm one from 1100 ms on.
  router.core->look(700);
  CHECK(!router.core->hasClaims());
  CHECK(router.core->nextLookMs() > 1000);
  router.core->look(router.core->nextLookMs());
  Placement placement;
  CHECK_EQUAL(router.core->nextClaim(&placement), Waited::shed);
  router.core->end(waiting, 1200);
}

TEST(theOwnerOfAClaimIsWokenOnceUntilItReadsItsMail) {
  CoreOptions options = early(QueueOrder::fcfs);
  options.queue.prefillWindowTokens = 600;
  QueueRouter router(1, options);
  Core other(router.fleet.state, 1, options);
  uint32_t wakes = 0;
  router.core->setWake([](void* data) { ++*static_cast<uint32_t*>(data); }, &wakes);
  Placement busy[2];
  for (uint64_t at = 0; at < 2; ++at) {
    const uint64_t chain[] = {at + 1, at + 11, at + 21, at + 31};
    CHECK_EQUAL(other.placeChain(chain, 4, 512, 0, 0, &busy[at]), PlaceStatus::placed);
  }
  const uint64_t one = router.place(1, 512, 0).ticket;
  const uint64_t two = router.place(2, 512, 0).ticket;
  other.firstToken(busy[0].ticket, 10);
  CHECK_EQUAL(wakes, 1u);
  other.firstToken(busy[1].ticket, 10);
  CHECK_EQUAL(wakes, 1u);
  CHECK_EQUAL(router.claimed().ticket, one);
  CHECK_EQUAL(router.claimed().ticket, two);
  const uint64_t three = router.place(3, 512, 20).ticket;
  router.core->firstToken(one, 30);  // its own claim: it looks by itself
  CHECK_EQUAL(wakes, 1u);
  CHECK_EQUAL(router.claimed().ticket, three);
}

TEST(aLookKeepsTheTimesThatAreStillToCome) {
  QueueRouter router(2, early(QueueOrder::fcfs));
  uint64_t busy[2];
  for (uint64_t& ticket : busy) ticket = router.place(&ticket - busy, 512, 0).ticket;
  for (const uint64_t name : {2, 3}) CHECK(router.place(name, 512, 0).isWaiting);
  for (const uint32_t slot : {0, 1}) {
    CHECK_EQUAL(router.slot(slot).standing.load(), 1u);
    router.slot(slot).failures = 1;
    router.slot(slot).suspectUntilMs = slot == 0 ? 500 : 700;
  }
  for (const uint64_t ticket : busy) router.core->end(ticket, 10);
  for (const double lookMs : {500, 700}) {
    CHECK_EQUAL(router.core->nextLookMs(), lookMs);
    router.core->look(lookMs);
    CHECK(router.claimed().ticket != kNobody);
    CHECK_EQUAL(router.claimed().ticket, kNobody);
  }
}

// Instance 0 holds the prefixes 1 and 2; both instances prefill, 0 for 128 ms from 100 ms on.
struct WarmAndCold : QueueRouter {
  explicit WarmAndCold(const CoreOptions& options = late()) : QueueRouter(2, options) {
    fleet.setState(1, InstanceState::dead);
    for (const uint64_t name : {1, 2}) core->end(place(name, 5120, 0).ticket, 50);
    busyWarm = place(1000, 1280, 100).ticket;
    fleet.setState(1, InstanceState::serving);
    fleet.setState(0, InstanceState::dead);
    busyCold = place(1001, 1280, 100).ticket;
    fleet.setState(0, InstanceState::serving);
  }
  uint64_t busyWarm, busyCold;
};

TEST(anInstanceLooksAgainWhenTheFirstOfItsPromisesIsOver) {
  WarmAndCold router;
  (void)router.place(1, 5120 + 1024, 101);  // begins at 280 ms
  (void)router.place(2, 5120 + 512, 101);   // begins at 229 ms
  router.core->firstToken(router.busyCold, 102);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  CHECK(router.core->nextLookMs() > 229 && router.core->nextLookMs() < 235);
}

TEST(whatIsLateMovesFromASuspectToo) {
  WarmAndCold router(early());
  const Placement hopeless = router.place(1, 20'480, 101);
  CHECK(hopeless.isWaiting);
  const uint32_t from = hopeless.decision.chosen.slot;
  router.core->suspect(from == 0 ? router.busyWarm : router.busyCold, 110);
  CHECK_EQUAL(router.slot(from).standing.load(), 0u);
  CHECK_EQUAL(router.slot(1 - from).standing.load(), 1u);
}

TEST(whatMovesBackToAnInstanceThatIsFasterNowIsNotLateThere) {
  WarmAndCold router(early());
  const Placement moves = router.place(3, 5120, 101);  // late from 589 ms on
  const uint32_t from = moves.decision.chosen.slot;
  const uint64_t busy[] = {router.busyWarm, router.busyCold};
  router.core->fleetChanged(600);  // all instances look at their queues
  router.core->suspect(busy[from], 600);
  router.slot(from).suspectUntilMs = 0;
  router.slot(from).speed.perTokenMs = 0.01;
  router.core->suspect(busy[1 - from], 610);
  CHECK_EQUAL(router.slot(from).standing.load(), 1u);
  router.core->end(moves.ticket, 620);
  for (const uint64_t ticket : busy) router.core->end(ticket, 620);
  CHECK(router.fleet.isIdle());
}

TEST(aDeadCandidateMayComeBack) {
  QueueRouter router(4, late());
  for (uint32_t slot = 0; slot < 4; ++slot) router.slot(slot).prefilling.add(9000);
  const Placement waiting = router.place(7, 512, 0);
  CHECK(waiting.isWaiting);
  router.fleet.setState(waiting.decision.first, InstanceState::dead);
  router.core->fleetChanged(1);
  CHECK_EQUAL(router.slot(waiting.decision.first).standing.load(), 1u);
  CHECK_EQUAL(router.slot(waiting.decision.second).standing.load(), 1u);
}

// Sixteen instances, of which the pair of one prefix has no room; the first is not of the pair.
struct BusyPairOfMany : QueueRouter {
  BusyPairOfMany() : QueueRouter(16, fleetWide()) {
    do {
      const Placement placement = place(++name, 128, 0);
      pair[0] = placement.decision.first;
      pair[1] = placement.decision.second;
      core->end(placement.ticket, 0);
    } while (isOfPair(0));
    for (const uint32_t slot : pair) this->slot(slot).prefilling.add(9000);
  }
  bool isOfPair(uint32_t slot) const { return slot == pair[0] || slot == pair[1]; }
  /// Lets an instance prefill something.
  uint64_t keepBusy(uint32_t which, double nowMs) {
    for (uint32_t slot = 0; slot < 16; ++slot) {
      if (slot != which) fleet.setState(slot, InstanceState::dead);
    }
    const Placement placement = place(1000 + which, 512, nowMs);
    CHECK(!placement.isWaiting && placement.decision.chosen.slot == which);
    for (uint32_t slot = 0; slot < 16; ++slot) fleet.setState(slot, InstanceState::serving);
    return placement.ticket;
  }
  uint64_t name = 0;
  uint32_t pair[2];
};

TEST(fleetWideThoseThatHaveNoRoomAreNotAskedInVain) {
  BusyPairOfMany router;
  const uint64_t busy = router.keepBusy(0, 0);
  for (uint32_t slot = 1; slot < 16; ++slot) {
    if (!router.isOfPair(slot)) router.slot(slot).prefilling.add(9000);
  }
  // Each asks eight: then it is known of all that they have no room.
  for (int i = 0; i < 2; ++i) {
    const Placement waiting = router.place(router.name, 512, 1);
    CHECK(!router.core->hasClaims());
    router.core->end(waiting.ticket, 1);
  }
  router.core->firstToken(busy, 2);
  const Placement waiting = router.place(router.name, 512, 3);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, 0u);
}

TEST(fleetWideThoseThatServeOtherModelsAreNotAskedInVain) {
  BusyPairOfMany router;
  for (uint32_t slot = 0; slot < 16; ++slot) {
    router.slot(slot).models = slot == 0 || router.isOfPair(slot) ? 1 : 2;
  }
  const Placement waiting = router.place(router.name, 512, 3);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, 0u);
}

TEST(fleetWideWhatBecomesLateGoesBehindForAStrangerToo) {
  BusyPairOfMany router;
  const uint64_t busy = router.keepBusy(0, 0);
  for (uint32_t slot = 1; slot < 16; ++slot) {
    if (!router.isOfPair(slot)) router.slot(slot).prefilling.add(9000);
  }
  const uint64_t cheap = router.place(router.name, 256, 0).ticket;
  const uint64_t dear = router.place(router.name, 2560, 900).ticket;
  router.core->firstToken(busy, 1000);
  CHECK_EQUAL(router.claimed().ticket, dear);
  router.core->firstToken(dear, 1300);
  CHECK_EQUAL(router.claimed().ticket, cheap);
}

TEST(fleetWideASuspectLeavesWhatWaitsToStrangersToo) {
  QueueRouter router(4, fleetWide());
  const Placement first = router.place(7, 5120, 0);
  router.core->end(first.ticket, 50);
  const uint32_t warm = first.decision.chosen.slot;
  router.slot(first.decision.first + first.decision.second - warm).prefilling.add(9000);
  const Placement busy = router.place(7, 5120 + 1280, 100);  // 128 ms; elsewhere 512
  CHECK_EQUAL(busy.decision.chosen.slot, warm);
  const Placement waiting = router.place(7, 5120, 101);
  CHECK(waiting.isWaiting && !router.core->hasClaims());
  router.core->suspect(busy.ticket, 110);
  CHECK_EQUAL(router.claimed().ticket, waiting.ticket);
}

// One instance with room for much, that has failed and for which eight requests wait.
struct LoneSuspect : QueueRouter {
  LoneSuspect() : QueueRouter(1, options()) {
    const uint64_t fails = place(0, 4096, 0).ticket;
    for (uint64_t name = 1; name <= 8; ++name) (void)place(name, 128, 0);
    CHECK_EQUAL(core->waiting(), 8u);
    core->suspect(fails, 10);
    core->end(fails, 10);
  }
  static CoreOptions options() {
    CoreOptions options = early(QueueOrder::fcfs);
    options.queue.prefillWindowTokens = 4096;
    return options;
  }
  /// Who are claimed now, and no sooner.
  std::vector<uint64_t> claimedAt(double nowMs) {
    CHECK_EQUAL(core->nextLookMs(), nowMs);
    core->look(nowMs - 1);
    CHECK(!core->hasClaims());
    core->look(nowMs);
    return allClaimed();
  }
  std::vector<uint64_t> allClaimed() {
    std::vector<uint64_t> tickets;
    for (uint64_t one = claimed().ticket; one != kNobody; one = claimed().ticket) {
      tickets.push_back(one);
    }
    return tickets;
  }
};

TEST(aSuspectWithoutAnOtherIsTriedWithOneAndTheRestWaitForItsFirstToken) {
  LoneSuspect router;
  CHECK(!router.core->hasClaims());
  const std::vector<uint64_t> tried = router.claimedAt(510);
  CHECK_EQUAL(tried.size(), 1u);
  router.core->firstToken(tried[0], 520);
  CHECK_EQUAL(router.allClaimed().size(), 7u);
}

TEST(anAnswerWithoutATokenEndsTheTrialToo) {
  LoneSuspect router;
  const std::vector<uint64_t> tried = router.claimedAt(510);
  CHECK_EQUAL(tried.size(), 1u);
  router.core->answered(tried[0], 520);
  CHECK_EQUAL(router.allClaimed().size(), 7u);
}

TEST(aSuspectThatFailsItsTrialIsTriedWithOneAgainLater) {
  LoneSuspect router;
  const std::vector<uint64_t> tried = router.claimedAt(510);
  CHECK_EQUAL(tried.size(), 1u);
  router.core->suspect(tried[0], 520);
  router.core->end(tried[0], 520);
  CHECK(!router.core->hasClaims());
  router.core->look(router.core->nextLookMs());  // that of the trial, had it told nothing
  CHECK_EQUAL(router.claimedAt(1520).size(), 1u);
}

}  // namespace
}  // namespace dualmap::test
