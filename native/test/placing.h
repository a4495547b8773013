// One policy in a fleet made up for it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/core.h"
#include "fleet.h"
#include "test.h"

namespace dualmap::test {

using Chain = std::vector<uint64_t>;

/// A fleet of `count` and a core with one policy. What is placed is ended at once, so that load is
/// what the test says it is.
class Placing {
 public:
  Placing(PolicyName policy, uint32_t count, PolicyOptions options = {})
      : core(start(policy, count, options)), index(fleet.state) {}

  Decision place(const Chain& chain, double nowMs = 0) {
    Placement placement;
    const auto blocks = static_cast<uint32_t>(chain.size());
    status = core.placeChain(chain.data(), blocks, blocks * 128, 0, nowMs, &placement);
    if (status == PlaceStatus::placed) core.end(placement.ticket, 0);
    return placement.decision;
  }

  /// Slots whose engines hold nothing again, as if they had restarted.
  void forget() {
    for (uint32_t i = 0; i < fleet.state.header().instanceCount; ++i)
      fleet.state.slot(i).generation += 1;
  }
  void hold(const Chain& chain, size_t blocks, uint32_t slot) {
    index.insert(chain.data(), static_cast<uint32_t>(blocks), slot, 0);
  }
  void load(uint32_t slot, uint64_t tokens) { fleet.state.slot(slot).prefilling.add(tokens); }

  Fleet fleet;
  PlaceStatus status = PlaceStatus::placed;
  Core core;
  PrefixIndex index;

 private:
  Core start(PolicyName policy, uint32_t count, const PolicyOptions& placing) {
    fleet.serve(count);
    CoreOptions options;
    options.policy = policy;
    options.placing = placing;
    return Core(fleet.state, 0, options);
  }
};

inline Chain chainOf(Random& random, size_t blocks) {
  Chain chain(blocks);
  for (uint64_t& hash : chain) hash = random.next();
  return chain;
}

/// In the order of the enumeration.
inline std::vector<PolicyName> allPolicies() {
  std::vector<PolicyName> names;
  for (uint32_t name = 0; name <= static_cast<uint32_t>(PolicyName::lmetric); ++name)
    names.push_back(static_cast<PolicyName>(name));
  return names;
}

}  // namespace dualmap::test
