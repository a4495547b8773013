// The baselines that make a cost of every instance and take the smallest.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "baselines.h"
#include "chain.h"
#include "estimate.h"
#include "recent_work.h"

namespace dualmap {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// An instance that may be chosen, as it stands at this moment.
struct Seen {
  Candidate candidate;
  double hitTokens = 0;         // whole blocks
  uint64_t requests = 0;        // waiting and running
  uint64_t waiting = 0;         // of these: first token not yet seen
  uint64_t decodingTokens = 0;  // of the prompts of the others
  uint64_t heldTokens = 0;      // these, and what was sent there to compute
  double cost = 0;              // the rule's
};

// Surveys the fleet, lets the rule price every instance, takes the two cheapest.
class Scored : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    survey(fleet, request);
    if (seen_.empty()) return false;
    out->reason = price(fleet, request, seen_);
    const Seen* best = nullptr;
    const Seen* next = nullptr;
    for (const Seen& seen : seen_) {
      if (best == nullptr || seen.cost < best->cost) {
        next = best;
        best = &seen;
      } else if (next == nullptr || seen.cost < next->cost) {
        next = &seen;
      }
    }
    out->chosen = best->candidate;
    if (next != nullptr) out->other = next->candidate;
    out->first = out->chosen.slot;
    out->second = out->other.slot;
    return true;
  }

 protected:
  // Sets the cost of each. Of equal costs the first is taken.
  virtual Reason price(const FleetView& fleet, const RequestView& request,
                       std::span<Seen> fleetSeen) const noexcept = 0;

 private:
  // In the order of members, from the one whose turn it is.
  void survey(const FleetView& fleet, const RequestView& request) noexcept {
    seen_.clear();
    const uint32_t slots = fleet.state.header().instanceCount.load(std::memory_order_relaxed);
    hits_.resize(slots);
    const uint32_t blocks = request.usesPrefixCache ? request.blocks : 0;
    fleet.index.hitsOfAll(request.chain, blocks, hits_.data(), slots);
    const uint32_t* members = fleet.rings.members(fleet.group);
    const uint32_t count = fleet.group.members;
    const uint64_t turn = fleet.turn();
    for (const bool takesSuspects : {false, true}) {
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t slot = members[(turn + i) % count];
        const bool accepts = takesSuspects ? fleet.isServing(slot) : fleet.isAvailable(slot);
        if (accepts) seen_.push_back(look(fleet, request, slot, hits_[slot]));
      }
      if (!seen_.empty()) return;
    }
  }

  static Seen look(const FleetView& fleet, const RequestView& request, uint32_t slot,
                   uint32_t hitBlocks) noexcept {
    const InstanceSlot& instance = fleet.state.slot(slot);
    const LoadWord::Value queued = instance.queued.read();
    const LoadWord::Value prefilling = instance.prefilling.read();
    const LoadWord::Value decoding = instance.decoding.read();
    Seen seen;
    seen.candidate = fleet.measure(request, slot, hitBlocks, false);
    seen.hitTokens = hitBlocks * double{kBlockBytes} * request.tokensPerByte;
    seen.waiting = uint64_t{queued.requests} + prefilling.requests;
    seen.requests = seen.waiting + decoding.requests;
    seen.decodingTokens = decoding.tokens;
    seen.heldTokens = prefilling.tokens + decoding.tokens;
    return seen;
  }

  std::vector<uint32_t> hits_;
  std::vector<Seen> seen_;
};

// Fewest requests, waiting and running.
class LeastRequests final : public Scored {
  Reason price(const FleetView&, const RequestView&,
               std::span<Seen> fleetSeen) const noexcept override {
    for (Seen& seen : fleetSeen) seen.cost = static_cast<double>(seen.requests);
    return Reason::leastRequests;
  }
};

// Smallest estimated time to first token, of queue and own prefill: the rule of Mooncake's
// conductor (Qin et al., FAST 2025) with one tier of cache and no transfer between instances.
class MinTtft final : public Scored {
  Reason price(const FleetView&, const RequestView&,
               std::span<Seen> fleetSeen) const noexcept override {
    for (Seen& seen : fleetSeen) seen.cost = seen.candidate.ttftEstimateMs;
    return Reason::leastCost;
  }
};

