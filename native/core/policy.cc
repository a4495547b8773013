#include "policy.h"

#include <algorithm>
#include <utility>

#include "baselines.h"
#include "estimate.h"
#include "queues.h"
#include "xxh3.h"

namespace dualmap {

uint32_t FleetView::walk(uint32_t ring, uint64_t key, uint32_t except) const noexcept {
  const uint32_t start = rings.start(group, ring, key);
  const uint32_t found = rings.walk(
      group, ring, start, [&](uint32_t slot) { return slot != except && isAvailable(slot); });
  if (found != kNone) return found;
  return rings.walk(group, ring, start,
                    [&](uint32_t slot) { return slot != except && isServing(slot); });
}

Candidate measure(const FleetState& state, double tokensPerByte, uint64_t promptTokens,
                  uint32_t slot, uint32_t hitBlocks, bool isFresh) noexcept {
  const auto cached = static_cast<uint64_t>(hitBlocks * double{kBlockBytes} * tokensPerByte);
  Candidate candidate;
  candidate.slot = slot;
  candidate.insertFrom = isFresh ? hitBlocks : 0;
  // An engine always computes at least one token.
  candidate.cachedTokens = std::min(cached, promptTokens - 1);
  candidate.uncachedTokens = promptTokens - candidate.cachedTokens;
  candidate.pendingTokens = pendingPrefillTokens(state.slot(slot));
  candidate.ttftEstimateMs = estimateTtftMs(state.slot(slot), candidate.pendingTokens,
                                            candidate.uncachedTokens, promptTokens);
  return candidate;
}

Candidate FleetView::measure(const RequestView& request, uint32_t slot, uint32_t hitBlocks,
                             bool isFresh) const noexcept {
  return dualmap::measure(state, request.tokensPerByte, request.promptTokens, slot, hitBlocks,
                          isFresh);
}

void FleetView::measurePair(const RequestView& request, Decision* pair) const noexcept {
  const uint32_t blocks = request.usesPrefixCache ? request.blocks : 0;
  const auto hits = index.hits(request.chain, blocks, pair->first, pair->second);
  pair->chosen = measure(request, pair->first, hits.first, hits.isFirstFresh);
  if (pair->second == kNone) return;
  pair->other = measure(request, pair->second, hits.second, hits.isSecondFresh);
}

namespace {

// algorithm.md sections 2-4 as published: the pair of the adaptive key, the warm one within the
// SLO.
class DualMapPaper final : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    const auto always = [](uint64_t) { return true; };
    out->level = fleet.levelOf(*request.levels, always).index;
    const uint64_t key = out->key = request.levels->keys[out->level];
    out->first = fleet.walk(0, key, kNone);
    if (out->first == kNone) return false;
    out->second = fleet.group.members > 1 ? fleet.walk(1, key, out->first) : kNone;

    fleet.measurePair(request, out);
    if (out->second == kNone) {
      out->reason = Reason::only;
      return true;
    }
    const Candidate& first = out->chosen;
    const Candidate& second = out->other;
    bool takesFirst = true;
    if (first.cachedTokens == second.cachedTokens) {
      out->reason = Reason::equalHitLessLoaded;
      takesFirst = isLessLoaded(fleet, first, second);
    } else {
      const bool isFirstWarm = first.cachedTokens > second.cachedTokens;
      const Candidate& warm = isFirstWarm ? first : second;
      if (warm.ttftEstimateMs <= fleet.options.sloFraction * request.sloTtftMs) {
        out->reason = Reason::warmWithinSlo;
        takesFirst = isFirstWarm;
      } else {
        out->reason = Reason::sloExceeded;
        takesFirst = first.ttftEstimateMs <= second.ttftEstimateMs;
      }
    }
    if (!takesFirst) std::swap(out->chosen, out->other);
    return true;
  }

 private:
  // Pending prefill first; ties are broken on decode load, then on the first ring.
  static bool isLessLoaded(const FleetView& fleet, const Candidate& first,
                           const Candidate& second) noexcept {
    if (first.pendingTokens != second.pendingTokens)
      return first.pendingTokens < second.pendingTokens;
    return fleet.state.slot(first.slot).decoding.read().tokens <=
           fleet.state.slot(second.slot).decoding.read().tokens;
  }
};

