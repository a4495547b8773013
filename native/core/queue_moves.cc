// Rebalancing (algorithm.md section 5), the two ends of it that need the lock of the queues: what
// waits for an instance, and the move of one request to its other candidate. The plan between them
// is made elsewhere, from what may be old when it is applied: a move is made only if everything
// that it rests on still holds.
#include "queues.h"

namespace dualmap {

uint32_t Queues::snapshot(uint32_t slot, WaitingRow* rows, uint32_t rowsMax) const noexcept {
  const std::lock_guard guard(table_->lock);
  uint32_t count = 0;
  for (const Tree& tree : {feasibleOf(slot), lateOf(slot)}) {
    for (Tree::Cursor at(tree); at.node() != 0 && count < rowsMax; at.advance()) {
      const uint32_t place = placeOf(at.node());
      const Waiting& waiting = waiting_[place];
      // Bound late, it goes to whichever has room first.
      if (waiting.stands != 1) continue;
      const Stand& here = waiting.stand[0];
      const Stand& there = waiting.spare;
      const bool hasSpare = there.slot != kNone;
      WaitingRow& row = rows[count++];
      row.place = place;
      row.sequence = static_cast<double>(waiting.sequence);
      row.arrivalMs = waiting.arrivalMs;
      row.deadlineMs = waiting.deadlineMs;
      row.promptTokens = static_cast<double>(waiting.reserved.promptTokens);
      row.cachedTokens = static_cast<double>(here.cachedTokens);
      row.uncachedTokens = static_cast<double>(here.uncachedTokens);
      row.spareSlot = hasSpare ? static_cast<double>(there.slot) : -1;
      row.spareCachedTokens = hasSpare ? static_cast<double>(there.cachedTokens) : 0;
      row.spareUncachedTokens = hasSpare ? static_cast<double>(there.uncachedTokens) : 0;
      row.isMoved = waiting.isMoved ? 1 : 0;
    }
  }
  return count;
}

bool Queues::mayMove(const Waiting& waiting, double nowMs) const noexcept {
  return waiting.spare.slot != kNone && isAvailable(waiting.spare.slot, nowMs) &&
         generationOf(waiting.spare.slot) == waiting.spareGeneration;
}

bool Queues::migrate(const Move& planned, double nowMs) noexcept {
  const std::lock_guard guard(table_->lock);
  if (planned.place == 0 || planned.place > table_->everTaken) return false;
  const Waiting& waiting = waiting_[planned.place];
  // Its place may be another one's by now.
  if (waiting.state != State::waiting || waiting.sequence != planned.sequence) return false;
  if (waiting.isMoved || waiting.stands != 1) return false;
  if (waiting.stand[0].slot != planned.from || waiting.spare.slot != planned.to) return false;
  if (!mayMove(waiting, nowMs)) return false;
  move(planned.place, nowMs);
  return true;
}

}  // namespace dualmap