// E2 of Preble (Srivatsa et al., ICLR 2025). Exploit: if more of the prompt is cached than not,
// the least loaded of those that hold most of it. Else explore: the smallest sum of the load of the
// last three minutes, what is lost by evicting for this request, and its own prefill, all in time.
// What is evicted is worth recomputing by the share of prompts that the instance finds in its
// cache. Left out: time of decoding (the router counts no output) and moving load off a hot owner.
class Preble final : public Scored {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    if (!Scored::choose(fleet, request, out)) return false;
    if (fleet.counting == Counting::yes) {
      RecentWork(fleet.state).add(out->chosen.slot, out->chosen.uncachedTokens, fleet.nowMs);
    }
    return true;
  }

 private:
  Reason price(const FleetView& fleet, const RequestView& request,
               std::span<Seen> fleetSeen) const noexcept override {
    uint64_t matched = 0;
    for (const Seen& seen : fleetSeen) matched = std::max(matched, seen.candidate.cachedTokens);
    const bool exploits = matched > request.promptTokens - matched;
    const RecentWork recent(fleet.state);
    for (Seen& seen : fleetSeen) {
      const InstanceSlot& slot = fleet.state.slot(seen.candidate.slot);
      const double load =
          static_cast<double>(recent.tokens(seen.candidate.slot, fleet.nowMs)) * perTokenMs(slot);
      if (exploits) {
        seen.cost = seen.candidate.cachedTokens == matched ? load : kNever;
      } else {
        seen.cost = load + evictionMs(slot, request, seen.candidate.uncachedTokens) +
                    static_cast<double>(seen.candidate.uncachedTokens) * perTokenMs(slot);
      }
    }
    return exploits ? Reason::bestMatch : Reason::leastCost;
  }

  static double perTokenMs(const InstanceSlot& slot) noexcept {
    return slot.speed.perTokenMs.load(std::memory_order_relaxed);
  }

  static double evictionMs(const InstanceSlot& slot, const RequestView& request,
                           uint64_t uncachedTokens) noexcept {
    const double blockTokens = kBlockBytes * request.tokensPerByte;
    const auto capacity = static_cast<double>(slot.capacityBlocks.load(std::memory_order_relaxed));
    const double inserted = static_cast<double>(slot.insertions.load(std::memory_order_relaxed)) /
                            PrefixIndex::kInsertionUnit;
    const double room = (capacity - std::min(inserted, capacity)) * blockTokens;
    const double evicted = std::max(0.0, static_cast<double>(uncachedTokens) - room);
    const auto seen = static_cast<double>(slot.promptTokensTotal.load(std::memory_order_relaxed));
    const auto hit = static_cast<double>(slot.cachedTokensTotal.load(std::memory_order_relaxed));
    return seen > 0 ? evicted * hit / seen * perTokenMs(slot) : 0;
  }
};

// The cache-aware policy of SGLang's router, with its defaults: while the busiest has more than 64
// requests over the idlest and more than 1.5 times as many, the shortest queue; else, if anybody
// holds more than 0.3 of the prompt, who holds most of it; else the smallest tree. The tree of an
// instance is what it was given to hold, up to what it can.
class CacheAware final : public Scored {
 public:
  static constexpr uint64_t kBalanceAbsolute = 64;
  static constexpr double kBalanceRelative = 1.5;
  static constexpr double kCacheThreshold = 0.3;

 private:
  Reason price(const FleetView& fleet, const RequestView& request,
               std::span<Seen> fleetSeen) const noexcept override {
    uint64_t most = 0;
    uint64_t fewest = UINT64_MAX;
    double matched = 0;
    for (const Seen& seen : fleetSeen) {
      most = std::max(most, seen.requests);
      fewest = std::min(fewest, seen.requests);
      matched = std::max(matched, seen.hitTokens);
    }
    if (most - fewest > kBalanceAbsolute &&
        static_cast<double>(most) > kBalanceRelative * static_cast<double>(fewest)) {
      for (Seen& seen : fleetSeen) seen.cost = static_cast<double>(seen.requests);
      return Reason::leastRequests;
    }
    if (matched > kCacheThreshold * static_cast<double>(request.promptTokens)) {
      for (Seen& seen : fleetSeen) seen.cost = -seen.hitTokens;
      return Reason::bestMatch;
    }
    for (Seen& seen : fleetSeen) {
      const InstanceSlot& slot = fleet.state.slot(seen.candidate.slot);
      const uint64_t capacity = slot.capacityBlocks.load(std::memory_order_relaxed);
      seen.cost = static_cast<double>(std::min(slot.insertions.load(std::memory_order_relaxed),
                                               capacity * PrefixIndex::kInsertionUnit));
    }
    return Reason::smallestTree;
  }
};

