// How large a share of the recent requests each prefix key has, and whether that makes it hot
// (algorithm.md section 2): hot above 2/n, cold again below 1/n, with the bit kept between. Shared
// by all threads without locks; a thread that lags a whole window behind blurs a count, nothing
// more.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "fleet_state.h"
#include "prompt.h"

namespace dualmap {

/// Where the key of a request ends, and how many pairs of candidates share the requests that have
/// it: more than one if it is hot and there is no longer key.
struct KeyLevel {
  uint32_t index = 0;
  uint32_t pairs = 1;
};

class Hotness {
 public:
  static constexpr uint32_t kRequestsMin = 1024;  // the window; at least 32 requests an instance
  static constexpr uint32_t kRequestsPerInstance = 32;
  static constexpr uint32_t kCountMin = 20;  // a key needs as many requests to be hot, by default

  [[nodiscard]] static uint64_t bytesFor(uint32_t requestsMax) noexcept;

  explicit Hotness(const FleetState& state, uint32_t countMin = kCountMin) noexcept;

  /// Fits the window to the number of instances and starts it anew if its size changes.
  void resize(uint32_t instances) noexcept;

  /// The level that `levelOf` would return now, without counting the request.
  template <typename IsLoaded>
  [[nodiscard]] KeyLevel peekLevelOf(const LevelKeys& levels, uint32_t instances,
                                     IsLoaded&& isLoaded) const noexcept {
    const uint64_t seen = std::min<uint64_t>(requestsSeen() + 1, window());
    return firstColdLevel(levels, [&](uint32_t i) {
      return judge(levels.keys[i], countAfterNext(levels.keys[i]), seen, instances, isLoaded);
    });
  }

  /// Counts a request and returns the level of its key: the shallowest that is not hot.
  /// `isLoaded(key)` tells whether both candidates of a key are busy: only then may it become hot.
  template <typename IsLoaded>
  [[nodiscard]] KeyLevel levelOf(const LevelKeys& levels, uint32_t instances,
                                 IsLoaded&& isLoaded) noexcept {
    Record& record = nextRecord();
    // At least this one, also if `resize` has started the window anew since.
    const uint64_t seen = std::max<uint64_t>(1, requestsSeen());
    return firstColdLevel(levels, [&](uint32_t i) {
      record.keys[i].store(levels.keys[i], std::memory_order_relaxed);
      return count(levels.keys[i], seen, instances, isLoaded);
    });
  }

 private:
  static constexpr uint32_t kLevelsCounted = 12;  // 512 << 11: one megabyte
  static constexpr uint32_t kBucket = 8;

  struct Record {
    std::atomic<uint64_t> keys[kLevelsCounted];
  };
  struct Share {
    bool isHot;
    bool isWarm;
    uint32_t pairs = 1;  // so many that none of them gets more than 2/n of the requests
  };

  // The first level whose `shareAt` is not hot.
  template <typename ShareAt>
  static KeyLevel firstColdLevel(const LevelKeys& levels, ShareAt&& shareAt) noexcept {
    KeyLevel level;
    bool isSettled = false;
    for (uint32_t i = 0; i < levels.count && i < kLevelsCounted; ++i) {
      const Share share = shareAt(i);
      if (!isSettled) level = {i, share.isHot ? share.pairs : 1};
      if (!share.isHot) isSettled = true;
      // Deeper keys are counted only under one that could become hot soon.
      if (!share.isWarm) break;
    }
    return level;
  }

  [[nodiscard]] static uint64_t cellsFor(uint32_t requestsMax) noexcept;
  [[nodiscard]] uint64_t window() const noexcept {
    return state_->header().hotnessWindow.load(std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t requestsSeen() const noexcept;
  Record& nextRecord() noexcept;
  void uncount(uint64_t key) noexcept;
  // The cell of a key as it will be when the next request, which has it, is counted.
  [[nodiscard]] uint64_t countAfterNext(uint64_t key) const noexcept;
  [[nodiscard]] std::atomic<uint64_t>* bucketOf(uint64_t key) const noexcept;
  [[nodiscard]] std::atomic<uint64_t>* findCell(uint64_t key) const noexcept;
  [[nodiscard]] std::atomic<uint64_t>* findOrTakeCell(uint64_t key) noexcept;

  // cell: [tag:39][hot:1][count:24]
  static constexpr uint64_t kCountMask = (uint64_t{1} << 24) - 1;
  static constexpr uint64_t kHotBit = uint64_t{1} << 24;
  static constexpr uint64_t kTagMask = ~((uint64_t{1} << 25) - 1);

  template <typename IsLoaded>
  Share count(uint64_t key, uint64_t seen, uint32_t instances, IsLoaded&& isLoaded) noexcept {
    std::atomic<uint64_t>* cell = findOrTakeCell(key);
    if (cell == nullptr) return {false, false};
    const uint64_t cellNow = cell->fetch_add(1, std::memory_order_relaxed) + 1;
    const Share share = judge(key, cellNow, seen, instances, isLoaded);
    const bool wasHot = (cellNow & kHotBit) != 0;
    if (share.isHot && !wasHot) cell->fetch_or(kHotBit, std::memory_order_relaxed);
    if (!share.isHot && wasHot) cell->fetch_and(~kHotBit, std::memory_order_relaxed);
    return share;
  }

  template <typename IsLoaded>
  Share judge(uint64_t key, uint64_t cellNow, uint64_t seen, uint32_t instances,
              IsLoaded&& isLoaded) const noexcept {
    const uint64_t share = (cellNow & kCountMask) * instances;
    const bool isHot = (cellNow & kHotBit) != 0;
    const uint64_t wanted = (share + 2 * seen - 1) / (2 * seen);
    const auto pairs = static_cast<uint32_t>(
        std::clamp<uint64_t>(wanted, 1, std::max<uint32_t>(1, instances / 2)));
    if (!isHot && (cellNow & kCountMask) >= countMin_ && share > 2 * seen && isLoaded(key)) {
      return {true, true, pairs};
    }
    if (isHot && share < seen) return {false, false};
    return {isHot, isHot || share >= seen, pairs};
  }

  const FleetState* state_;
  const uint32_t countMin_;
  Record* records_;
  std::atomic<uint64_t>* cells_;
  uint64_t cellMask_;
};

}  // namespace dualmap
