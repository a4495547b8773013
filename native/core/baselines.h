// The rules that DualMap is compared with (simulation.md, "Baselines"), behind the same interface
// and on the same information: the router's own counters, the prefix index, the fitted speeds and
// the stated capacities. Each says in its head whose rule it is. What a rule would read in an
// engine's own metrics it takes from the counters, which are newer. All are called as any policy:
// inside one `Rings::Reading`, each object by one thread; what they remember lies in the fleet
// state. None leaves a trace when only asked to explain.
//
// Of what is equal, one after the other has its turn. Suspects are chosen among only if nobody else
// serves.
#pragma once

#include <cstdint>
#include <memory>

#include "policy.h"

namespace dualmap {

/// Depth of the key of the rules on one ring: 4 KB (1,024 tokens), as the first block of a trace is
/// often shared by everybody (traces/README.md).
inline constexpr uint32_t kRingLevel = 3;

/// Requests that wait for an instance, in the router or there, or run on it.
inline uint64_t requestsOf(const InstanceSlot& slot) noexcept {
  return uint64_t{slot.queued.read().requests} + slot.prefilling.read().requests +
         slot.decoding.read().requests;
}

/// nullptr if the name is not that of a baseline.
[[nodiscard]] std::unique_ptr<Policy> makeBaseline(PolicyName name);

/// Those of them that make a sum of every instance: linear in the fleet by their nature.
[[nodiscard]] std::unique_ptr<Policy> makeScoredBaseline(PolicyName name);

}  // namespace dualmap