// The KV router of NVIDIA Dynamo with its default weights and no temperature (its documentation,
// "Routing Concepts"): blocks left to prefill, of this request and those before it, less what is
// cached of it, plus decode blocks. These are of the sequences past their first token: the router
// knows no more than their prompts.
class DynamoCost final : public Scored {
 public:
  static constexpr double kBlockTokens = 16;  // vLLM's

 private:
  Reason price(const FleetView&, const RequestView& request,
               std::span<Seen> fleetSeen) const noexcept override {
    for (Seen& seen : fleetSeen) {
      const auto ahead = static_cast<double>(seen.candidate.pendingTokens + request.promptTokens);
      const double overlap = std::floor(seen.hitTokens / kBlockTokens);
      seen.cost = std::max(0.0, ahead / kBlockTokens - overlap) +
                  static_cast<double>(seen.decodingTokens) / kBlockTokens;
    }
    return Reason::leastCost;
  }
};

// The default profile of llm-d's scheduler, made of scorers of the Gateway API inference extension:
// queue (2), KV use (2), prefix (3). The queue scores 1 for the shortest down to 0 for the longest
// of the fleet; the prefix by the share of the prompt's first 256 blocks of 16 tokens.
class LlmdDefault final : public Scored {
 public:
  static constexpr double kBlockTokens = 16;
  static constexpr double kBlocksMax = 256;

 private:
  Reason price(const FleetView& fleet, const RequestView& request,
               std::span<Seen> fleetSeen) const noexcept override {
    uint64_t longest = 0;
    uint64_t shortest = UINT64_MAX;
    for (const Seen& seen : fleetSeen) {
      longest = std::max(longest, seen.waiting);
      shortest = std::min(shortest, seen.waiting);
    }
    const double prompt = static_cast<double>(request.promptTokens) / kBlockTokens;
    const double blocks = std::min(std::floor(prompt), kBlocksMax);
    for (Seen& seen : fleetSeen) {
      const double queue = longest == shortest ? 1
                                               : static_cast<double>(longest - seen.waiting) /
                                                     static_cast<double>(longest - shortest);
      const double matched = std::min(std::floor(seen.hitTokens / kBlockTokens), blocks);
      const double match = blocks > 0 ? matched / blocks : 0;
      seen.cost = -(2 * queue + 2 * (1 - kvUse(fleet, request, seen)) + 3 * match);
    }
    return Reason::leastCost;
  }

  // Of the prompts alone: how much was written since is the engine's to know.
  static double kvUse(const FleetView& fleet, const RequestView& request,
                      const Seen& seen) noexcept {
    const InstanceSlot& slot = fleet.state.slot(seen.candidate.slot);
    const auto capacity = static_cast<double>(slot.capacityBlocks.load(std::memory_order_relaxed));
    const double tokens = capacity * kBlockBytes * request.tokensPerByte;
    return tokens > 0 ? std::min(1.0, static_cast<double>(seen.heldTokens) / tokens) : 1;
  }
};

// LMetric (Simple is Better: Multiplication May Be All You Need for LLM Request Scheduling,
// arXiv 2603.15202): the tokens left to prefill, this request's included, times the requests there
// with it.
class LMetric final : public Scored {
  Reason price(const FleetView&, const RequestView&,
               std::span<Seen> fleetSeen) const noexcept override {
    for (Seen& seen : fleetSeen) {
      const uint64_t tokens = seen.candidate.pendingTokens + seen.candidate.uncachedTokens;
      seen.cost = static_cast<double>(tokens) * static_cast<double>(seen.requests + 1);
    }
    return Reason::leastCost;
  }
};

}  // namespace

std::unique_ptr<Policy> makeScoredBaseline(PolicyName name) {
  switch (name) {
    case PolicyName::leastRequests:
      return std::make_unique<LeastRequests>();
    case PolicyName::minTtft:
      return std::make_unique<MinTtft>();
    case PolicyName::preble:
      return std::make_unique<Preble>();
    case PolicyName::cacheAware:
      return std::make_unique<CacheAware>();
    case PolicyName::dynamoCost:
      return std::make_unique<DynamoCost>();
    case PolicyName::llmdDefault:
      return std::make_unique<LlmdDefault>();
    case PolicyName::lmetric:
      return std::make_unique<LMetric>();
    default:
      return nullptr;
  }
}

}  // namespace dualmap
