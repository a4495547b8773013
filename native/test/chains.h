// Chains of block hashes, and short names for what tests do to a prefix index.
#pragma once

#include <vector>

#include "core/prefix_index.h"
#include "core/rings.h"
#include "fleet.h"
#include "test.h"

namespace dualmap::test {

using Chain = std::vector<uint64_t>;

inline uint32_t hitsOf(const PrefixIndex& index, const Chain& chain, uint32_t slot) {
  return index.hits(chain.data(), static_cast<uint32_t>(chain.size()), slot, kNone).first;
}

inline void insert(PrefixIndex& index, const Chain& chain, uint32_t slot, double nowMs = 0) {
  index.insert(chain.data(), static_cast<uint32_t>(chain.size()), slot, nowMs);
}

inline Chain freshChain(Random& random, size_t blocks) {
  Chain chain(blocks);
  for (uint64_t& hash : chain) hash = random.next();
  return chain;
}

/// An index so large that no set is ever crowded.
inline Capacities roomy() {
  Capacities capacities = Fleet::defaults();
  capacities.indexBlocks = 1 << 17;
  return capacities;
}

}  // namespace dualmap::test