// The pair of the adaptive key; the one that holds more of the prefix is asked first (algorithm.md
// section 6a). Which of them gets the request is settled when one has room (queues.h). Without
// queues it is the one with the smaller TTFT.
class DualMap final : public Policy {
 public:
  explicit DualMap(const QueueOptions& queue) noexcept
      : bindsLate_(queue.isOn && queue.bindsLate),
        isFleetWide_(bindsLate_ && queue.isFleetWide),
        hasPeers_(queue.hasPeers) {}

  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    // A key is moved to a longer one only while its pair is busy: a lone user is no hotspot.
    const auto isLoaded = [&](uint64_t key) {
      const uint32_t first = fleet.walk(0, key, kNone);
      if (first == kNone || !isBusy(fleet, first)) return false;
      // Those of other routers keep to its home as well.
      if (hasPeers_) return true;
      const uint32_t second = fleet.group.members > 1 ? fleet.walk(1, key, first) : kNone;
      return second == kNone || isBusy(fleet, second);
    };
    const KeyLevel level = fleet.levelOf(*request.levels, isLoaded);
    out->level = level.index;
    const uint32_t pair = level.pairs > 1 ? static_cast<uint32_t>(fleet.turn() % level.pairs) : 0;
    const uint64_t key = out->key = pairKey(request.levels->keys[level.index], pair);
    out->first = fleet.walk(0, key, kNone);
    if (out->first == kNone) return false;
    out->second = fleet.group.members > 1 ? fleet.walk(1, key, out->first) : kNone;

    fleet.measurePair(request, out);
    if (out->second == kNone) {
      out->reason = Reason::only;
      return true;
    }
    Candidate& first = out->chosen;
    Candidate& second = out->other;
    out->reason = Reason::equalHitLessLoaded;
    bool takesFirst = first.pendingTokens <= second.pendingTokens;
    if (hasPeers_ &&
        isNearEqual(first.uncachedTokens, second.uncachedTokens, request.promptTokens)) {
      out->reason = Reason::home;
      takesFirst = true;
    } else if (first.uncachedTokens != second.uncachedTokens) {
      out->reason = Reason::warmClaim;
      takesFirst = bindsLate_ ? first.uncachedTokens < second.uncachedTokens
                              : first.ttftEstimateMs <= second.ttftEstimateMs;
    }
    if (!takesFirst) std::swap(first, second);
    // With several pairs an earlier turn of it may have gone to another one.
    if (isFleetWide_ || level.pairs > 1) addThird(fleet, request, out);
    return true;
  }

 private:
  // The key of one of the pairs of a hot key: the first is its own, and when the key grows hotter
  // or cooler those before the last stay what they are.
  static uint64_t pairKey(uint64_t key, uint32_t pair) noexcept {
    return pair == 0 ? key : xxh3Word(key, pair);
  }

  // Whoever holds more of the prefix than both, wherever it is: an earlier turn went there. Or as
  // much and has less to do: of what many share the pair holds no more than others.
  void addThird(const FleetView& fleet, const RequestView& request, Decision* out) const noexcept {
    const uint32_t blocks = request.usesPrefixCache ? request.blocks : 0;
    const PrefixIndex::Holder holder = fleet.index.warmest(request.chain, blocks);
    if (holder.slot == kNone || !fleet.isAvailable(holder.slot)) return;
    // It may have served this model before, and not any more.
    const auto modelsOf = [&](uint32_t slot) { return fleet.state.slot(slot).models.load(); };
    if (modelsOf(holder.slot) != modelsOf(out->first)) return;
    if (holder.slot == out->first || holder.slot == out->second) return;
    const Candidate third = fleet.measure(request, holder.slot, holder.blocks, false);
    const Candidate& chosen = out->chosen;
    if (third.uncachedTokens > chosen.uncachedTokens) return;
    if (third.uncachedTokens == chosen.uncachedTokens &&
        (hasPeers_ || third.pendingTokens >= chosen.pendingTokens)) {
      return;
    }
    out->third = out->other;
    out->other = out->chosen;
    out->chosen = third;
  }

  static bool isBusy(const FleetView& fleet, uint32_t slot) noexcept {
    return pendingPrefillTokens(fleet.state.slot(slot)) > 0;
  }

  const bool bindsLate_;
  const bool isFleetWide_;
  const bool hasPeers_;
};

