#include "token_ratios.h"

#include <algorithm>
#include <cmath>

namespace dualmap {

namespace {

// The default counts like one page of text: the first real prompt outweighs it.
constexpr double kDefaultBytes = 2'048;
// What is remembered. A model's text changes with its users, so older prompts fade.
constexpr double kMemoryBytes = 1'048'576;
// One prompt is never more than a sixteenth of that, however long.
constexpr double kPromptBytesMax = kMemoryBytes / 16;
// One prompt moves the ratio at most as if it were twice or half of it: a wrong report is an
// outlier.
constexpr double kStepMax = 2;
// News smaller than this are not worth a write to a line that every thread reads.
constexpr double kNewsMin = 0.02;

uint64_t keyOf(uint64_t model) noexcept { return model == 0 ? 1 : model; }

}  // namespace

TokenRatios::Row* TokenRatios::find(uint64_t model) const noexcept {
  const uint64_t key = keyOf(model);
  for (uint32_t step = 0; step < kModelsMax; ++step) {
    Row& row = rows_[(key + step) % kModelsMax];
    const uint64_t found = row.model.load(std::memory_order_relaxed);
    if (found == key) return &row;
    if (found == 0) return nullptr;
  }
  return nullptr;
}

// Rows are taken in probing order and never given back, so two threads that learn of one model meet
// on the same row: the loser of the exchange sees whose it is.
TokenRatios::Row* TokenRatios::findOrTake(uint64_t model) noexcept {
  const uint64_t key = keyOf(model);
  for (uint32_t step = 0; step < kModelsMax; ++step) {
    Row& row = rows_[(key + step) % kModelsMax];
    uint64_t found = 0;
    if (row.model.compare_exchange_strong(found, key, std::memory_order_relaxed)) return &row;
    if (found == key) return &row;
  }
  return nullptr;
}

double TokenRatios::tokensPerByte(uint64_t model) const noexcept {
  const Row* row = find(model);
  if (row == nullptr) return tokensPerByteDefault_;
  // Zero: the row was taken a moment ago and says nothing yet.
  const double ratio = row->tokensPerByte.load(std::memory_order_relaxed);
  return ratio > 0 ? ratio : tokensPerByteDefault_;
}

// Relaxed and not atomic as a whole: of two prompts that end at once one may go unlearnt.
void TokenRatios::learn(uint64_t model, uint64_t bytes, uint64_t tokens) noexcept {
  if (bytes == 0 || tokens == 0) return;
  Row* row = findOrTake(model);
  if (row == nullptr) return;
  const double known = row->bytes.load(std::memory_order_relaxed);
  const double behind = known > 0 ? known : kDefaultBytes;
  const double before = tokensPerByte(model);
  const double reported = static_cast<double>(tokens) / static_cast<double>(bytes);
  const double said = std::clamp(reported, before / kStepMax, before * kStepMax);
  const double weight = std::min(static_cast<double>(bytes), kPromptBytesMax);
  const double after = before + (said - before) * weight / (behind + weight);
  if (known >= kMemoryBytes && std::abs(said - before) < kNewsMin * before) return;
  row->tokensPerByte.store(after, std::memory_order_relaxed);
  // A report that had to be cut does not stand behind what came out: the next ones move it on.
  const double grown = said == reported ? behind + weight : behind;
  row->bytes.store(std::min(grown, kMemoryBytes), std::memory_order_relaxed);
}

}  // namespace dualmap
