#include "reservation.h"

#include <algorithm>

namespace dualmap {

double backoffMs(const SuspicionOptions& options, uint32_t failures) noexcept {
  const uint32_t doublings = std::min(failures, 20u) - 1;
  return std::min(options.backoffMaxMs,
                  options.backoffMs * static_cast<double>(uint64_t{1} << doublings));
}

bool finishReserving(const FleetState& state, PrefixIndex& index, const SuspicionOptions& options,
                     const Reserved& request, const Candidate& candidate, double nowMs) noexcept {
  InstanceSlot& slot = state.slot(candidate.slot);
  slot.holds.fetch_add(1, std::memory_order_relaxed);
  if (request.usesPrefixCache) {
    const uint32_t from = candidate.insertFrom;
    index.insert(request.chain + from, request.blocks - from, candidate.slot, nowMs);
  }
  // A suspect whose time is up is tried with one request; the others wait for what becomes of it.
  const uint32_t failures = slot.failures.load(std::memory_order_relaxed);
  const bool isTrial = failures > 0 && nowMs >= slot.suspectUntilMs.load(std::memory_order_relaxed);
  if (isTrial) {
    slot.suspectUntilMs.store(nowMs + backoffMs(options, failures), std::memory_order_relaxed);
  }
  return isTrial;
}

}  // namespace dualmap