// Members in order, one after the other, over all threads.
class RoundRobin final : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    const uint32_t* members = fleet.rings.members(fleet.group);
    const uint32_t count = fleet.group.members;
    const uint64_t turn = fleet.turn();
    const auto next = [&](uint32_t except, auto accepts) {
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t slot = members[(turn + i) % count];
        if (slot != except && accepts(slot)) return slot;
      }
      return kNone;
    };
    const auto pick = [&](uint32_t except) {
      const uint32_t slot = next(except, [&](uint32_t s) { return fleet.isAvailable(s); });
      return slot != kNone ? slot : next(except, [&](uint32_t s) { return fleet.isServing(s); });
    };
    out->first = pick(kNone);
    if (out->first == kNone) return false;
    out->second = pick(out->first);
    out->reason = Reason::rotation;
    fleet.measurePair(request, out);
    return true;
  }
};

// argmin of pending prefill tokens + this request's uncached tokens, over all instances
// (simulation.md). Linear in the fleet by its nature.
class LeastTokens final : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    const uint32_t slots = fleet.state.header().instanceCount.load(std::memory_order_relaxed);
    hits_.resize(slots);
    const uint32_t blocks = request.usesPrefixCache ? request.blocks : 0;
    fleet.index.hitsOfAll(request.chain, blocks, hits_.data(), slots);
    out->reason = Reason::leastTokens;
    if (!best(fleet, request, false, out) && !best(fleet, request, true, out)) return false;
    out->first = out->chosen.slot;
    out->second = out->other.slot;
    return true;
  }

 private:
  bool best(const FleetView& fleet, const RequestView& request, bool takesSuspects,
            Decision* out) const noexcept {
    const uint32_t* members = fleet.rings.members(fleet.group);
    out->chosen = out->other = Candidate{};
    const auto cost = [](const Candidate& c) { return c.pendingTokens + c.uncachedTokens; };
    for (uint32_t i = 0; i < fleet.group.members; ++i) {
      if (takesSuspects ? !fleet.isServing(members[i]) : !fleet.isAvailable(members[i])) continue;
      const Candidate candidate = fleet.measure(request, members[i], hits_[members[i]], false);
      if (out->chosen.slot == kNone || cost(candidate) < cost(out->chosen)) {
        out->other = out->chosen;
        out->chosen = candidate;
      } else if (out->other.slot == kNone || cost(candidate) < cost(out->other)) {
        out->other = candidate;
      }
    }
    return out->chosen.slot != kNone;
  }

  std::vector<uint32_t> hits_;
};

// One ring, whatever the load: cache affinity alone.
class ConsistentHash final : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    out->level = std::min(kRingLevel, request.levels->count - 1);
    const uint64_t key = out->key = request.levels->keys[out->level];
    out->first = fleet.walk(0, key, kNone);
    if (out->first == kNone) return false;
    out->second = fleet.group.members > 1 ? fleet.walk(0, key, out->first) : kNone;
    out->reason = Reason::ring;
    fleet.measurePair(request, out);
    return true;
  }
};

}  // namespace

std::unique_ptr<Policy> makePolicy(PolicyName name, const QueueOptions& queue) {
  switch (name) {
    case PolicyName::dualmapPaper:
      return std::make_unique<DualMapPaper>();
    case PolicyName::roundRobin:
      return std::make_unique<RoundRobin>();
    case PolicyName::leastTokens:
      return std::make_unique<LeastTokens>();
    case PolicyName::consistentHash:
      return std::make_unique<ConsistentHash>();
    case PolicyName::dualmap:
      return std::make_unique<DualMap>(queue);
    default:
      return makeBaseline(name);
  }
}

bool chooseLeastRequests(const FleetView& fleet, Decision* out) noexcept {
  const uint32_t* members = fleet.rings.members(fleet.group);
  const uint32_t count = fleet.group.members;
  // Equal loads take turns.
  const uint64_t turn = fleet.turn();
  uint64_t bestLoad = UINT64_MAX;
  for (const bool takesSuspects : {false, true}) {
    for (uint32_t i = 0; i < count && bestLoad > 0; ++i) {
      const uint32_t slot = members[(turn + i) % count];
      if (takesSuspects ? !fleet.isServing(slot) : !fleet.isAvailable(slot)) continue;
      const uint64_t load = fleet.state.slot(slot).holds.load(std::memory_order_relaxed);
      if (load >= bestLoad) continue;
      bestLoad = load;
      out->chosen.slot = out->first = slot;
    }
    if (out->first != kNone) break;
  }
  out->reason = Reason::leastRequests;
  return out->first != kNone;
}

}  // namespace dualmap
