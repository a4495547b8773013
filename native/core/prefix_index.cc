#include "prefix_index.h"

#include <algorithm>

#include "estimate.h"
#include "rings.h"

namespace dualmap {

namespace {

// holder: [slot:14][generation:10][stamp:40]; 0 is empty, as generations start at 1.
constexpr int kStampBits = 40;
constexpr uint64_t kStampMask = (uint64_t{1} << kStampBits) - 1;
constexpr uint64_t kGenerationMask = 1023;

constexpr uint32_t slotOf(uint64_t holder) noexcept { return static_cast<uint32_t>(holder >> 50); }
constexpr uint32_t generationOf(uint64_t holder) noexcept {
  return static_cast<uint32_t>((holder >> kStampBits) & kGenerationMask);
}
// All of a holder but its stamp.
constexpr uint64_t whoOf(uint32_t slot, uint32_t generation) noexcept {
  return (uint64_t{slot} << 10) | (generation & kGenerationMask);
}
constexpr uint64_t holderOf(uint32_t slot, uint32_t generation, uint64_t stamp) noexcept {
  return (whoOf(slot, generation) << kStampBits) | (stamp & kStampMask);
}

// tag: [upper 48 bits of the hash][coarse time of last use:16]; the entry is chosen by lower bits.
constexpr uint64_t kAgeMask = 0xFFFF;
constexpr uint64_t kEmpty = 0;
constexpr uint64_t kTaking = 1;  // a writer is clearing this entry
constexpr double kAgeUnitMs = 4096;

constexpr uint64_t kRenewalShare = 64;  // of the capacity

// How far a holder has fallen behind its instance's insertion count. A stamp ahead of the count is
// that of a thread in the middle of `insert`, which adds to the count last: not behind at all.
constexpr uint64_t behind(uint64_t holder, uint64_t inserted) noexcept {
  const uint64_t age = (inserted - holder) & kStampMask;
  return age > kStampMask / 2 ? 0 : age;
}

constexpr uint64_t nameOf(uint64_t hash) noexcept {
  const uint64_t name = hash & ~kAgeMask;
  return name == 0 ? uint64_t{1} << 16 : name;
}

}  // namespace

uint64_t PrefixIndex::setsFor(uint32_t blocks) noexcept {
  // At most half full, so that few sets are crowded.
  uint64_t sets = 1;
  while (sets * kWays < uint64_t{blocks} * 2) sets *= 2;
  return sets;
}

uint64_t PrefixIndex::bytesFor(uint32_t blocks) noexcept {
  return setsFor(blocks) * kWays * sizeof(Entry);
}

PrefixIndex::PrefixIndex(const FleetState& state) noexcept
    : state_(&state),
      entries_(reinterpret_cast<Entry*>(state.index())),
      mask_(state.header().indexSets * kWays - 1) {}

const PrefixIndex::Entry* PrefixIndex::find(uint64_t hash) const noexcept {
  const uint64_t home = homeOf(hash);
  const uint64_t name = nameOf(hash);
  for (uint32_t way = 0; way < kWays; ++way) {
    const Entry& entry = entries_[home ^ way];
    // Pairs with the release store in findOrTake: the holders seen are those of this tag or later.
    const uint64_t tag = entry.tag.load(std::memory_order_acquire);
    if ((tag & ~kAgeMask) == name) return &entry;
  }
  return nullptr;
}

bool PrefixIndex::isResident(uint64_t holder, const InstanceSlot& slot) const noexcept {
  if (generationOf(holder) != slot.generation.load(std::memory_order_relaxed)) return false;
  const uint64_t inserted = slot.insertions.load(std::memory_order_relaxed);
  const uint64_t capacity = slot.capacityBlocks.load(std::memory_order_relaxed);
  return behind(holder, inserted) < capacity * kInsertionUnit;
}

// The leading blocks of one instance. What decides on their residency is read once for a chain.
class PrefixIndex::Depth {
 public:
  Depth(const FleetState& state, uint32_t index) noexcept {
    if (index == kNone) return;
    const InstanceSlot& slot = state.slot(index);
    who_ = whoOf(index, slot.generation.load(std::memory_order_relaxed));
    inserted_ = slot.insertions.load(std::memory_order_relaxed);
    limit_ = slot.capacityBlocks.load(std::memory_order_relaxed) * kInsertionUnit;
  }

