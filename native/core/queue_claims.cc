// Who takes what: the claims of instances with room, in order, and what becomes too late meanwhile.
// All of it under the lock of the queues.
#include <algorithm>

#include "estimate.h"
#include "queues.h"

namespace dualmap {

namespace {

// Of so many claims of an instance one goes to the oldest late request, so that none waits for
// ever behind requests that can still be in time.
constexpr uint32_t kLateEvery = 16;
// A promise is taken for broken a little after it was due: a start that is just on time wins.
constexpr double kSlackMs = 1;

}  // namespace

// From now on late: what cannot be computed before its deadline any more, even at once.
void Queues::expire(uint32_t slot, double nowMs) noexcept {
  const Tree expiry = expiryOf(slot);
  for (uint32_t node = expiry.first(); node != 0; node = expiryOf(slot).first()) {
    const double lateFromMs = nodes_[node].key.value;
    if (nowMs <= lateFromMs) {
      if (options_.latePolicy == LatePolicy::shed) noteLook(slot, lateFromMs + kSlackMs);
      return;
    }
    const uint32_t place = placeOf(node);
    const uint32_t index = standOf(node);
    expiryOf(slot).erase(node);
    feasibleOf(slot).erase(nodeOf(place, index, false));
    standLate(place, index);
    if (options_.latePolicy == LatePolicy::shed) shed(place, nowMs);
  }
}

// Nobody can serve it in time any more.
void Queues::shed(uint32_t place, double nowMs) noexcept {
  Waiting& waiting = waiting_[place];
  const auto isLate = [](const Stand& at) { return at.isLate; };
  if (!std::all_of(waiting.stand, waiting.stand + waiting.stands, isLate)) return;
  leaveAll(place);
  waiting.state = State::shed;
  waiting.claim.ticket = waiting.ticket;
  waiting.claim.verdict = Verdict::shed;
  waiting.claim.queuedMs = nowMs - waiting.arrivalMs;
  post(place);
}

void Queues::claimAll(uint32_t slot, double nowMs) noexcept {
  if (!isServing(slot)) return;
  if (options_.order == QueueOrder::deadline) expire(slot, nowMs);
  while (hasRoom(slot)) {
    double lookMs = kNever;
    const uint32_t node = pick(slot, nowMs, &lookMs);
    if (node == 0) {
      noteLook(slot, lookMs);
      return;
    }
    if (!claim(node, nowMs)) return;
  }
}

// The first in order that the instance may take; 0 if there is none.
uint32_t Queues::pick(uint32_t slot, double nowMs, double* lookMs) noexcept {
  const bool isLateTurn = queues_[slot].claims % kLateEvery == kLateEvery - 1;
  Tree::Cursor feasible(feasibleOf(slot));
  Tree::Cursor late(lateOf(slot));
  for (uint32_t looked = 0; looked < kLookedAtMax; ++looked) {
    const uint32_t a = feasible.node();
    const uint32_t b = late.node();
    if (a == 0 && b == 0) return 0;
    bool takesLate = a == 0;
    if (a != 0 && b != 0) {
      const int32_t ahead = nodes_[a].key.priority - nodes_[b].key.priority;
      takesLate = ahead > 0 || (ahead == 0 && isLateTurn);
    }
    const uint32_t node = takesLate ? b : a;
    const Leave verdict = leaves(waiting_[placeOf(node)], placeOf(node), standOf(node), nowMs);
    if (verdict.takes) return node;
    *lookMs = std::min(*lookMs, verdict.lookMs);
    takesLate ? late.advance() : feasible.advance();
  }
  return 0;
}

// Expected time to the first token if it stays where it stands: what is in the engine, what goes
// before it in the queue, its own.
double Queues::expectedMs(uint32_t place, uint32_t index) const noexcept {
  const Stand& at = waiting_[place].stand[index];
  const TreeKey& key = nodes_[nodeOf(place, index, false)].key;
  uint64_t tokens = state_->slot(at.slot).prefilling.read().tokens + at.uncachedTokens;
  if (at.isLate) {
    tokens += feasibleOf(at.slot).sum() + lateOf(at.slot).sumBefore(key);
  } else {
    tokens += feasibleOf(at.slot).sumBefore(key);
  }
  return estimateTtftMs(state_->slot(at.slot), tokens);
}

// Whether an instance that has room takes a request or leaves it to its other candidate.
Queues::Leave Queues::leaves(Waiting& waiting, uint32_t place, uint32_t index,
                             double nowMs) noexcept {
  if (waiting.stands < 2) return {};
  const Stand& here = waiting.stand[index];
  const Stand& there = waiting.stand[1 - index];
  if (!isAvailable(here.slot, nowMs)) {
    // A suspect takes only what nobody else may take.
    if (!isAvailable(there.slot, nowMs)) return {};
    return {false, state_->slot(here.slot).suspectUntilMs.load(std::memory_order_relaxed)};
  }
  if (!isAvailable(there.slot, nowMs) || there.uncachedTokens >= here.uncachedTokens) return {};
  const double ownMs = estimateTtftMs(state_->slot(there.slot), there.uncachedTokens);
  if (waiting.promiseMs != 0 && nowMs >= waiting.promiseMs + kSlackMs) return {};
  const double hereMs =
      estimateTtftMs(state_->slot(here.slot),
                     state_->slot(here.slot).prefilling.read().tokens + here.uncachedTokens);
  const double thereMs = expectedMs(place, 1 - index);
  const bool isInTimeHere = nowMs + hereMs <= waiting.deadlineMs;
  const bool isInTimeThere = nowMs + thereMs <= waiting.deadlineMs;
  if (thereMs > options_.warmthPatience * hereMs && (isInTimeHere || !isInTimeThere)) return {};
  if (isInTimeHere && !isInTimeThere) return {};
  if (waiting.promiseMs == 0) waiting.promiseMs = nowMs + thereMs - ownMs;
  return {false, waiting.promiseMs + kSlackMs};
}

// False if others have taken the room meanwhile.
bool Queues::claim(uint32_t node, double nowMs) noexcept {
  const uint32_t place = placeOf(node);
  Waiting& waiting = waiting_[place];
  const Stand at = waiting.stand[standOf(node)];
  // Its prefix may have become warmer, or colder, while it waited.
  const Reserved& reserved = waiting.reserved;
  const uint32_t blocks = reserved.usesPrefixCache ? reserved.blocks : 0;
  const PrefixIndex::PairHits hits = index_->hits(reserved.chain, blocks, at.slot, kNone);
  Candidate candidate =
      measure(*state_, placing_, reserved.promptTokens, at.slot, hits.first, hits.isFirstFresh);
  candidate.pendingTokens = state_->slot(at.slot).prefilling.read().tokens;
  candidate.ttftEstimateMs =
      estimateTtftMs(state_->slot(at.slot), candidate.pendingTokens + candidate.uncachedTokens);
  if (!state_->slot(at.slot).prefilling.tryAdd(candidate.uncachedTokens,
                                               options_.prefillWindowTokens)) {
    return false;
  }
  ++queues_[at.slot].claims;
  leaveAll(place);
  Claim& claim = waiting.claim;
  claim.ticket = waiting.ticket;
  claim.verdict = Verdict::claimed;
  claim.candidate = candidate;
  claim.queuedMs = nowMs - waiting.arrivalMs;
  if (waiting.stands > 1) {
    claim.isCold = waiting.stand[1 - standOf(node)].uncachedTokens < at.uncachedTokens;
  }
  if (claim.isCold) {
    state_->slot(at.slot).coldClaimsTotal.fetch_add(1, std::memory_order_relaxed);
  }
  claim.isTrial = finishReserving(*state_, *index_, suspicion_, reserved, candidate, nowMs);
  waiting.state = State::claimed;
  post(place);
  return true;
}

}  // namespace dualmap
