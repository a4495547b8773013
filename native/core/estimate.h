// Expected time to first token (algorithm.md section 4). Reads only the slot; Milliseconds.
#pragma once

#include "fleet_state.h"

namespace dualmap {

/// Uncached tokens queued for an instance or sent to it whose first token is not yet seen.
inline uint64_t pendingPrefillTokens(const InstanceSlot& slot) noexcept {
  return slot.queued.read().tokens + slot.prefilling.read().tokens;
}

/// TTFT of a request behind which `tokens` uncached tokens, its own included, must be computed.
inline double estimateTtftMs(const InstanceSlot& slot, uint64_t tokens) noexcept {
  return slot.speed.baseMs.load(std::memory_order_relaxed) +
         slot.speed.perTokenMs.load(std::memory_order_relaxed) * static_cast<double>(tokens);
}

}  // namespace dualmap
