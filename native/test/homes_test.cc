// Where `dualmap` sends what: several pairs for a prompt that stays hot, and the home of a prefix,
// the candidate that routers agree on which see nothing of each other (algorithm.md section 7).

#include <cmath>
#include <set>
#include <string>

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

CoreOptions amongSeveralRouters() {
  CoreOptions options = late();
  options.queue.hasPeers = true;
  return options;
}

/// The candidates of so many equal requests, each arriving while its pair computes; then all end.
std::set<uint32_t> candidatesOf(QueueRouter& router, uint64_t name, int requests) {
  std::set<uint32_t> slots;
  for (uint32_t slot = 0; slot < 8; ++slot) router.slot(slot).prefilling.add(500);
  std::vector<uint64_t> tickets;
  for (int i = 0; i < requests; ++i) {
    const Placement placed = router.place(name, 256, 0);
    slots.insert(placed.decision.first);
    slots.insert(placed.decision.second);
    tickets.push_back(placed.ticket);
  }
  for (const uint64_t ticket : tickets) router.core->end(ticket, 1);
  for (uint32_t slot = 0; slot < 8; ++slot) router.slot(slot).prefilling.subtract(500);
  return slots;
}

TEST(aPromptThatStaysHotHasAsManyPairsAsItsShareNeeds) {
  QueueRouter router(8, late());
  CHECK_EQUAL(candidatesOf(router, 1, 19).size(), 2u);
  CHECK(candidatesOf(router, 1, 200).size() >= 4);
  CHECK(router.fleet.isIdle());
}

TEST(whatIsNotHotKeepsItsPair) {
  QueueRouter router(8, late());
  for (int round = 0; round < 10; ++round) {
    for (uint64_t name = 1; name <= 16; ++name) {
      CHECK_EQUAL(candidatesOf(router, name, 4).size(), 2u);
    }
  }
}

/// A chat whose first message is that of many others; with a long answer it is one of its own.
Placement placeChat(QueueRouter& router, size_t answerBytes, double nowMs) {
  std::string body =
      R"({"stream":true,"messages":[{"role":"user","content":")" + std::string(600, 'x') + "\"}";
  if (answerBytes > 0) {
    body += R"(,{"role":"assistant","content":")" + std::string(answerBytes, 'y') + "\"}";
  }
  return router.placeChat(body + "]}", {NAN, NAN}, nowMs);
}

TEST(aConversationThatBeginsLikeManyGoesOnWhereItIs) {
  QueueRouter router(8, late());
  for (uint32_t slot = 0; slot < 8; ++slot) router.slot(slot).prefilling.add(500);
  std::set<uint32_t> homes;
  for (int i = 0; i < 200; ++i) {
    const Placement placed = placeChat(router, 0, 0);
    homes.insert(placed.decision.first);
    router.core->end(placed.ticket, 0);
  }
  CHECK(homes.size() >= 2);
  for (uint32_t slot = 0; slot < 8; ++slot) router.slot(slot).prefilling.subtract(500);
  const Placement first = placeChat(router, 4000, 10);
  const uint32_t home = first.decision.chosen.slot;
  router.core->end(first.ticket, 20);
  // Whichever pair's turn it is.
  for (size_t turn = 1; turn < 9; ++turn) {
    const Placement next = placeChat(router, 4000 + 500 * turn, 30);
    CHECK_EQUAL(next.decision.chosen.slot, home);
    router.core->end(next.ticket, 40);
  }
  CHECK(router.fleet.isIdle());
}

TEST(amongEqualsSeveralRoutersTakeTheHome) {
  for (uint64_t name = 1; name <= 20; ++name) {
    QueueRouter router(4, amongSeveralRouters());
    // Of what others do to its home nothing is known; its own load does not matter either.
    const Placement first = router.place(name, 256, 0);
    CHECK_EQUAL(first.decision.chosen.slot, first.decision.first);
    CHECK_EQUAL(first.decision.reason, Reason::home);
    const Placement again = router.place(name + 100, 256, 0);
    CHECK_EQUAL(again.decision.chosen.slot, again.decision.first);
  }
}

TEST(theOtherCandidateLeavesARequestToItsHomeUnlessThatWouldBeTooLate) {
  QueueRouter router(4, amongSeveralRouters());
  const Placement first = router.place(7, 256, 0);
  const uint32_t home = first.decision.first;
  router.core->end(first.ticket, 1);
  router.slot(home).prefilling.add(100);
  const Placement soon = router.place(8 * 1000, 256, 10);
  router.core->end(soon.ticket, 11);
  const Placement waiting = router.place(7, 256, 12);
  CHECK(waiting.isWaiting);
  CHECK_EQUAL(router.claimed().ticket, kNobody);
  router.core->end(waiting.ticket, 13);
  router.slot(home).prefilling.subtract(100);
  router.slot(home).prefilling.add(20'000);  // 2 s, and the objective is 1 s
  const Placement late = router.place(7, 256, 14);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, late.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, first.decision.second);
  router.core->end(claimed.ticket, 15);
  router.slot(home).prefilling.subtract(20'000);
  CHECK(router.fleet.isIdle());
}

TEST(aHomeThatComputesNothingIsNotWaitedForForEver) {
  QueueRouter router(4, amongSeveralRouters());
  const Placement first = router.place(7, 256, 0);
  const uint32_t home = first.decision.first;
  router.core->end(first.ticket, 1);
  router.slot(home).prefilling.add(100);  // 10 ms, that never end
  const Placement waiting = router.place(7, 256, 12);
  CHECK(waiting.isWaiting);
  double nowMs = 12;
  while (router.core->nextLookMs() < 299'000) {
    nowMs = router.core->nextLookMs();
    router.core->look(nowMs);
    CHECK_EQUAL(router.claimed().ticket, kNobody);
  }
  CHECK(nowMs > 298'000);
  router.core->look(301'000);
  const Placement claimed = router.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, first.decision.second);
  router.core->end(claimed.ticket, 301'100);
  router.slot(home).prefilling.subtract(100);
  CHECK(router.fleet.isIdle());
}

}  // namespace
}  // namespace dualmap::test
