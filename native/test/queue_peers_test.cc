// Late requests, where other routers fill the same instances: they yield to what is not seen.

#include <cmath>
#include <string>
#include <utility>

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

/// One instance that computes, and a request for it that cannot be in time. Requests of other
/// routers were seen to wait there at `seenMs`; 0: never.
struct LateAmongPeers : QueueRouter {
  explicit LateAmongPeers(bool hasPeers, double seenMs) : QueueRouter(1, optionsWith(hasPeers)) {
    slot(0).prefilling.add(10);
    late = place(1, 10'240, 0).ticket;  // 1,024 ms to compute, 1,000 to be in time
    slot(0).peersWaitedAtMs = seenMs;
  }

  static CoreOptions optionsWith(bool hasPeers) {
    CoreOptions options = queueOptions(PolicyName::dualmap, true);
    options.queue.hasPeers = hasPeers;
    return options;
  }

  void giveRoom(double nowMs) {
    slot(0).prefilling.subtract(10);
    core->look(nowMs);
    // As when a request ends: the instance claims.
    core->fleetChanged(nowMs);
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
  for (int claims = 0; claims < 40; ++claims) CHECK_EQUAL(yieldedMs(256), 0.0);
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
    const uint64_t ticket = next.isWaiting ? router.claimed().ticket : next.ticket;
    ++claims;
    if (ticket == router.late) break;
    CHECK_EQUAL(ticket, next.ticket);
    router.core->end(ticket, nowMs += 1);
  }
  CHECK_EQUAL(claims, 64u);
}

}  // namespace
}  // namespace dualmap::test
