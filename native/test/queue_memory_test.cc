// What an instance holds decides what it may take: its memory may be full of the KV of what runs
// there, and it may have in its cache what it was not a candidate for.

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;
// Of a thousand blocks, as the fleet of the tests has them.
constexpr uint64_t kMemoryTokens = 128'000;

CoreOptions fleetWide() {
  CoreOptions options = late();
  options.queue.isFleetWide = true;
  options.queue.coldClaimPrice = 8;  // a cold one would wait
  return options;
}

/// One instance on which a request of so many tokens decodes; its metrics, of time 1, say how full
/// its memory is.
struct Decoding : QueueRouter {
  Decoding(uint64_t tokens, double kvUse) : QueueRouter(1, early()) {
    running = place(1, tokens, 0).ticket;
    core->firstToken(running, 1, 1);
    slot(0).scrapedKvUse = kvUse;
    slot(0).scrapedAtMs = 1;
  }

  uint64_t running;
};

TEST(anInstanceWhoseMemoryIsFullIsSentNothingUntilADecodeEnds) {
  Decoding router(kMemoryTokens, 0.95);
  const Placement next = router.place(2, 512, 2);
  CHECK(next.isWaiting);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->end(router.running, 3);
  CHECK_EQUAL(router.claimed().ticket, next.ticket);
  router.core->end(next.ticket, 4);
  CHECK(router.fleet.isIdle());
}

TEST(memoryIsFullOnlyIfTheEngineAndOurSumSaySo) {
  CHECK(!Decoding(kMemoryTokens, 0.89).place(2, 512, 2).isWaiting);
  CHECK(!Decoding(kMemoryTokens, -1).place(2, 512, 2).isWaiting);
  CHECK(!Decoding(kMemoryTokens / 10 * 8, 1).place(2, 512, 2).isWaiting);
  CHECK(Decoding(kMemoryTokens / 10 * 9 + 1, 0.9).place(2, 512, 2).isWaiting);
  Decoding ofUnknownSize(kMemoryTokens, 1);
  ofUnknownSize.slot(0).capacityBlocks = 0;
  CHECK(!ofUnknownSize.place(2, 512, 2).isWaiting);
}

TEST(theNextScrapeIsLookedAtWithoutAnyOtherEvent) {
  Decoding router(kMemoryTokens, 1);
  const Placement next = router.place(2, 512, 2);
  const double lookMs = router.core->nextLookMs();
  CHECK(lookMs <= 500);
  router.core->look(lookMs);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.slot(0).scrapedKvUse = 0.5;
  router.slot(0).scrapedAtMs = lookMs;
  router.core->look(router.core->nextLookMs());
  CHECK_EQUAL(router.claimed().ticket, next.ticket);
}

TEST(metricsThatComeNoMoreHoldNothingUp) {
  Decoding router(kMemoryTokens, 1);
  const Placement next = router.place(2, 512, 2);
  router.core->look(2'900);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->look(3'500);
  CHECK_EQUAL(router.claimed().ticket, next.ticket);
}

/// Three instances, each with the same prompt in its cache.
struct SamePrompt : QueueRouter {
  static constexpr uint64_t kPrompt = 7;

  SamePrompt() : QueueRouter(3, fleetWide()) {
    for (uint32_t index = 0; index < 3; ++index) core->end(placeAt(index, kPrompt, 1024), 0);
    const Placement pair = place(kPrompt, 1024, 0);
    third = 3 - pair.decision.first - pair.decision.second;
    core->end(pair.ticket, 0);
  }

  uint64_t placeAt(uint32_t index, uint64_t name, uint64_t tokens) {
    for (uint32_t i = 0; i < 3; ++i) {
      fleet.setState(i, i == index ? InstanceState::serving : InstanceState::dead);
    }
    const Placement placement = place(name, tokens, 0);
    CHECK_EQUAL(placement.decision.chosen.slot, index);
    for (uint32_t i = 0; i < 3; ++i) fleet.setState(i, InstanceState::serving);
    return placement.ticket;
  }

  uint32_t third;  // not one of the pair
};

TEST(ofThoseThatHoldAsMuchTheOneWithLessToDoIsAsked) {
  SamePrompt router;
  for (uint32_t index = 0; index < 3; ++index) {
    if (index != router.third) router.placeAt(index, 100 + index, 2048);
  }
  const Placement placement = router.place(SamePrompt::kPrompt, 1024, 0);
  CHECK(!placement.isWaiting);
  CHECK_EQUAL(placement.decision.chosen.slot, router.third);
}

TEST(whoHoldsWhatWaitsForEverybodyClaimsItAsAWarmOne) {
  SamePrompt router;
  uint64_t busy[3];
  for (uint32_t index = 0; index < 3; ++index)
    busy[index] = router.placeAt(index, 100 + index, 4096);
  const Placement waits = router.place(SamePrompt::kPrompt, 1024, 0);
  CHECK(waits.isWaiting);
  router.core->end(busy[router.third], 1);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, waits.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, router.third);
  CHECK_EQUAL(claimed.decision.chosen.uncachedTokens, uint64_t{1});
}

}  // namespace
}  // namespace dualmap::test
