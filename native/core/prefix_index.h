// Which instance holds which prefix block: a set-associative table of fixed size, shared by all
// threads without locks. One probe, most often of one cache line, gives every holder of a block, so
// the cost does not depend on the number of instances.
//
// A block is taken to be resident while fewer blocks than the instance's capacity were inserted
// since its last use: its stamp is compared with the instance's insertion count (both in 1/256
// block). That approximates LRU; re-using a block pushes younger ones no deeper but older ones it
// overtakes do not count, so a re-use advances the count by the share of the cache that the block
// had fallen behind (algorithm.md section 4; the error against a true LRU is measured in
// native/test).
//
// Writers race without harm: a lost update costs one estimate, never memory safety.
#pragma once

#include <atomic>
#include <cstdint>

#include "fleet_state.h"

namespace dualmap {

class PrefixIndex {
 public:
  static constexpr uint32_t kWays = 4;
  static constexpr uint32_t kHolders = 7;
  static constexpr uint64_t kInsertionUnit = 256;

  [[nodiscard]] static uint64_t setsFor(uint32_t blocks) noexcept;
  [[nodiscard]] static uint64_t bytesFor(uint32_t blocks) noexcept;

  explicit PrefixIndex(const FleetState& state) noexcept;

  /// Asks for the memory that `hits` reads first: called as soon as a chain is known, so that it
  /// comes while the pair is looked up.
  void expect(const uint64_t* chain, uint32_t blocks) const noexcept {
    prefetch<Access::read>(chain, blocks);
  }

  /// Leading blocks that each of two instances holds, and whether all of them were used so recently
  /// that renewing them would change nothing. `second` may be kNone (rings.h).
  struct PairHits {
    uint32_t first = 0;
    uint32_t second = 0;
    bool isFirstFresh = true;
    bool isSecondFresh = true;
  };
  [[nodiscard]] PairHits hits(const uint64_t* chain, uint32_t blocks, uint32_t first,
                              uint32_t second) const noexcept;

  /// The serving instance that holds most leading blocks; of equals the one with the least to
  /// prefill. `slot` kNone (rings.h) if nobody holds any. The cost does not depend on the fleet.
  struct Holder {
    uint32_t slot;
    uint32_t blocks;
  };
  [[nodiscard]] Holder warmest(const uint64_t* chain, uint32_t blocks) const noexcept;

  /// Leading blocks of every instance: `out[slot]` for slots below `slots`.
  void hitsOfAll(const uint64_t* chain, uint32_t blocks, uint32_t* out,
                 uint32_t slots) const noexcept;

  /// The instance is about to hold the whole chain: inserts what is new and renews what is not. The
  /// head of a chain counts as used last, as engines evict a finished sequence from its tail.
  void insert(const uint64_t* chain, uint32_t blocks, uint32_t slot, double nowMs) noexcept;

 private:
  /// One block and who holds it, in one cache line.
  struct alignas(kLineBytes) Entry {
    std::atomic<uint64_t> tag;
    std::atomic<uint64_t> holders[kHolders];
  };

  static constexpr uint32_t kBatch = 16;
  // Blocks in a row that a crowded set may have lost: who holds a deeper block holds these too.
  static constexpr uint32_t kGapMax = 2;

  // The entry where a block lies if its set is not crowded.
  [[nodiscard]] uint64_t homeOf(uint64_t hash) const noexcept { return hash & mask_; }
  // A line that is only read stays with the other threads too.
  enum class Access : int { read = 0, write = 1 };
  template <Access access>
  void prefetch(const uint64_t* chain, uint32_t blocks) const noexcept {
    // Memory is what a probe costs: the lines of a whole batch are under way at the same time.
    for (uint32_t i = 0; i < blocks && i < kBatch; ++i) {
      __builtin_prefetch(&entries_[homeOf(chain[i])], static_cast<int>(access));
    }
  }
  [[nodiscard]] const Entry* find(uint64_t hash) const noexcept;
  // Calls `holds(holder, depth, known)` with every holder of every block from the head on, as long
  // as one of a block's holders answers true; `known` is the depth up to which it must hold
  // already.
  template <typename Holds>
  void walk(const uint64_t* chain, uint32_t blocks, Holds&& holds) const noexcept;
  [[nodiscard]] Entry* findOrTake(uint64_t hash, uint64_t age) noexcept;
  [[nodiscard]] Entry* take(uint64_t home, uint64_t name, uint64_t age) noexcept;
  [[nodiscard]] bool isResident(uint64_t holder, const InstanceSlot& slot) const noexcept;
  class Depth;
  [[nodiscard]] std::atomic<uint64_t>* holderFor(Entry& entry, uint32_t slot) noexcept;

  const FleetState* state_;
  Entry* entries_;
  uint64_t mask_;
};

}  // namespace dualmap
