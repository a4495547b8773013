// Rebalancing, the part under the lock of the queues: what a snapshot tells, and the moves that are
// made or refused by what has changed since.

#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint64_t kNobody = QueueRouter::kNobody;

/// Two instances that both prefill something: what is placed now waits.
struct BusyPair : QueueRouter {
  explicit BusyPair(const CoreOptions& options = early(QueueOrder::hit)) : QueueRouter(2, options) {
    for (uint32_t slot = 0; slot < 2; ++slot) {
      fleet.setState(1 - slot, InstanceState::dead);
      busy[slot] = place(1000 + slot, 1024, 0).ticket;
      fleet.setState(1 - slot, InstanceState::serving);
    }
  }

  std::vector<WaitingRow> rowsOf(uint32_t at) const {
    std::vector<WaitingRow> rows(100);
    rows.resize(core->snapshotQueue(at, rows.data(), 100));
    return rows;
  }

  /// The move of the one request that waits, to its other candidate.
  Move moveOfTheOnly() const {
    for (uint32_t slot = 0; slot < 2; ++slot) {
      for (const WaitingRow& row : rowsOf(slot)) return moveOf(row, slot);
    }
    return {};
  }

  static Move moveOf(const WaitingRow& row, uint32_t from) {
    return {static_cast<uint32_t>(row.place), static_cast<uint64_t>(row.sequence), from,
            static_cast<uint32_t>(row.spareSlot)};
  }

  void endAll(std::initializer_list<uint64_t> tickets) const {
    for (const uint64_t ticket : tickets) core->end(ticket, 1000);
    for (const uint64_t ticket : busy) core->end(ticket, 1000);
    CHECK(fleet.isIdle());
    CHECK_EQUAL(core->waiting(), 0u);
    for (uint32_t at = 0; at < 2; ++at) CHECK_EQUAL(slot(at).standing.load(), 0u);
  }

  uint64_t busy[2];
};

TEST(aSnapshotTellsWhatWaitsInOrderOfService) {
  BusyPair pair;
  const uint64_t cold = pair.place(1, 512, 5).ticket;
  const Placement warm = pair.place(1000, 2048, 7);  // instance 0 prefills half of it
  CHECK(warm.isWaiting);
  CHECK_EQUAL(warm.decision.chosen.slot, 0u);
  const std::vector<WaitingRow> rows = pair.rowsOf(0);
  CHECK(rows.size() >= 1 && rows.size() <= 2);
  CHECK_EQUAL(rows.size() + pair.rowsOf(1).size(), 2u);
  const WaitingRow& row = rows[0];
  CHECK_EQUAL(row.arrivalMs, 7.0);
  CHECK_EQUAL(row.deadlineMs, 1007.0);
  CHECK_EQUAL(row.promptTokens, 2048.0);
  CHECK_EQUAL(row.cachedTokens, 1024.0);
  CHECK_EQUAL(row.uncachedTokens, 1024.0);
  CHECK_EQUAL(row.spareSlot, 1.0);
  CHECK_EQUAL(row.spareCachedTokens, 0.0);
  CHECK_EQUAL(row.spareUncachedTokens, 2048.0);
  CHECK_EQUAL(row.isMoved, 0.0);
  WaitingRow none;
  CHECK_EQUAL(pair.core->snapshotQueue(0, &none, 0), 0u);
  pair.endAll({cold, warm.ticket});
}

TEST(whatIsBoundLateIsNobodysToMove) {
  CoreOptions options = early(QueueOrder::hit);
  options.queue.bindsLate = true;
  BusyPair pair(options);
  const uint64_t waiting = pair.place(1, 512, 0).ticket;
  CHECK_EQUAL(pair.slot(0).standing.load(), 1u);
  CHECK_EQUAL(pair.rowsOf(0).size() + pair.rowsOf(1).size(), 0u);
  pair.endAll({waiting});
}

