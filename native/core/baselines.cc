// The baselines that need not weigh every instance: drawn at random, or found on a ring.
#include "baselines.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "estimate.h"

namespace dualmap {

namespace {

// Random numbers of one decision (splitmix64). Seeded by the request and its turn: the same ones
// when it is explained first, others for the next request with the same prompt.
class Draws {
 public:
  Draws(const FleetView& fleet, const RequestView& request) noexcept
      : seed_(request.levels->keys[request.levels->count - 1] + fleet.turn() * kStep) {}

  [[nodiscard]] uint32_t below(uint32_t count) noexcept {
    seed_ += kStep;
    uint64_t bits = seed_;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
    bits ^= bits >> 31;
    return static_cast<uint32_t>(((bits >> 32) * count) >> 32);
  }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;
  uint64_t seed_;
};

// An instance drawn at random among those that may be chosen, without `except`; kNone if there is
// none. In a fleet where few may be, the next one after the last draw.
uint32_t draw(const FleetView& fleet, Draws& draws, uint32_t except) noexcept {
  constexpr int kDrawsMax = 8;
  const uint32_t* members = fleet.rings.members(fleet.group);
  const uint32_t count = fleet.group.members;
  if (count == 0) return kNone;
  uint32_t at = 0;
  for (int i = 0; i < kDrawsMax; ++i) {
    at = draws.below(count);
    if (members[at] != except && fleet.isAvailable(members[at])) return members[at];
  }
  for (const bool takesSuspects : {false, true}) {
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t slot = members[(at + i) % count];
      const bool accepts = takesSuspects ? fleet.isServing(slot) : fleet.isAvailable(slot);
      if (slot != except && accepts) return slot;
    }
  }
  return kNone;
}

// One instance drawn at random, uniformly; after a failure another one.
class RandomChoice final : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    Draws draws(fleet, request);
    out->first = draw(fleet, draws, kNone);
    if (out->first == kNone) return false;
    out->second = draw(fleet, draws, out->first);
    out->reason = Reason::random;
    fleet.measurePair(request, out);
    return true;
  }
};

// Two distinct instances drawn at random; the one that would have computed this prompt sooner
// (Azar, Broder, Karlin, Upfal: Balanced Allocations, 1994; Mitzenmacher, 2001).
class PowerOfTwo final : public Policy {
 public:
  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    Draws draws(fleet, request);
    out->first = draw(fleet, draws, kNone);
    if (out->first == kNone) return false;
    out->second = draw(fleet, draws, out->first);
    // A suspect is for retries, not to be compared with.
    fleet.measurePair(request, out);
    out->reason = Reason::only;
    if (out->second == kNone) return true;
    out->reason = Reason::lessLoadedOfTwo;
    const bool isFair = fleet.isAvailable(out->second) || !fleet.isAvailable(out->first);
    const auto cost = [](const Candidate& c) { return c.pendingTokens + c.uncachedTokens; };
    if (isFair && cost(out->other) < cost(out->chosen)) std::swap(out->chosen, out->other);
    return true;
  }
};

// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018): clockwise
// from the key, the first instance that has less than its share, which is 1.25 times the mean of
// all requests, this one included, rounded up. Somebody always has less than the mean.
class BoundedHash final : public Policy {
 public:
  static constexpr double kBalance = 1.25;

  bool choose(const FleetView& fleet, const RequestView& request, Decision* out) noexcept override {
    out->level = std::min(kRingLevel, request.levels->count - 1);
    const uint64_t key = out->key = request.levels->keys[out->level];
    const uint32_t home = fleet.walk(0, key, kNone);
    if (home == kNone) return false;
    const bool takesSuspects = !fleet.isAvailable(home);
    const uint64_t cap = capOf(fleet, takesSuspects);
    const auto next = [&](uint32_t except) {
      const uint32_t slot = fleet.rings.walk(
          fleet.group, 0, fleet.rings.start(fleet.group, 0, key), [&](uint32_t at) {
            return at != except && mayTake(fleet, at, takesSuspects) &&
                   requestsOf(fleet.state.slot(at)) < cap;
          });
      return slot != kNone ? slot : fleet.walk(0, key, except);
    };
    out->first = next(kNone);
    if (out->first == kNone) return false;
    out->second = fleet.group.members > 1 ? next(out->first) : kNone;
    out->reason = out->first == home ? Reason::ring : Reason::ringFull;
    fleet.measurePair(request, out);
    return true;
  }

 private:
  static bool mayTake(const FleetView& fleet, uint32_t slot, bool takesSuspects) noexcept {
    return takesSuspects ? fleet.isServing(slot) : fleet.isAvailable(slot);
  }

  // Linear in the fleet, as the mean is nowhere kept.
  static uint64_t capOf(const FleetView& fleet, bool takesSuspects) noexcept {
    const uint32_t* members = fleet.rings.members(fleet.group);
    uint64_t requests = 1;
    uint64_t count = 0;
    for (uint32_t i = 0; i < fleet.group.members; ++i) {
      if (!mayTake(fleet, members[i], takesSuspects)) continue;
      requests += requestsOf(fleet.state.slot(members[i]));
      count += 1;
    }
    const double mean =
        static_cast<double>(requests) / static_cast<double>(std::max<uint64_t>(1, count));
    return static_cast<uint64_t>(std::ceil(kBalance * mean));
  }
};

}  // namespace

std::unique_ptr<Policy> makeBaseline(PolicyName name) {
  switch (name) {
    case PolicyName::random:
      return std::make_unique<RandomChoice>();
    case PolicyName::powerOfTwo:
      return std::make_unique<PowerOfTwo>();
    case PolicyName::boundedHash:
      return std::make_unique<BoundedHash>();
    default:
      return makeScoredBaseline(name);
  }
}

}  // namespace dualmap
