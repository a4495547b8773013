// The prefill work that each instance was given within the last three minutes: the load of
// `preble` (baselines_scored.cc), which no counter of what is in flight knows. A table in the fleet
// state, shared and written by all threads; any thread may call. What is lost to a race between two
// spans blurs a sum, nothing more.
#pragma once

#include <atomic>
#include <cstdint>

#include "fleet_state.h"

namespace dualmap {

class RecentWork {
 public:
  /// The window, told in so many spans: what is older than all but the oldest of them counts.
  static constexpr double kWindowMs = 180'000;
  static constexpr uint32_t kSpans = 16;

  [[nodiscard]] static uint64_t bytesFor(uint32_t instancesMax) noexcept {
    return uint64_t{instancesMax} * sizeof(Row);
  }

  explicit RecentWork(const FleetState& state) noexcept
      : state_(state), rows_(reinterpret_cast<Row*>(state.recentWork())) {}

  /// A request with so many uncached tokens was given to an instance.
  void add(uint32_t slot, uint64_t tokens, double nowMs) noexcept;

  /// Uncached tokens given to an instance since its engine started, within the window.
  [[nodiscard]] uint64_t tokens(uint32_t slot, double nowMs) const noexcept;

 private:
  // A cell: [round:14 | generation:10 | tokens:40]. The round of a span and the generation of the
  // instance tell whether a cell still counts: nobody has to empty it.
  struct alignas(kLineBytes) Row {
    std::atomic<uint64_t> cells[kSpans];
  };

  static constexpr int kTokenBits = 40;
  static constexpr int kGenerationBits = 10;
  static constexpr uint64_t kTokenMask = (uint64_t{1} << kTokenBits) - 1;
  static constexpr uint64_t kRoundMask = (uint64_t{1} << 14) - 1;

  [[nodiscard]] static uint64_t spanOf(double nowMs) noexcept {
    return static_cast<uint64_t>(nowMs / (kWindowMs / kSpans));
  }
  [[nodiscard]] uint64_t nameOf(uint32_t slot, uint64_t span) const noexcept;

  const FleetState& state_;
  Row* rows_;
};

}  // namespace dualmap
