// Rules of the queues that show only in a corner made for them: each of these tests is the one that
// goes red when its rule is broken.

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

CoreOptions early(QueueOrder order = QueueOrder::deadline) {
  CoreOptions options = queueOptions(PolicyName::dualmapPaper, false);
  options.queue.order = order;
  return options;
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
