// What a router leaves to others that fill the same instances and share nothing with it
// (algorithm.md section 7), so that the order of section 6 holds among them too. What waits in them
// is not seen; that something waits shows in the metrics of the engines.
#include <algorithm>

#include "estimate.h"
#include "queues.h"

namespace dualmap {

namespace {

// For so many times its objective after requests of other routers were last seen to wait somewhere
// a request reckons with more of them.
constexpr double kYieldTimes = 1.5;
// A request that can be in time leaves new room for this share of its own prefill: cheaper ones of
// other routers come before it. More of it idles engines, less is lost in how late room is seen.
constexpr double kCheaperShare = 0.1;
// A little later than the tokens should be computed: a sum that comes to the same is not the same.
constexpr double kSlackMs = 1;

}  // namespace

double Queues::peersTokensAt(uint32_t slot, double nowMs) const noexcept {
  return options_.hasPeers ? peersTokens(state_->slot(slot), nowMs) : 0;
}

// What waits in the engine is served in order of arrival: with requests of other routers in it the
// next one is better kept here, in its order.
bool Queues::isFullOfPeers(uint32_t slot, double nowMs) const noexcept {
  return peersTokensAt(slot, nowMs) > static_cast<double>(options_.prefillWindowTokens);
}

// When an engine full of theirs has computed enough of them, or may show that it has more: routers
// that all look then choose in order, not by chance.
double Queues::peersLookMs(uint32_t slot, double nowMs) const noexcept {
  const double tokens =
      peersTokensAt(slot, nowMs) - static_cast<double>(options_.prefillWindowTokens);
  const double perTokenMs = state_->slot(slot).speed.perTokenMs.load(std::memory_order_relaxed);
  return nowMs + std::min(kScrapeLookMs, tokens * perTokenMs + kSlackMs);
}

// Until when a request leaves the room of an instance to those of other routers that go before it:
// a late one to whatever can still be in time, one that can be in time to cheaper ones. Requests
// reach routers at random: the fewer of the claims here are in time, the fewer of theirs are, and
// the shorter a late one yields. Where all are late nobody does.
double Queues::yieldsUntilMs(uint32_t node, uint32_t slot, double nowMs) const noexcept {
  if (!options_.hasPeers || options_.order != QueueOrder::deadline) return 0;
  const Waiting& waiting = waiting_[placeOf(node)];
  const InstanceSlot& instance = state_->slot(slot);
  const double seenMs = instance.peersWaitedAtMs.load(std::memory_order_relaxed);
  const bool isUrgent = waiting.priority < 0;
  if (seenMs == 0 || isUrgent) return 0;
  const double reckonsMs = kYieldTimes * (waiting.deadlineMs - waiting.arrivalMs);
  const Stand& at = waiting.stand[standOf(node)];
  const InstanceQueue& queue = queues_[slot];
  if (at.isLate) return seenMs + reckonsMs * (1 - queue.lateShare);
  if (nowMs >= seenMs + reckonsMs) return 0;
  const double perTokenMs = instance.speed.perTokenMs.load(std::memory_order_relaxed);
  return queue.roomSinceMs + kCheaperShare * perTokenMs * static_cast<double>(at.uncachedTokens);
}

}  // namespace dualmap
