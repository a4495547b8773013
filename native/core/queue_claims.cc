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
// With other routers about, whose requests are not seen: of theirs that can still be in time, too.
constexpr uint32_t kLateEveryAmongPeers = 64;
// What the last claim weighs in the share of late ones.
constexpr float kLateShareWeight = 0.125F;
// A promise is taken for broken a little after it was due: a start that is just on time wins.
constexpr double kSlackMs = 1;
// What no candidate has room for is offered to so many others.
constexpr uint32_t kOfferedMax = 8;
// What other routers send breaks every promise: so much later an engine that computes nothing is
// not waited for any more.
constexpr double kPeersSlackMs = 300'000;
// Of those that stand in the queue of everybody, so many a claim are looked up: what the instance
// holds of them.
constexpr uint32_t kMeasuredMax = 8;
// Of a request that this router knows of nowhere, its home may hold what others sent there: one
// part in so many.
constexpr uint64_t kPeersShare = 2;

}  // namespace

// From now on late: what cannot be computed before its deadline any more, even at once.
void Queues::expire(uint32_t slot, double nowMs) noexcept {
  const Tree expiry = expiryOf(slot);
  for (uint32_t node = expiry.first(); node != 0; node = expiryOf(slot).first()) {
    const double lateFromMs = nodes_[node].key.value;
    if (nowMs <= lateFromMs) {
      if (options_.latePolicy == LatePolicy::shed && slot != everybody_) {
        noteLook(slot, lateFromMs + kSlackMs);
      }
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

// If nobody can serve it in time any more.
void Queues::shed(uint32_t place, double nowMs) noexcept {
  Waiting& waiting = waiting_[place];
  const auto isLate = [](const Stand& at) { return at.isLate; };
  if (!std::all_of(waiting.stand, waiting.stand + waiting.stands, isLate)) return;
  leaveAll(place);
  waiting.state = State::shed;
  waiting.claim.ticket = waiting.ticket;
  waiting.claim.verdict = Verdict::shed;
  waiting.claim.queuedMs = std::max(0.0, nowMs - waiting.arrivalMs);
  post(place);
}

bool Queues::isOutOfMemory(uint32_t slot, double nowMs) const noexcept {
  return isMemoryFull(state_->slot(slot), options_.tokensPerBlock, nowMs);
}

void Queues::claimAll(uint32_t slot, double nowMs) noexcept {
  // Time passes for those that wait for a dead instance, too.
  if (options_.order == QueueOrder::deadline) {
    expire(slot, nowMs);
    if (options_.isFleetWide) expire(everybody_, nowMs);
  }
  if (!isServing(slot)) return;
  InstanceQueue& queue = queues_[slot];
  if (isFullOfPeers(slot, nowMs)) {
    queue.roomSinceMs = 0;
    if (standingOf(slot).load(std::memory_order_relaxed) > 0) {
      noteLook(slot, peersLookMs(slot, nowMs));
    }
    return;
  }
  if (queue.roomSinceMs == 0) queue.roomSinceMs = nowMs;
  while (hasRoom(slot, nowMs)) {
    double lookMs = kNever;
    const uint32_t node = pick(slot, nowMs, &lookMs);
    if (node == 0) {
      noteLook(slot, lookMs);
      return;
    }
    if (!claim(node, slot, nowMs)) break;
  }
  queue.roomSinceMs = 0;
  // Its next scrape may tell another tale, also to those that come to wait meanwhile.
  if (isOutOfMemory(slot, nowMs)) noteLook(slot, nowMs + kScrapeLookMs);
  if (!options_.isFleetWide) return;
  if (hasRoom(slot, nowMs)) return;
  setFull(slot, true);
  // Room may have been given back before the bit was set.
  if (hasRoom(slot, nowMs)) setFull(slot, false);
}

// Instances that may have room, none of them a candidate of its: a few of them, in turns, as one is
// as cold as the other.
void Queues::offerToOthers(uint32_t place, double nowMs) noexcept {
  const Waiting& waiting = waiting_[place];
  const uint32_t slots = state_->header().instanceCount.load(std::memory_order_relaxed);
  const uint32_t words = slots / 64 + 1;
  uint32_t offered = 0;
  for (uint32_t i = 0; i <= words && offered < kOfferedMax; ++i) {
    const uint32_t at = (static_cast<uint32_t>(waiting.sequence) / 64 + i) % words;
    uint64_t bits = ~full_[at].load(std::memory_order_seq_cst);
    // From another bit each time, so that the first of them are not always asked first.
    const uint64_t above = ~uint64_t{0} << (waiting.sequence % 64);
    if (i == 0) bits &= above;
    if (i == words) bits &= ~above;
    for (; bits != 0 && offered < kOfferedMax; bits &= bits - 1) {
      const uint32_t slot = at * 64 + static_cast<uint32_t>(__builtin_ctzll(bits));
      if (slot >= slots || !isServing(slot) || standsAt(waiting, slot)) continue;
      if (!servesTheSame(waiting, slot)) continue;
      ++offered;
      claimAll(slot, nowMs);
      if (waiting.state != State::waiting) return;
    }
  }
}

// The queue of everybody is one for all models: an instance takes of it what one like it may.
bool Queues::servesTheSame(const Waiting& waiting, uint32_t slot) const noexcept {
  return state_->slot(slot).models.load(std::memory_order_relaxed) ==
         state_->slot(waiting.stand[0].slot).models.load(std::memory_order_relaxed);
}

bool Queues::standsAt(const Waiting& waiting, uint32_t slot) const noexcept {
  return std::any_of(waiting.stand, waiting.stand + waiting.stands,
                     [slot](const Stand& at) { return at.slot == slot; });
}

// The first in order that the instance may take, of its own queue and that of everybody; 0 if there
// is none.
uint32_t Queues::pick(uint32_t slot, double nowMs, double* lookMs) noexcept {
  const uint32_t lateEvery = options_.hasPeers ? kLateEveryAmongPeers : kLateEvery;
  const bool isLateTurn = queues_[slot].claims % lateEvery == lateEvery - 1;
  Tree::Cursor cursors[] = {Tree::Cursor(feasibleOf(slot)), Tree::Cursor(feasibleOf(everybody_)),
                            Tree::Cursor(lateOf(slot)), Tree::Cursor(lateOf(everybody_))};
  constexpr uint32_t kFirstLate = 2;
  const auto goesBefore = [&](uint32_t a, uint32_t b) {
    const TreeKey& one = nodes_[cursors[a].node()].key;
    const TreeKey& two = nodes_[cursors[b].node()].key;
    const bool isLateA = a >= kFirstLate;
    const bool isLateB = b >= kFirstLate;
    if (one.priority != two.priority) return one.priority < two.priority;
    if (isLateA != isLateB) return isLateA == isLateTurn;
    return one < two;
  };
  measured_ = 0;
  // Of its own and of everybody's: many of those that it may not take must not hide its own.
  uint32_t looked[2] = {0, 0};
  while (true) {
    uint32_t best = 4;
    for (uint32_t i = 0; i < 4; ++i) {
      if (cursors[i].node() == 0 || looked[i % 2] == kLookedAtMax) continue;
      if (best == 4 || goesBefore(i, best)) best = i;
    }
    if (best == 4) return 0;
    ++looked[best % 2];
    const uint32_t node = cursors[best].node();
    const Waiting& waiting = waiting_[placeOf(node)];
    // What stands in its own queue too is looked at there.
    const bool isHere = waiting.stand[standOf(node)].slot == slot;
    if (isHere || (!standsAt(waiting, slot) && servesTheSame(waiting, slot))) {
      const double yieldsMs = isLateTurn ? 0 : yieldsUntilMs(node, slot, nowMs);
      const Leave verdict = nowMs < yieldsMs ? Leave{false, yieldsMs} : leaves(node, slot, nowMs);
      if (verdict.takes) return node;
      *lookMs = std::min(*lookMs, verdict.lookMs);
    }
    cursors[best].advance();
  }
}

// Uncached tokens that the engine computes before what is sent there now.
uint64_t Queues::aheadTokensAt(uint32_t slot, double nowMs) const noexcept {
  return state_->slot(slot).prefilling.read().tokens +
         static_cast<uint64_t>(peersTokensAt(slot, nowMs));
}

// Expected time to the first token if it stays where it stands: what is in the engine, what goes
// before it in the queue, its own.
double Queues::expectedMs(uint32_t place, uint32_t index, double nowMs) const noexcept {
  const Stand& at = waiting_[place].stand[index];
  const TreeKey& key = nodes_[nodeOf(place, index, false)].key;
  uint64_t tokens = aheadTokensAt(at.slot, nowMs);
  if (at.isLate) {
    tokens += feasibleOf(at.slot).sum() + lateOf(at.slot).sumBefore(key);
  } else {
    tokens += feasibleOf(at.slot).sumBefore(key);
  }
  return estimateTtftMs(state_->slot(at.slot), tokens, at.uncachedTokens,
                        waiting_[place].reserved.promptTokens);
}

// Whether an instance that has room takes a request or leaves it to another candidate.
Queues::Leave Queues::leaves(uint32_t node, uint32_t slot, double nowMs) noexcept {
  if (isAvailable(slot, nowMs)) return leavesToWarmer(node, slot, nowMs);
  // A suspect takes one when its time is up, which makes it wait for as long again; the others wait
  // for what becomes of that one, also if nobody else may take them: an engine that refuses
  // connections would fail all of them in no time.
  return {false, state_->slot(slot).suspectUntilMs.load(std::memory_order_relaxed)};
}

// Whether a candidate holds more of a request than the one that could take it, or is held to by
// other routers: among near equals that is its home, the one that it would rather go to.
bool Queues::isWarmer(const Waiting& waiting, uint32_t index, const Stand& here) const noexcept {
  const Stand& at = waiting.stand[index];
  const uint64_t promptTokens = waiting.reserved.promptTokens;
  if (options_.hasPeers && isNearEqual(at.uncachedTokens, here.uncachedTokens, promptTokens)) {
    return index == 0;
  }
  return at.uncachedTokens < here.uncachedTokens;
}

Queues::Leave Queues::leavesToWarmer(uint32_t node, uint32_t slot, double nowMs) noexcept {
  const uint32_t place = placeOf(node);
  Waiting& waiting = waiting_[place];
  Stand here = waiting.stand[standOf(node)];
  if (here.slot == everybody_ && measured_++ < kMeasuredMax) {
    // Taken for cold when it came; but what many share is held by many.
    here.uncachedTokens = measureAt(waiting, slot).uncachedTokens;
  }
  double thereMs = kNever;
  uint32_t warmer = 0;
  for (uint32_t index = 0; index < waiting.stands; ++index) {
    const Stand& at = waiting.stand[index];
    if (at.slot == everybody_ || at.slot == slot) continue;
    if (!isWarmer(waiting, index, here) || !isAvailable(at.slot, nowMs)) continue;
    const double ms = expectedMs(place, index, nowMs);
    if (ms >= thereMs) continue;
    thereMs = ms;
    warmer = index;
  }
  if (thereMs == kNever) return {};
  const double slackMs = options_.hasPeers ? kPeersSlackMs : kSlackMs;
  if (waiting.promiseMs != 0 && nowMs >= waiting.promiseMs + slackMs) return {};
  const uint64_t promptTokens = waiting.reserved.promptTokens;
  const InstanceSlot& instance = state_->slot(slot);
  const InstanceSlot& sibling = state_->slot(waiting.stand[warmer].slot);
  const double hereMs =
      estimateTtftMs(instance, aheadTokensAt(slot, nowMs), here.uncachedTokens, promptTokens);
  uint64_t ownTokensThere = waiting.stand[warmer].uncachedTokens;
  if (options_.hasPeers) {
    ownTokensThere = std::min(ownTokensThere, here.uncachedTokens / kPeersShare);
  }
  const double ownThereMs = estimateTtftMs(sibling, 0, ownTokensThere, promptTokens);
  const double extraMs =
      estimateTtftMs(instance, 0, here.uncachedTokens, promptTokens) - ownThereMs;
  // The extra work keeps others waiting too: what is won must be worth it.
  const bool isWorthIt = thereMs > hereMs + options_.coldClaimPrice * extraMs;
  const bool isInTimeHere = nowMs + hereMs <= waiting.deadlineMs;
  const bool isInTimeThere = nowMs + thereMs <= waiting.deadlineMs;
  // With peers a request that is late there stays, too: in overload every copy of a prefix costs.
  const bool isTaken = options_.hasPeers ? isInTimeHere && isWorthIt
                       : isInTimeHere    ? isWorthIt || !isInTimeThere
                                         : isWorthIt && !isInTimeThere;
  if (isTaken) return {};
  if (waiting.promiseMs == 0) waiting.promiseMs = nowMs + thereMs - ownThereMs;
  const double dueMs = waiting.promiseMs + slackMs;
  return {false, options_.hasPeers ? std::min(dueMs, nowMs + kScrapeLookMs) : dueMs};
}

// What an instance holds of a request that waits, now.
Candidate Queues::measureAt(const Waiting& waiting, uint32_t slot) const noexcept {
  const Reserved& reserved = waiting.reserved;
  const uint32_t blocks = reserved.usesPrefixCache ? reserved.blocks : 0;
  const PrefixIndex::PairHits hits = index_->hits(reserved.chain, blocks, slot, kNone);
  return measure(*state_, reserved.tokensPerByte, reserved.promptTokens, slot, hits.first,
                 hits.isFirstFresh);
}

// False if others have taken the room meanwhile.
bool Queues::claim(uint32_t node, uint32_t slotIndex, double nowMs) noexcept {
  const uint32_t place = placeOf(node);
  Waiting& waiting = waiting_[place];
  // Its prefix may have become warmer, or colder, while it waited.
  const Reserved& reserved = waiting.reserved;
  Candidate candidate = measureAt(waiting, slotIndex);
  InstanceSlot& slot = state_->slot(slotIndex);
  if (!slot.prefilling.tryAdd(candidate.uncachedTokens, options_.prefillWindowTokens,
                              &candidate.pendingTokens)) {
    return false;
  }
  candidate.ttftEstimateMs = estimateTtftMs(slot, candidate.pendingTokens, candidate.uncachedTokens,
                                            reserved.promptTokens);
  ++queues_[slotIndex].claims;
  float& lateShare = queues_[slotIndex].lateShare;
  lateShare +=
      kLateShareWeight * (waiting.stand[standOf(node)].isLate ? 1 - lateShare : -lateShare);
  leaveAll(place);
  Claim& claim = waiting.claim;
  claim.ticket = waiting.ticket;
  claim.verdict = Verdict::claimed;
  claim.candidate = candidate;
  // Another thread may have read the clock a moment before the arrival.
  claim.queuedMs = std::max(0.0, nowMs - waiting.arrivalMs);
  claim.isMoved = waiting.isMoved;
  claim.isCold = std::any_of(waiting.stand, waiting.stand + waiting.stands, [&](const Stand& at) {
    return at.slot != slotIndex && at.slot != everybody_ &&
           at.uncachedTokens < candidate.uncachedTokens;
  });
  if (claim.isCold) slot.coldClaimsTotal.fetch_add(1, std::memory_order_relaxed);
  claim.isTrial = finishReserving(*state_, *index_, suspicion_, reserved, candidate, nowMs);
  waiting.state = State::claimed;
  post(place);
  return true;
}

}  // namespace dualmap
