// What a request takes of an instance and gives back: the counters of its slot, its place in the
// prefix index, and the trial of a suspect. Any thread may reserve for a request of another.
#pragma once

#include <cstdint>

#include "fleet_state.h"
#include "policy.h"
#include "prefix_index.h"

namespace dualmap {

struct SuspicionOptions {
  double backoffMs = 500;
  double backoffMaxMs = 30'000;
};

/// How long an instance stays suspect after so many failures in a row.
[[nodiscard]] double backoffMs(const SuspicionOptions& options, uint32_t failures) noexcept;

/// A request as its reservation sees it. `chain` is borrowed from its ticket.
struct Reserved {
  const uint64_t* chain = nullptr;
  uint32_t blocks = 0;
  uint64_t promptTokens = 0;
  bool usesPrefixCache = false;
};

/// The last part of every reservation, when the tokens are already in `prefilling`. Returns whether
/// the request tries a suspect.
[[nodiscard]] bool finishReserving(const FleetState& state, PrefixIndex& index,
                                   const SuspicionOptions& options, const Reserved& request,
                                   const Candidate& candidate, double nowMs) noexcept;

}  // namespace dualmap
