// A fleet state of a test's own, and slots taken and freed as src/core/fleet-state.ts does.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/fleet_state.h"
#include "core/hotness.h"
#include "core/rings.h"
#include "core/xxh3.h"

namespace dualmap::test {

class Fleet {
 public:
  static Capacities defaults() {
    Capacities capacities;
    capacities.instancesMax = 32;
    capacities.threadsMax = 8;
    capacities.ringPointsMax = 40'000;
    capacities.indexBlocks = 1 << 14;
    capacities.hotnessRequestsMax = 4096;
    capacities.waitingMax = 500;
    return capacities;
  }

  /// `skew`: bytes by which the memory misses the alignment of a cache line.
  explicit Fleet(const Capacities& capacities = defaults(), size_t skew = 0)
      : memory_(std::calloc(FleetState::bytesFor(capacities) + skew, 1)), skew_(skew) {
    FleetState::create(memory(), capacities);
    isAttached = state.attach(memory());
  }
  ~Fleet() { std::free(memory_); }
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  [[nodiscard]] void* memory() const { return static_cast<char*>(memory_) + skew_; }

  /// Takes a slot and lets it serve; its engine starts with an empty cache.
  uint32_t add(uint64_t capacityBlocks = 1000, double perTokenMs = 0.1) {
    auto& count = state.header().instanceCount;
    uint32_t index = 0;
    while (index < count && !isReusable(state.slot(index))) ++index;
    InstanceSlot& slot = state.slot(index);
    slot.generation = slot.generation % 1023 + 1;
    slot.identity = identityOf(index);
    slot.capacityBlocks = capacityBlocks;
    slot.speed.perTokenMs = perTokenMs;
    slot.failures = 0;
    slot.suspectUntilMs = 0;
    setState(index, InstanceState::serving);
    if (index == count) count = index + 1;
    return index;
  }

  void setState(uint32_t slot, InstanceState value) {
    state.slot(slot).state = static_cast<uint32_t>(value);
  }

  static bool isReusable(const InstanceSlot& slot) {
    return slot.state == static_cast<uint32_t>(InstanceState::free) && slot.holds == 0;
  }

  static uint64_t identityOf(uint32_t slot) {
    return xxh3("http://instance-" + std::to_string(slot) + ":8000");
  }

  /// Members for the slots, all of one weight, that serve any model.
  static std::vector<RingMember> membersOf(const std::vector<uint32_t>& slots) {
    std::vector<RingMember> members;
    for (const uint32_t slot : slots) members.push_back({slot, 1.0, identityOf(slot), {}});
    return members;
  }

  /// `count` serving instances in slots 0 .. count - 1, on the rings.
  void serve(uint32_t count, uint64_t capacityBlocks = 1000) {
    std::vector<uint32_t> slots;
    for (uint32_t i = 0; i < count; ++i) slots.push_back(add(capacityBlocks));
    Rings rings(state, 0);
    isBuilt = rings.build(membersOf(slots), 1) == Rings::BuildResult::built;
  }

  /// Nothing is reserved anywhere.
  [[nodiscard]] bool isIdle() const {
    for (uint32_t index = 0; index < state.header().instanceCount; ++index) {
      const InstanceSlot& slot = state.slot(index);
      for (const LoadWord* load : {&slot.queued, &slot.prefilling, &slot.decoding}) {
        if (load->read().requests != 0 || load->read().tokens != 0) return false;
      }
      if (slot.holds != 0) return false;
    }
    return true;
  }

  FleetState state;
  bool isAttached = false;
  bool isBuilt = false;

 private:
  void* memory_;
  size_t skew_;
};

}  // namespace dualmap::test
