#include "hotness.h"

#include <algorithm>

namespace dualmap {

uint64_t Hotness::cellsFor(uint32_t requestsMax) noexcept {
  uint64_t cells = 1024;
  while (cells < uint64_t{requestsMax} * 8) cells *= 2;
  return cells;
}

uint64_t Hotness::bytesFor(uint32_t requestsMax) noexcept {
  return cellsFor(requestsMax) * sizeof(uint64_t) + uint64_t{requestsMax} * sizeof(Record);
}

Hotness::Hotness(const FleetState& state, uint32_t countMin) noexcept
    : state_(&state),
      countMin_(countMin),
      records_(reinterpret_cast<Record*>(
          state.hotness() + cellsFor(state.capacities().hotnessRequestsMax) * sizeof(uint64_t))),
      cells_(reinterpret_cast<std::atomic<uint64_t>*>(state.hotness())),
      cellMask_(cellsFor(state.capacities().hotnessRequestsMax) - 1) {}

void Hotness::resize(uint32_t instances) noexcept {
  StateHeader& header = state_->header();
  const uint32_t most = state_->capacities().hotnessRequestsMax;
  const uint32_t window = std::min(most, std::max(kRequestsMin, kRequestsPerInstance * instances));
  if (header.hotnessWindow.load(std::memory_order_relaxed) == window) return;
  for (uint32_t i = 0; i < most; ++i) {
    for (auto& key : records_[i].keys) key.store(0, std::memory_order_relaxed);
  }
  for (uint64_t i = 0; i <= cellMask_; ++i) cells_[i].store(0, std::memory_order_relaxed);
  header.hotnessHead.store(0, std::memory_order_relaxed);
  header.hotnessWindow.store(window, std::memory_order_relaxed);
}

uint64_t Hotness::requestsSeen() const noexcept {
  const StateHeader& header = state_->header();
  return std::min<uint64_t>(header.hotnessHead.load(std::memory_order_relaxed), window());
}

Hotness::Record& Hotness::nextRecord() noexcept {
  StateHeader& header = state_->header();
  const uint64_t at = header.hotnessHead.fetch_add(1, std::memory_order_relaxed);
  Record& record = records_[at % window()];
  for (std::atomic<uint64_t>& entry : record.keys) {
    const uint64_t key = entry.load(std::memory_order_relaxed);
    if (key == 0) break;
    entry.store(0, std::memory_order_relaxed);
    uncount(key);
  }
  return record;
}

// A count that is already zero stays so: the cell was started anew by another key or by `resize`.
void Hotness::uncount(uint64_t key) noexcept {
  std::atomic<uint64_t>* cell = findCell(key);
  if (cell == nullptr) return;
  uint64_t value = cell->load(std::memory_order_relaxed);
  while ((value & kCountMask) > 0) {
    if (cell->compare_exchange_weak(value, value - 1, std::memory_order_relaxed)) return;
  }
}

uint64_t Hotness::countAfterNext(uint64_t key) const noexcept {
  const std::atomic<uint64_t>* cell = findCell(key);
  if (cell == nullptr) return 1;
  const uint64_t value = cell->load(std::memory_order_relaxed);
  const uint64_t head = state_->header().hotnessHead.load(std::memory_order_relaxed);
  for (const std::atomic<uint64_t>& entry : records_[head % window()].keys) {
    const uint64_t leaving = entry.load(std::memory_order_relaxed);
    if (leaving == 0) break;
    if (leaving == key && (value & kCountMask) > 0) return value;
  }
  return value + 1;
}

std::atomic<uint64_t>* Hotness::bucketOf(uint64_t key) const noexcept {
  return cells_ + ((key * 0x9E3779B97F4A7C15u >> 20) & cellMask_ & ~uint64_t{kBucket - 1});
}

std::atomic<uint64_t>* Hotness::findCell(uint64_t key) const noexcept {
  const uint64_t tag = key & kTagMask;
  std::atomic<uint64_t>* const bucket = bucketOf(key);
  for (uint32_t i = 0; i < kBucket; ++i) {
    std::atomic<uint64_t>& cell = bucket[i];
    const uint64_t value = cell.load(std::memory_order_relaxed);
    if (value != 0 && (value & kTagMask) == tag) return &cell;
  }
  return nullptr;
}

// A cell whose count is zero may be taken over.
std::atomic<uint64_t>* Hotness::findOrTakeCell(uint64_t key) noexcept {
  if (std::atomic<uint64_t>* const found = findCell(key); found != nullptr) return found;
  const uint64_t tag = key & kTagMask;
  std::atomic<uint64_t>* const bucket = bucketOf(key);
  for (uint32_t i = 0; i < kBucket; ++i) {
    std::atomic<uint64_t>& cell = bucket[i];
    uint64_t value = cell.load(std::memory_order_relaxed);
    if ((value & kCountMask) != 0) continue;
    if (cell.compare_exchange_strong(value, tag, std::memory_order_relaxed)) return &cell;
  }
  return nullptr;
}

}  // namespace dualmap