  // Whether this holder of the block at `depth` is the instance, and holds the chain so far.
  bool extend(uint64_t holder, uint32_t depth, uint32_t known) noexcept {
    const uint64_t age = behind(holder, inserted_);
    if (holder >> kStampBits != who_ || held_ != known || age >= limit_) return false;
    held_ = depth + 1;
    oldest_ = std::max(oldest_, age);
    return true;
  }

  [[nodiscard]] uint32_t held() const noexcept { return held_; }
  [[nodiscard]] bool isFresh() const noexcept {
    return held_ == 0 || oldest_ < limit_ / kRenewalShare;
  }

 private:
  uint64_t who_ = UINT64_MAX;  // no holder's
  uint64_t inserted_ = 0;
  uint64_t limit_ = 0;
  uint64_t oldest_ = 0;
  uint32_t held_ = 0;
};

template <typename Holds>
void PrefixIndex::walk(const uint64_t* chain, uint32_t blocks, Holds&& holds) const noexcept {
  // A copy, whose members stay in registers.
  const PrefixIndex index = *this;
  uint32_t known = 0;
  uint32_t gap = 0;
  for (uint32_t depth = 0; depth < blocks; ++depth) {
    const uint32_t next = depth + kBatch;
    if (depth % kBatch == 0 && next < blocks) {
      index.prefetch<Access::read>(chain + next, blocks - next);
    }
    const Entry* entry = index.find(chain[depth]);
    if (entry == nullptr) {
      if (++gap > kGapMax) return;
      continue;
    }
    gap = 0;
    bool isHeld = false;
    for (const std::atomic<uint64_t>& word : entry->holders) {
      const uint64_t holder = word.load(std::memory_order_relaxed);
      if (holder == 0) break;
      isHeld |= holds(holder, depth, known);
    }
    if (!isHeld) return;
    known = depth + 1;
  }
}

PrefixIndex::PairHits PrefixIndex::hits(const uint64_t* chain, uint32_t blocks, uint32_t first,
                                        uint32_t second) const noexcept {
  Depth one(*state_, first);
  Depth two(*state_, second);
  walk(chain, blocks, [&](uint64_t holder, uint32_t depth, uint32_t known) {
    return one.extend(holder, depth, known) || two.extend(holder, depth, known);
  });
  return {one.held(), two.held(), one.isFresh(), two.isFresh()};
}

void PrefixIndex::hitsOfAll(const uint64_t* chain, uint32_t blocks, uint32_t* out,
                            uint32_t slots) const noexcept {
  std::fill(out, out + slots, 0u);
  walk(chain, blocks, [&](uint64_t holder, uint32_t depth, uint32_t known) {
    const uint32_t slot = slotOf(holder);
    if (slot >= slots || out[slot] != known || !isResident(holder, state_->slot(slot)))
      return false;
    out[slot] = depth + 1;
    return true;
  });
}

PrefixIndex::Holder PrefixIndex::warmest(const uint64_t* chain, uint32_t blocks) const noexcept {
  constexpr uint32_t kFoundMax = 2 * kHolders;
  Holder found[kFoundMax];
  uint32_t count = 0;
  walk(chain, blocks, [&](uint64_t word, uint32_t depth, uint32_t) {
    const uint32_t index = slotOf(word);
    const InstanceSlot& slot = state_->slot(index);
    const uint32_t state = slot.state.load(std::memory_order_relaxed);
    if (state != static_cast<uint32_t>(InstanceState::serving) || !isResident(word, slot)) {
      return false;
    }
    uint32_t at = 0;
    while (at < count && found[at].slot != index) ++at;
    if (at == kFoundMax) return false;
    if (at == count) ++count;
    // Who holds a block has had those before it, also where a head that everybody shares has more
    // holders than it has places for.
    found[at] = {index, depth + 1};
    return true;
  });
  Holder best{kNone, 0};
  for (uint32_t at = 0; at < count; ++at) {
    if (found[at].blocks < best.blocks) continue;
    if (found[at].blocks == best.blocks && pendingPrefillTokens(state_->slot(found[at].slot)) >=
                                               pendingPrefillTokens(state_->slot(best.slot))) {
      continue;
    }
    best = found[at];
  }
  return best;
}

// The entry of a block: its own, else a free one of its set, else the one used longest ago. Nullptr
// only while other writers hold the place.
PrefixIndex::Entry* PrefixIndex::findOrTake(uint64_t hash, uint64_t age) noexcept {
  const uint64_t home = homeOf(hash);
  const uint64_t name = nameOf(hash);
  for (uint32_t way = 0; way < kWays; ++way) {
    Entry& entry = entries_[home ^ way];
    uint64_t tag = entry.tag.load(std::memory_order_acquire);
    if (tag == (name | age)) return &entry;
    if ((tag & ~kAgeMask) == name) {
      entry.tag.compare_exchange_strong(tag, name | age, std::memory_order_relaxed);
      return &entry;
    }
  }
  return take(home, name, age);
}

PrefixIndex::Entry* PrefixIndex::take(uint64_t home, uint64_t name, uint64_t age) noexcept {
  Entry* victim = nullptr;
  uint64_t victimTag = 0;
  uint64_t victimIdle = 0;
  for (uint32_t way = 0; way < kWays; ++way) {
    Entry& entry = entries_[home ^ way];
    const uint64_t tag = entry.tag.load(std::memory_order_acquire);
    if (tag == kTaking) continue;
    const uint64_t idle = tag == kEmpty ? UINT64_MAX : ((age - tag) & kAgeMask) + 1;
    if (idle <= victimIdle) continue;
    victim = &entry;
    victimTag = tag;
    victimIdle = idle;
  }
  if (victim == nullptr) return nullptr;
  // Pairs with the release store below: what others wrote for the former block comes before.
  if (!victim->tag.compare_exchange_strong(victimTag, kTaking, std::memory_order_acquire)) {
    return nullptr;
  }
  for (auto& holder : victim->holders) holder.store(0, std::memory_order_relaxed);
  victim->tag.store(name | age, std::memory_order_release);
  return victim;
}

// The word of an instance in an entry: its own, else the first free one (used words come before
// free ones), else one that no longer counts, else any: with seven holders the block is where it
// matters.
std::atomic<uint64_t>* PrefixIndex::holderFor(Entry& entry, uint32_t slot) noexcept {
  for (std::atomic<uint64_t>& word : entry.holders) {
    const uint64_t holder = word.load(std::memory_order_relaxed);
    if (holder == 0 || slotOf(holder) == slot) return &word;
  }
  for (std::atomic<uint64_t>& word : entry.holders) {
    const uint64_t holder = word.load(std::memory_order_relaxed);
    if (!isResident(holder, state_->slot(slotOf(holder)))) return &word;
  }
  return &entry.holders[slot % kHolders];
}

void PrefixIndex::insert(const uint64_t* chain, uint32_t blocks, uint32_t slotIndex,
                         double nowMs) noexcept {
  InstanceSlot& slot = state_->slot(slotIndex);
  const uint64_t capacity = slot.capacityBlocks.load(std::memory_order_relaxed);
  if (capacity == 0) return;
  const uint32_t generation = slot.generation.load(std::memory_order_relaxed);
  const uint64_t idleTag = static_cast<uint64_t>(nowMs / kAgeUnitMs) & kAgeMask;
  const uint64_t before = slot.insertions.load(std::memory_order_relaxed);
  // What cannot fit is not kept: the engine evicts the tail of a prompt larger than its cache.
  const auto kept = static_cast<uint32_t>(std::min<uint64_t>(blocks, capacity));
  const uint64_t limit = capacity * kInsertionUnit;
  // A block used so recently that renewing it would change nothing is left alone.
  const uint64_t renewedBelow = limit / kRenewalShare;
  const double share = 1.0 / static_cast<double>(capacity);
  uint64_t advance = 0;
  // From the tail to the head, so that the head ends up newest.
  for (uint32_t left = kept; left > 0; --left) {
    if ((kept - left) % kBatch == 0) {
      const uint32_t from = left > kBatch ? left - kBatch : 0;
      prefetch<Access::write>(chain + from, left - from);
    }
    Entry* entry = findOrTake(chain[left - 1], idleTag);
    if (entry == nullptr) continue;
    std::atomic<uint64_t>* word = holderFor(*entry, slotIndex);
    const uint64_t holder = word->load(std::memory_order_relaxed);
    const uint64_t age = behind(holder, before);
    const bool isOwn = holder != 0 && slotOf(holder) == slotIndex;
    if (!isOwn || generationOf(holder) != generation || age >= limit) {
      advance += kInsertionUnit;
    } else if (age < renewedBelow) {
      continue;
    } else {
      advance += static_cast<uint64_t>(static_cast<double>(age) * share);
    }
    // Relaxed: a stamp publishes nothing but itself.
    word->store(holderOf(slotIndex, generation, before + advance), std::memory_order_relaxed);
  }
  slot.insertions.fetch_add(advance, std::memory_order_relaxed);
}

}  // namespace dualmap
