#include "recent_work.h"

#include <algorithm>

namespace dualmap {

// All of a cell but its tokens.
uint64_t RecentWork::nameOf(uint32_t slot, uint64_t span) const noexcept {
  const uint64_t generation = state_.slot(slot).generation.load(std::memory_order_relaxed);
  const uint64_t round = (span / kSpans) & kRoundMask;
  return ((round << kGenerationBits) | generation) << kTokenBits;
}

void RecentWork::add(uint32_t slot, uint64_t tokens, double nowMs) noexcept {
  const uint64_t span = spanOf(nowMs);
  const uint64_t name = nameOf(slot, span);
  std::atomic<uint64_t>& cell = rows_[slot].cells[span % kSpans];
  // Relaxed: a cell publishes nothing but itself.
  uint64_t word = cell.load(std::memory_order_relaxed);
  uint64_t sum = 0;
  do {
    const uint64_t before = (word & ~kTokenMask) == name ? word & kTokenMask : 0;
    sum = std::min(before + tokens, kTokenMask);
  } while (!cell.compare_exchange_weak(word, name | sum, std::memory_order_relaxed));
}

uint64_t RecentWork::tokens(uint32_t slot, double nowMs) const noexcept {
  const uint64_t last = spanOf(nowMs);
  uint64_t sum = 0;
  for (uint64_t age = 0; age < kSpans && age <= last; ++age) {
    const uint64_t span = last - age;
    const uint64_t word = rows_[slot].cells[span % kSpans].load(std::memory_order_relaxed);
    if ((word & ~kTokenMask) == nameOf(slot, span)) sum += word & kTokenMask;
  }
  return sum;
}

}  // namespace dualmap
