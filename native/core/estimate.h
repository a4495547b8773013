// Expected time to first token (algorithm.md sections 4 and 7). Reads only the slot. Milliseconds.
//
//   base + perToken * (pending + n) + perTokenContext * n * (L - n/2) + perRunning * running
//
// n: own uncached tokens, L: tokens of the prompt; the third term is their attention to what lies
// before them. The published rule is the second term alone: the others are zero then, in the slot.
// src/compute/estimate.ts fits the same sum and must change with this one.
#pragma once

#include <algorithm>

#include "fleet_state.h"

namespace dualmap {

/// Uncached tokens queued for an instance or sent to it whose first token is not yet seen.
inline uint64_t pendingPrefillTokens(const InstanceSlot& slot) noexcept {
  return slot.queued.read().tokens + slot.prefilling.read().tokens;
}

/// Uncached tokens of other routers that wait in the engine: what its metrics showed, each request
/// as long as ours are, less what it has computed since.
inline double peersTokens(const InstanceSlot& slot, double nowMs) noexcept {
  const double waiting = slot.peersWaiting.load(std::memory_order_relaxed);
  if (waiting <= 0) return 0;
  const auto total = [](const std::atomic<uint64_t>& of) {
    return static_cast<double>(of.load(std::memory_order_relaxed));
  };
  const double requests = total(slot.requestsTotal);
  if (requests == 0) return 0;
  const double mean = (total(slot.promptTokensTotal) - total(slot.cachedTokensTotal)) / requests;
  const double ageMs = nowMs - slot.scrapedAtMs.load(std::memory_order_relaxed);
  const double perTokenMs = slot.speed.perTokenMs.load(std::memory_order_relaxed);
  return perTokenMs > 0 ? std::max(0.0, waiting * mean - ageMs / perTokenMs) : 0;
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

/// Whether the KV of what runs in an engine leaves no room for another request, so that whatever is
/// sent there waits in it in order of arrival. Two witnesses are heard, as each alone is wrong: the
/// engine's metrics are old, and our sum counts what requests share once for each of them.
/// Engines that do not tell, or whose size is not known, are never full.
inline bool isMemoryFull(const InstanceSlot& slot, double tokensPerBlock, double nowMs) noexcept {
  constexpr double kFullShare = 0.9;
  constexpr double kFreshMs = 3'000;  // three scrapes
  const uint64_t tokens = slot.decoding.readInOrder().tokens + slot.prefilling.readInOrder().tokens;
  const auto blocks = static_cast<double>(slot.capacityBlocks.load(std::memory_order_relaxed));
  if (blocks == 0 || static_cast<double>(tokens) < kFullShare * tokensPerBlock * blocks) {
    return false;
  }
  if (slot.scrapedKvUse.load(std::memory_order_relaxed) < kFullShare) return false;
  return nowMs - slot.scrapedAtMs.load(std::memory_order_relaxed) < kFreshMs;
}

}  // namespace dualmap
