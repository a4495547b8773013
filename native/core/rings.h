// Two weighted hash rings for every group of instances that serves the same models (algorithm.md
// section 3). A generation of rings is immutable: the control plane builds the next one in a spare
// buffer and swaps it in whole. A reader announces what it reads; a buffer is only built in again
// when nobody announces it.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "fleet_state.h"

namespace dualmap {

inline constexpr uint32_t kNone = UINT32_MAX;
inline constexpr uint32_t kPointsPerWeight = 160;

struct RingPoint {
  uint64_t position;
  uint32_t slot;
  uint32_t padding;
};

/// An instance as the builder sees it. An instance without models serves any model.
struct RingMember {
  uint32_t slot;
  double weight;
  uint64_t identity;
  std::vector<uint64_t> models;  // XXH3 of the names
};

struct RingGroup {
  uint32_t members;    // instances
  uint32_t membersAt;  // index of the first in the list of slots
  uint32_t points[2];  // points of ring 0, ring 1
  uint32_t pointsAt[2];
  uint32_t radixBits[2];
  uint32_t radixAt[2];
};

struct RingModel {
  uint64_t model;  // XXH3 of the name
  uint32_t group;
  uint32_t padding;
};

/// Header of a ring buffer; the arrays follow it.
struct alignas(kLineBytes) RingTable {
  uint64_t ringSeed;
  uint32_t groups;
  uint32_t models;         // sorted by name hash
  uint32_t groupAny;       // all instances: a request that names no model
  uint32_t groupUnlisted;  // those that serve models which nobody lists; kNone if there are none
  uint64_t groupsAt, modelsAt, membersAt, pointsAt, radixAt;  // bytes from the table
};

class Rings {
 public:
  [[nodiscard]] static uint64_t bytesFor(const Capacities& capacities) noexcept;

  explicit Rings(const FleetState& state, uint32_t thread) noexcept
      : state_(&state), thread_(thread) {}

  enum class BuildResult : uint32_t { built = 0, busy = 1, tooLarge = 2 };

  /// Builds rings over `members` and swaps them in. Control plane only, one thread at a time.
  /// `busy`: readers hold every spare buffer just now; call again.
  [[nodiscard]] BuildResult build(const std::vector<RingMember>& members,
                                  uint64_t ringSeed) noexcept;

  /// Of the rings that readers get from now on; every build raises it. 0: none yet.
  [[nodiscard]] uint64_t version() const noexcept;

  /// Whether a decision under way may still read rings older than `version`. Once false it stays so
  /// for this version. A slot that left the rings with it is reused no sooner: what was reserved by
  /// a decision that ended is visible to the caller then.
  [[nodiscard]] bool isReadBefore(uint64_t version) const noexcept;

  /// What one decision reads. Announces on construction and withdraws on destruction; must not
  /// outlive the call that made it.
  class Reading {
   public:
    explicit Reading(const Rings& rings) noexcept;
    ~Reading() noexcept;
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

    /// The group that serves a model (0: unnamed); kNone if nobody does.
    [[nodiscard]] uint32_t groupOf(uint64_t model) const noexcept;
    [[nodiscard]] const RingGroup& group(uint32_t index) const noexcept { return groups_[index]; }
    [[nodiscard]] const uint32_t* members(const RingGroup& group) const noexcept {
      return members_ + group.membersAt;
    }
    /// Index of the first point at or after the key's position on ring 0 or 1.
    [[nodiscard]] uint32_t start(const RingGroup& group, uint32_t ring,
                                 uint64_t key) const noexcept;

    /// The first instance clockwise from `start` that `accepts`, a predicate on slots; kNone if
    /// none.
    template <typename Accepts>
    [[nodiscard]] uint32_t walk(const RingGroup& group, uint32_t ring, uint32_t start,
                                Accepts&& accepts) const noexcept {
      const RingPoint* points = points_ + group.pointsAt[ring];
      const uint32_t count = group.points[ring];
      for (uint32_t i = 0, at = start; i < count; ++i, at = at + 1 == count ? 0 : at + 1) {
        if (accepts(points[at].slot)) return points[at].slot;
      }
      return kNone;
    }

   private:
    ReaderLine& line_;
    const RingTable* table_ = nullptr;
    const RingGroup* groups_ = nullptr;
    const RingModel* models_ = nullptr;
    const uint32_t* members_ = nullptr;
    const RingPoint* points_ = nullptr;
    const uint32_t* radix_ = nullptr;
  };

 private:
  const FleetState* state_;
  uint32_t thread_;
};

}  // namespace dualmap