TEST(aRequestMovesToItsOtherCandidateOnceAndIsClaimedThere) {
  BusyPair pair;
  const Placement waiting = pair.place(1000, 2048, 0);
  const Move there = pair.moveOfTheOnly();
  CHECK_EQUAL(there.from, 0u);
  CHECK_EQUAL(there.to, 1u);
  CHECK(pair.core->migrate(there, 10));
  CHECK_EQUAL(pair.slot(0).queued.read().requests, 0u);
  CHECK_EQUAL(pair.slot(1).queued.read().tokens, 2048u);
  CHECK_EQUAL(pair.slot(0).standing.load(), 0u);
  CHECK_EQUAL(pair.slot(1).migrationsTotal.load(), 1u);
  const std::vector<WaitingRow> rows = pair.rowsOf(1);
  CHECK_EQUAL(rows.size(), 1u);
  CHECK_EQUAL(rows[0].isMoved, 1.0);
  CHECK_EQUAL(rows[0].uncachedTokens, 2048.0);
  // Not back, and not again.
  CHECK(!pair.core->migrate({there.place, there.sequence, 1, 0}, 10));
  CHECK(!pair.core->migrate(there, 10));
  CHECK_EQUAL(pair.slot(0).migrationsTotal.load() + pair.slot(1).migrationsTotal.load(), 1u);
  pair.core->firstToken(pair.busy[0], 20);
  CHECK_EQUAL(pair.claimed().ticket, kNobody);
  pair.core->firstToken(pair.busy[1], 30);
  const Placement claimed = pair.claimed();
  CHECK_EQUAL(claimed.ticket, waiting.ticket);
  CHECK_EQUAL(claimed.decision.chosen.slot, 1u);
  CHECK_EQUAL(claimed.decision.other.slot, 0u);
  CHECK_EQUAL(claimed.decision.reason, Reason::migrated);
  CHECK_EQUAL(claimed.queuedMs, 30.0);
  pair.endAll({waiting.ticket});
}

TEST(whatStaysKeepsTheReasonOfItsPlacing) {
  BusyPair pair;
  const Placement waiting = pair.place(1000, 2048, 0);
  pair.core->firstToken(pair.busy[0], 30);
  CHECK_EQUAL(pair.claimed().decision.reason, waiting.decision.reason);
  pair.endAll({waiting.ticket});
}

TEST(whoIsMovedToAnInstanceWithRoomIsClaimedAtOnce) {
  BusyPair pair;
  const Placement waiting = pair.place(1000, 2048, 0);
  pair.core->firstToken(pair.busy[1], 5);
  CHECK_EQUAL(pair.claimed().ticket, kNobody);
  CHECK(pair.core->migrate(pair.moveOfTheOnly(), 10));
  CHECK_EQUAL(pair.claimed().decision.chosen.slot, 1u);
  pair.endAll({waiting.ticket});
}

TEST(aMoveOfWhatWasClaimedMeanwhileIsRefused) {
  BusyPair pair;
  const Placement waiting = pair.place(1000, 2048, 0);
  const Move planned = pair.moveOfTheOnly();
  pair.core->firstToken(pair.busy[0], 5);  // claimed, and the claim not yet read
  CHECK(!pair.core->migrate(planned, 10));
  CHECK_EQUAL(pair.claimed().decision.chosen.slot, 0u);
  CHECK(!pair.core->migrate(planned, 10));
  pair.endAll({waiting.ticket});
}

TEST(aMoveIsNotMadeOfTheNextRequestInTheSamePlace) {
  BusyPair pair;
  const Placement leaves = pair.place(1000, 2048, 0);
  const Move planned = pair.moveOfTheOnly();
  pair.core->end(leaves.ticket, 5);
  CHECK(!pair.core->migrate(planned, 6));
  const Placement next = pair.place(1000, 2048, 7);
  CHECK_EQUAL(pair.moveOfTheOnly().place, planned.place);
  CHECK(!pair.core->migrate(planned, 8));
  pair.endAll({next.ticket});
}

TEST(aMoveGoesFromWhereTheRequestStandsToItsOwnOtherCandidate) {
  BusyPair pair;
  const Placement waiting = pair.place(1000, 2048, 0);
  const Move planned = pair.moveOfTheOnly();
  CHECK(!pair.core->migrate({planned.place, planned.sequence, 1, 1}, 5));
  CHECK(!pair.core->migrate({planned.place, planned.sequence, 0, 2}, 5));
  CHECK(!pair.core->migrate({planned.place, planned.sequence, 0, kNone}, 5));
  CHECK(!pair.core->migrate({0, planned.sequence, 0, 1}, 5));
  CHECK(!pair.core->migrate({planned.place + 1, planned.sequence, 0, 1}, 5));
  CHECK(!pair.core->migrate({1'000'000, planned.sequence, 0, 1}, 5));
  pair.endAll({waiting.ticket});
}

TEST(nothingMovesToTheDeadNorToASuspectNorToAStranger) {
  BusyPair pair;
  const Placement waiting = pair.place(1000, 2048, 0);
  const Move planned = pair.moveOfTheOnly();
  pair.fleet.setState(1, InstanceState::draining);
  CHECK(!pair.core->migrate(planned, 5));
  pair.fleet.setState(1, InstanceState::serving);
  pair.core->suspect(pair.busy[1], 5);
  CHECK(!pair.core->migrate(planned, 6));
  pair.slot(1).generation += 1;  // its slot was given to another instance
  CHECK(!pair.core->migrate(planned, 10'000));
  pair.slot(1).generation -= 1;
  CHECK(pair.core->migrate(planned, 10'000));
  pair.endAll({waiting.ticket});
}

}  // namespace
}  // namespace dualmap::test
