// The rules that choose an instance for a request, behind one interface. Pure functions of what
// they are shown: no clock, no reservation, no memory of their own. Called inside one
// `Rings::Reading`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "fleet_state.h"
#include "hotness.h"
#include "prefix_index.h"
#include "prompt.h"
#include "rings.h"

namespace dualmap {

enum class PolicyName : uint32_t {
  dualmapPaper,
  roundRobin,
  leastTokens,
  consistentHash,
  dualmap,
  random,
  leastRequests,
  powerOfTwo,
  boundedHash,
  minTtft,
  preble,
  cacheAware,
  dynamoCost,
  llmdDefault,
  lmetric,
};

struct PolicyOptions {
  double sloTtftMs = 5000;
  double sloFraction = 0.5;  // warm stays chosen up to this share of the SLO
  double tokensPerByte = 0.25;
  double sloTtftMsPerToken = 0;  // of the prompt; the SLO is the sum of both
  uint32_t keyLevel = kNone;     // of every key; kNone: as its hotness asks for
  uint32_t hotRequestsMin = 20;  // seen by this router, for a key to be hot
};

/// What a rule may know of a request.
struct RequestView {
  const uint64_t* chain;  // block hashes
  uint32_t blocks;
  const LevelKeys* levels;
  uint64_t promptTokens;
  bool usesPrefixCache;  // embeddings do not
  double tokensPerByte;
  double sloTtftMs;
};

/// An instance as a candidate of one request.
struct Candidate {
  uint32_t slot = kNone;
  uint64_t cachedTokens = 0;
  uint64_t uncachedTokens = 0;
  uint64_t pendingTokens = 0;  // queued for it or sent to it, first token not yet seen
  double ttftEstimateMs = 0;
  uint32_t insertFrom = 0;  // blocks before this one need no renewal in the prefix index
};

enum class Reason : uint32_t {
  only,                // no second candidate
  warmWithinSlo,       // longer cached prefix, and its TTFT stays within the SLO share
  equalHitLessLoaded,  // equal cached prefix: the less loaded one
  sloExceeded,         // the warm one would miss: the smaller TTFT
  rotation,            // round_robin
  leastTokens,
  ring,           // consistent_hash
  leastRequests,  // routes without a prompt, and rules that count requests
  retryOther,     // after a failure: the other candidate
  retryNext,      // after more failures: the next distinct instance
  warmClaim,      // no other candidate holds more of its prefix
  coldClaim,      // the other candidate holds more, but would have been too late
  random,
  lessLoadedOfTwo,  // power_of_two
  ringFull,         // bounded_hash: those before it on the ring have their share
  leastCost,        // of a sum that the rule makes of every instance
  bestMatch,        // it holds most of the prefix
  smallestTree,     // cache_aware: nobody holds enough of the prefix
  migrated,         // moved here from the queue of its other candidate, while it waited
  home,             // about equal cached prefix: the candidate that every router takes
};

struct Decision {
  Candidate chosen;
  Candidate other;  // tried first if the chosen one fails; slot kNone if there is none
  Candidate third;  // holds more of the prefix than the pair of its key; or slot kNone
  uint32_t first = kNone;
  uint32_t second = kNone;
  uint32_t level = 0;
  uint64_t key = 0;  // what was looked up on the rings; 0: nothing was
  Reason reason = Reason::only;
};

/// An instance as a candidate of a request of which it holds `hitBlocks` leading blocks.
[[nodiscard]] Candidate measure(const FleetState& state, double tokensPerByte,
                                uint64_t promptTokens, uint32_t slot, uint32_t hitBlocks,
                                bool isFresh) noexcept;

/// Whether two candidates hold about as much of a prompt: they differ by an eighth of it at most.
[[nodiscard]] inline bool isNearEqual(uint64_t uncachedTokens, uint64_t otherUncachedTokens,
                                      uint64_t promptTokens) noexcept {
  const uint64_t more = std::max(uncachedTokens, otherUncachedTokens);
  const uint64_t less = std::min(uncachedTokens, otherUncachedTokens);
  return (more - less) * 8 <= promptTokens;
}

/// Whether a decision leaves a trace in the hotness window and in the turns of equals.
enum class Counting : bool { no = false, yes = true };

/// What a rule reads of the fleet during one decision.
class FleetView {
 public:
  FleetView(const FleetState& state, const PrefixIndex& index, Hotness& hotness,
            const Rings::Reading& rings, const RingGroup& group, const PolicyOptions& options,
            double nowMs, Counting counting = Counting::yes) noexcept
      : state(state),
        index(index),
        hotness(hotness),
        rings(rings),
        group(group),
        options(options),
        nowMs(nowMs),
        counting(counting) {}

  [[nodiscard]] bool isServing(uint32_t slot) const noexcept {
    // Whoever sees an instance leave sees the rings that others joined before.
    const auto value = state.slot(slot).state.load(std::memory_order_acquire);
    return value == static_cast<uint32_t>(InstanceState::serving);
  }
  [[nodiscard]] bool isSuspect(uint32_t slot) const noexcept {
    return nowMs < state.slot(slot).suspectUntilMs.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool isAvailable(uint32_t slot) const noexcept {
    return isServing(slot) && !isSuspect(slot);
  }

  /// Level of the request's key. `isLoaded`: see hotness.h.
  template <typename IsLoaded>
  [[nodiscard]] KeyLevel levelOf(const LevelKeys& levels, IsLoaded&& isLoaded) const noexcept {
    if (options.keyLevel != kNone) return {std::min(options.keyLevel, levels.count - 1), 1};
    return counting == Counting::yes ? hotness.levelOf(levels, group.members, isLoaded)
                                     : hotness.peekLevelOf(levels, group.members, isLoaded);
  }
  /// Whose turn it is among equals.
  [[nodiscard]] uint64_t turn() const noexcept {
    std::atomic<uint64_t>& turns = state.header().roundRobin;
    return counting == Counting::yes ? turns.fetch_add(1, std::memory_order_relaxed)
                                     : turns.load(std::memory_order_relaxed);
  }

  /// The first instance clockwise that is available and not `except`; if there is none, one that at
  /// least serves: a fleet of suspects is still a fleet.
  [[nodiscard]] uint32_t walk(uint32_t ring, uint64_t key, uint32_t except) const noexcept;

  [[nodiscard]] Candidate measure(const RequestView& request, uint32_t slot, uint32_t hitBlocks,
                                  bool isFresh) const noexcept;

  /// Measures `pair->first` as the chosen one and `pair->second`, if there is one, as the other.
  void measurePair(const RequestView& request, Decision* pair) const noexcept;

  const FleetState& state;
  const PrefixIndex& index;
  Hotness& hotness;
  const Rings::Reading& rings;
  const RingGroup& group;
  const PolicyOptions& options;
  const double nowMs;
  const Counting counting;
};

struct QueueOptions;

class Policy {
 public:
  virtual ~Policy() = default;
  /// False if no instance of the group serves.
  [[nodiscard]] virtual bool choose(const FleetView& fleet, const RequestView& request,
                                    Decision* out) noexcept = 0;
};

[[nodiscard]] std::unique_ptr<Policy> makePolicy(PolicyName name, const QueueOptions& queue);

/// The rule for routes without a prompt: fewest requests in flight.
[[nodiscard]] bool chooseLeastRequests(const FleetView& fleet, Decision* out) noexcept;

}  // namespace dualmap
