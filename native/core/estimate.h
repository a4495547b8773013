// Expected time to first token (algorithm.md sections 4 and 7). Reads only the slot. Milliseconds.
//
//   base + perToken * (pending + n) + perTokenContext * n * (L - n/2) + perRunning * running
//
// n: own uncached tokens, L: tokens of the prompt; the third term is their attention to what lies
// before them. The published rule is the second term alone: the others are zero then, in the slot.
// src/compute/estimate.ts fits the same sum and must change with this one.
#pragma once

#include "fleet_state.h"

namespace dualmap {

/// Uncached tokens queued for an instance or sent to it whose first token is not yet seen.
inline uint64_t pendingPrefillTokens(const InstanceSlot& slot) noexcept {
  return slot.queued.read().tokens + slot.prefilling.read().tokens;
}

/// TTFT of a request with `uncachedTokens` of its `promptTokens` to compute, behind `pendingTokens`
/// uncached tokens of others.
inline double estimateTtftMs(const InstanceSlot& slot, uint64_t pendingTokens,
                             uint64_t uncachedTokens, uint64_t promptTokens) noexcept {
  const SpeedCoefficients& speed = slot.speed;
  const auto own = static_cast<double>(uncachedTokens);
  const double ahead = static_cast<double>(pendingTokens);
  const double context = own * (static_cast<double>(promptTokens) - own / 2);
  const double running = slot.decoding.read().requests;
  return speed.baseMs.load(std::memory_order_relaxed) +
         speed.perTokenMs.load(std::memory_order_relaxed) * (ahead + own) +
         speed.perTokenContextMs.load(std::memory_order_relaxed) * context +
         speed.perRunningMs.load(std::memory_order_relaxed) * running;
}

}  // namespace dualmap
