#include "fleet_state.h"

#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "hotness.h"
#include "prefix_index.h"
#include "queues.h"
#include "recent_work.h"
#include "rings.h"
#include "token_ratios.h"

namespace dualmap {

namespace {

uint64_t roundUp(uint64_t bytes) noexcept {
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

// A wish; the kernel may not have such pages, or not grant them.
void preferHugePages([[maybe_unused]] char* begin, [[maybe_unused]] uint64_t bytes) noexcept {
#if defined(__linux__)
  constexpr uintptr_t kPageBytes = uintptr_t{2} << 20;
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = (address + kPageBytes - 1) / kPageBytes * kPageBytes;
  const uintptr_t end = (address + bytes) / kPageBytes * kPageBytes;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

StateLayout layoutOf(const Capacities& capacities) noexcept {
  StateLayout layout{};
  uint64_t at = roundUp(sizeof(StateHeader));
  const auto take = [&at](uint64_t bytes) {
    const uint64_t offset = at;
    at += roundUp(bytes);
    return offset;
  };
  layout.slots = take(uint64_t{capacities.instancesMax} * sizeof(InstanceSlot));
  layout.readers = take(uint64_t{capacities.threadsMax} * sizeof(ReaderLine));
  layout.stats = take(uint64_t{capacities.threadsMax} * kThreadStatsBytes);
  for (uint64_t& offset : layout.rings) offset = take(Rings::bytesFor(capacities));
  layout.index = take(PrefixIndex::bytesFor(capacities.indexBlocks));
  layout.hotness = take(Hotness::bytesFor(capacities.hotnessRequestsMax));
  layout.queues = take(Queues::bytesFor(capacities));
  layout.tokenRatios = take(TokenRatios::kBytes);
  layout.recentWork = take(RecentWork::bytesFor(capacities.instancesMax));
  layout.bytes = at;
  return layout;
}

uint64_t FleetState::bytesFor(const Capacities& capacities) noexcept {
  return layoutOf(capacities).bytes + kLineBytes;
}

uint64_t FleetState::alignmentOffset(const void* memory) noexcept {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  return (kLineBytes - address % kLineBytes) % kLineBytes;
}

void FleetState::create(void* memory, const Capacities& capacities, Pages pages) noexcept {
  if (pages == Pages::huge) preferHugePages(static_cast<char*>(memory), bytesFor(capacities));
  // Now, while nobody waits: the first requests would else wait for page after page of the index,
  // a good part of a millisecond for each huge one.
  std::memset(memory, 0, bytesFor(capacities));
  auto* header = new (static_cast<char*>(memory) + alignmentOffset(memory)) StateHeader{};
  header->layoutVersion = kLayoutVersion;
  header->instancesMax = capacities.instancesMax;
  header->threadsMax = capacities.threadsMax;
  header->ringPointsMax = capacities.ringPointsMax;
  header->indexSets = PrefixIndex::setsFor(capacities.indexBlocks);
  header->hotnessRequestsMax = capacities.hotnessRequestsMax;
  header->waitingMax = capacities.waitingMax;
  header->hotnessWindow.store(Hotness::kRequestsMin, std::memory_order_relaxed);
  header->magic = kMagic;
  FleetState state;
  DUALMAP_ASSERT(state.attach(memory), "what was laid out cannot be attached");
  Queues::create(state);
}

bool FleetState::attach(void* memory) noexcept {
  base_ = static_cast<char*>(memory) + alignmentOffset(memory);
  const StateHeader& found = header();
  if (found.magic != kMagic || found.layoutVersion != kLayoutVersion) return false;
  capacities_.instancesMax = found.instancesMax;
  capacities_.threadsMax = found.threadsMax;
  capacities_.ringPointsMax = found.ringPointsMax;
  capacities_.indexBlocks = static_cast<uint32_t>(found.indexSets * PrefixIndex::kWays / 2);
  capacities_.hotnessRequestsMax = found.hotnessRequestsMax;
  capacities_.waitingMax = found.waitingMax;
  layout_ = layoutOf(capacities_);
  return true;
}

}  // namespace dualmap
