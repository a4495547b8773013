// Where other routers fill the same instances: what they have sent is let through, and those of
// their requests that go before one of ours are waited for, though none of them is seen.

#include <cmath>
#include <string>
#include <utility>

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

CoreOptions optionsWith(bool hasPeers, QueueOrder order = QueueOrder::deadline) {
  CoreOptions options = late();
  options.queue.hasPeers = hasPeers;
  options.queue.order = order;
  return options;
}

/// One instance that computes.
struct OneOfSeveral : QueueRouter {
  explicit OneOfSeveral(bool hasPeers, QueueOrder order = QueueOrder::deadline)
      : QueueRouter(1, optionsWith(hasPeers, order)) {
    slot(0).prefilling.add(10);
  }

  void giveRoom(double nowMs) {
    slot(0).prefilling.subtract(10);
    core->look(nowMs);
    // As when a request ends: the instance claims.
    core->fleetChanged(nowMs);
  }
};

/// And a request for it that cannot be in time. Requests of other routers were seen to wait there
/// at `seenMs`; 0: never.
struct LateAmongPeers : OneOfSeveral {
  explicit LateAmongPeers(bool hasPeers, double seenMs) : OneOfSeveral(hasPeers) {
    late = place(1, 10'240, 0).ticket;  // 1,024 ms to compute, 1,000 to be in time
    slot(0).peersWaitedAtMs = seenMs;
  }

  uint64_t late;
};

TEST(aLateRequestLeavesRoomToThoseOfOtherRouters) {
  LateAmongPeers router(true, 90);
  router.giveRoom(100);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  // Those that can be in time do not.
  const uint64_t inTime = router.place(2, 256, 200).ticket;
  CHECK_EQUAL(router.claimed().ticket, inTime);
  router.core->end(inTime, 300);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  const double lookMs = router.core->nextLookMs();
  // One and a half times its objective after they were seen.
  CHECK_EQUAL(lookMs, 90 + 1'500);
  router.core->look(lookMs - 1);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->look(lookMs);
  CHECK_EQUAL(router.claimed().ticket, router.late);
  router.core->end(router.late, 3'000);
  CHECK(router.fleet.isIdle());
}

TEST(aLateRequestYieldsToNobodyWhoIsNotThere) {
  for (const bool hasPeers : {false, true}) {
    LateAmongPeers router(hasPeers, hasPeers ? 0 : 90);
    router.giveRoom(100);
    CHECK_EQUAL(router.claimed().ticket, router.late);
    router.core->end(router.late, 3'000);
  }
}

TEST(anUrgentRequestYieldsToNobody) {
  LateAmongPeers router(true, 99);
  const std::string body =
      R"({"stream":true,"priority":-1,"messages":[{"role":"user","content":")" +
      std::string(50'000, 'x') + "\"}]}";
  const uint64_t urgent = router.placeChat(body, {900, NAN}, 0).ticket;
  router.giveRoom(100);
  CHECK_EQUAL(router.claimed().ticket, urgent);
  router.core->end(urgent, 200);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->end(router.late, 300);
}

TEST(theFewerClaimsAreInTimeTheShorterALateOneYields) {
  LateAmongPeers router(true, 0);
  router.giveRoom(100);
  uint64_t running = router.claimed().ticket;
  CHECK_EQUAL(running, router.late);
  double nowMs = 100;
  uint64_t name = 2;
  const auto yieldedMs = [&](uint64_t tokens) {
    router.slot(0).peersWaitedAtMs = nowMs;
    const uint64_t next = router.place(name++, tokens, nowMs).ticket;
    router.core->end(running, nowMs);
    running = router.claimed().ticket;
    if (running == next) return 0.0;
    const double lookMs = router.core->nextLookMs();
    router.core->look(lookMs);
    running = router.claimed().ticket;
    CHECK_EQUAL(running, next);
    return lookMs - std::exchange(nowMs, lookMs);
  };
  // One claim of a late one was before it.
  CHECK_EQUAL(yieldedMs(10'240), 1'500 * (1 - 0.125));
  for (int claims = 0; claims < 40; ++claims) (void)yieldedMs(10'240);
  CHECK(yieldedMs(10'240) < 10);
  for (int claims = 0; claims < 40; ++claims) CHECK(yieldedMs(256) < 3);
  CHECK(yieldedMs(10'240) > 1'450);
  router.core->end(running, nowMs);
  CHECK(router.fleet.isIdle());
}

TEST(ofManyClaimsOneIsOfALateRequestAlsoAmongPeers) {
  LateAmongPeers router(true, 1);
  router.giveRoom(100);
  uint32_t claims = 0;
  double nowMs = 100;
  while (claims < 200) {
    router.slot(0).peersWaitedAtMs = nowMs;
    const Placement next = router.place(5, 256, nowMs);
    // A tenth of its 25.6 ms later.
    router.core->look(nowMs += 3);
    const uint64_t ticket = next.isWaiting ? router.claimed().ticket : next.ticket;
    ++claims;
    if (ticket == router.late) break;
    CHECK_EQUAL(ticket, next.ticket);
    router.core->end(ticket, nowMs);
  }
  CHECK_EQUAL(claims, 64u);
}

TEST(aRequestInTimeLeavesNewRoomToCheaperOnesOfOtherRouters) {
  OneOfSeveral router(true);
  router.slot(0).peersWaitedAtMs = 90;
  const uint64_t cheap = router.place(1, 2'560, 95).ticket;
  const uint64_t dear = router.place(2, 5'120, 95).ticket;
  router.giveRoom(100);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  // A tenth of its 256 ms, from when there was room.
  const double cheapMs = router.core->nextLookMs();
  CHECK(std::abs(cheapMs - (100 + 0.1 * 256)) < 0.001);
  router.core->look(cheapMs - 1);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->look(cheapMs);
  CHECK_EQUAL(router.claimed().ticket, cheap);
  // There is room anew when it has ended.
  router.core->end(cheap, 200);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  const double dearMs = router.core->nextLookMs();
  CHECK(std::abs(dearMs - (200 + 0.1 * 512)) < 0.001);
  router.core->look(dearMs);
  CHECK_EQUAL(router.claimed().ticket, dear);
  router.core->end(dear, 400);
  CHECK(router.fleet.isIdle());
}

TEST(roomThatWasThereForLongIsTakenAtOnce) {
  OneOfSeveral router(true);
  router.slot(0).peersWaitedAtMs = 90;
  const uint64_t dear = router.place(1, 5'120, 95).ticket;
  router.giveRoom(100);
  const uint64_t cheap = router.place(2, 256, 120).ticket;
  CHECK_EQUAL(router.claimed().ticket, cheap);
  router.core->end(cheap, 130);
  router.core->look(300);
  CHECK_EQUAL(router.claimed().ticket, dear);
  router.core->end(dear, 400);
}

TEST(roomThatOthersTookIsNewWhenTheyHaveGone) {
  OneOfSeveral router(true);
  router.slot(0).peersWaitedAtMs = 90;
  const uint64_t dear = router.place(1, 5'120, 95).ticket;
  router.giveRoom(100);
  router.slot(0).requestsTotal = 1;
  router.slot(0).promptTokensTotal = 256;
  router.slot(0).peersWaiting = 100;
  router.slot(0).scrapedAtMs = 150;
  router.core->look(203);
  router.slot(0).peersWaiting = 0;
  router.core->fleetChanged(300);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  CHECK(std::abs(router.core->nextLookMs() - (300 + 0.1 * 512)) < 0.001);
  router.core->look(403);
  CHECK_EQUAL(router.claimed().ticket, dear);
  router.core->end(dear, 500);
}

TEST(nobodyLeavesRoomToCheaperOnesWhereThereAreNone) {
  struct Case {
    bool hasPeers;
    double seenMs;
    QueueOrder order;
  };
  // No other routers; nothing of theirs seen, or too long ago; another order than by cost.
  const Case cases[] = {{false, 90, QueueOrder::deadline},
                        {true, 0, QueueOrder::deadline},
                        {true, 2'000 - 1'500, QueueOrder::deadline},
                        {true, 1'990, QueueOrder::fcfs}};
  for (const Case& at : cases) {
    OneOfSeveral router(at.hasPeers, at.order);
    router.slot(0).peersWaitedAtMs = at.seenMs;
    const uint64_t ticket = router.place(1, 2'560, 1'995).ticket;
    router.giveRoom(2'000);
    CHECK_EQUAL(router.claimed().ticket, ticket);
    router.core->end(ticket, 2'100);
  }
}

TEST(anEngineInWhichRequestsOfOtherRoutersWaitGetsNoMore) {
  for (const bool hasPeers : {false, true}) {
    QueueRouter router(1, optionsWith(hasPeers));
    const Placement first = router.place(1, 256, 0);
    router.core->end(first.ticket, 10);
    // Three of them, as long as that one: 76.8 ms.
    router.slot(0).peersWaiting = 3;
    router.slot(0).scrapedAtMs = 100;
    const Placement next = router.place(2, 256, 110);
    CHECK_EQUAL(next.isWaiting, hasPeers);
    if (hasPeers) {
      CHECK_EQUAL(router.claimed().ticket, kNobody);
      // As soon as they should be computed.
      const double lookMs = router.core->nextLookMs();
      CHECK(lookMs > 176 && lookMs < 179);
      router.core->look(lookMs);
      CHECK_EQUAL(router.claimed().ticket, next.ticket);
    }
    router.core->end(next.ticket, 600);
    CHECK(router.fleet.isIdle());
  }
}

TEST(anEngineFullOfThoseOfOthersIsLookedAtAgainBeforeTheyAreComputed) {
  QueueRouter router(1, optionsWith(true));
  router.core->end(router.place(1, 256, 0).ticket, 10);
  router.slot(0).peersWaiting = 100;
  router.slot(0).scrapedAtMs = 100;
  const Placement next = router.place(2, 256, 110);
  CHECK_EQUAL(router.core->nextLookMs(), 110 + 250);
  // Its metrics show that they are gone.
  router.slot(0).peersWaiting = 0;
  router.core->look(360);
  CHECK_EQUAL(router.claimed().ticket, next.ticket);
  router.core->end(next.ticket, 600);
}

}  // namespace
}  // namespace dualmap::test
