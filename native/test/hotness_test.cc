// Hotness against a plain model: all counts from the window, each time anew (algorithm.md section
// 2).

#include "core/hotness.h"

#include <deque>
#include <map>
#include <set>
#include <utility>

#include "fleet.h"
#include "test.h"

namespace dualmap::test {
namespace {

constexpr uint32_t instances = 8;  // hot above 1/4 of the requests, cold below 1/8

LevelKeys keysOf(const std::vector<uint64_t>& keys) {
  LevelKeys levels;
  levels.count = static_cast<uint32_t>(keys.size());
  std::copy(keys.begin(), keys.end(), levels.keys.begin());
  return levels;
}

/// Keys that fall in different cells.
uint64_t keyOf(uint64_t name) { return xxh3(&name, sizeof name); }

class Hot {
 public:
  explicit Hot(uint32_t count = instances, uint32_t countMin = Hotness::kCountMin)
      : hotness(fleet.state, countMin), count_(count) {}

  /// What would be answered is always told before.
  uint32_t ask(const std::vector<uint64_t>& keys, bool isLoaded = true) {
    const auto always = [=](uint64_t) { return isLoaded; };
    const uint32_t told = std::as_const(hotness).peekLevelOf(keysOf(keys), count_, always).index;
    const uint32_t level = count(keys, isLoaded);
    CHECK_EQUAL(told, level);
    return level;
  }
  uint32_t count(const std::vector<uint64_t>& keys, bool isLoaded) {
    return hotness.levelOf(keysOf(keys), count_, [=](uint64_t) { return isLoaded; }).index;
  }
  /// A request of a key that comes only once.
  void other() { (void)ask({keyOf(1'000'000 + next_++)}); }

  Fleet fleet;
  Hotness hotness;

 private:
  uint32_t count_;
  uint64_t next_ = 0;
};

const std::vector<uint64_t> two = {keyOf(1), keyOf(2)};

TEST(aKeyNeedsTwentyRequests) {
  Hot hot;
  for (int i = 1; i < 20; ++i) CHECK_EQUAL(hot.ask(two), 0u);
  CHECK_EQUAL(hot.ask(two), 1u);
}

TEST(orAsManyAsAreAskedFor) {
  Hot hot(instances, 3);
  for (int i = 1; i < 3; ++i) CHECK_EQUAL(hot.ask(two), 0u);
  CHECK_EQUAL(hot.ask(two), 1u);
}

TEST(hotAboveTwiceTheFairShareAndColdBelowIt) {
  Hot hot;
  for (int i = 0; i < 120; ++i) hot.other();
  // 40 of 160 is 2/n exactly: not above. Before, it is less.
  for (int i = 0; i < 40; ++i) CHECK_EQUAL(hot.ask(two), 0u);
  CHECK_EQUAL(hot.ask(two), 1u);
  // The band between keeps it hot: 42 of 329 is above 1/8, 43 of 345 is below.
  for (int i = 0; i < 167; ++i) hot.other();
  CHECK_EQUAL(hot.ask(two), 1u);
  for (int i = 0; i < 15; ++i) hot.other();
  CHECK_EQUAL(hot.ask(two), 0u);
  // And cold it stays in the band: 44 of 347.
  CHECK_EQUAL(hot.ask(two), 0u);
}

TEST(onlyALoadedPairMakesAKeyHot) {
  Hot hot;
  for (int i = 0; i < 200; ++i) CHECK_EQUAL(hot.ask(two, false), 0u);
  CHECK_EQUAL(hot.ask(two, true), 1u);
  CHECK_EQUAL(hot.ask(two, false), 1u);
}

TEST(theDeepestLevelIsTakenWhenAllAreHot) {
  Hot hot;
  for (int i = 0; i < 40; ++i) (void)hot.ask({keyOf(1), keyOf(2), keyOf(3)});
  CHECK_EQUAL(hot.ask({keyOf(1), keyOf(2), keyOf(3)}), 2u);
  CHECK_EQUAL(hot.ask({keyOf(1), keyOf(2), keyOf(4)}), 2u);
  CHECK_EQUAL(hot.ask({keyOf(1), keyOf(5), keyOf(6)}), 1u);
  CHECK_EQUAL(hot.ask({keyOf(7)}), 0u);
}

TEST(pairsShareWhatIsHotAtFullDepth) {
  Hot hot;
  const auto pairs = [&](const std::vector<uint64_t>& keys) {
    return hot.hotness.levelOf(keysOf(keys), instances, [](uint64_t) { return true; }).pairs;
  };
  for (int i = 1; i < 20; ++i) CHECK_EQUAL(pairs(two), 1u);
  // All requests: half as many pairs as instances, none of which gets more than 2/n of them.
  CHECK_EQUAL(pairs(two), 4u);
  for (int i = 0; i < 24; ++i) hot.other();
  // Not quite half of them, 21 of 45: two quarters are enough.
  CHECK_EQUAL(pairs(two), 2u);
  // What has a longer key that is not hot goes by that, alone.
  CHECK_EQUAL(pairs({keyOf(1), keyOf(3)}), 1u);
}

TEST(theWindowSlides) {
  Hot hot;
  for (int i = 0; i < 200; ++i) (void)hot.ask(two);
  for (uint32_t i = 0; i < Hotness::kRequestsMin; ++i) hot.other();
  // All 200 have left the window: what follows counts from one.
  for (int i = 1; i < 20; ++i) CHECK_EQUAL(hot.ask(two), 0u);
}

TEST(theWindowFitsTheFleet) {
  Hot hot;
  const auto window = [&] { return hot.fleet.state.header().hotnessWindow.load(); };
  CHECK_EQUAL(window(), 1024u);
  hot.hotness.resize(32);
  CHECK_EQUAL(window(), 1024u);
  hot.hotness.resize(33);
  CHECK_EQUAL(window(), 33u * 32);
  hot.hotness.resize(1'000'000);
  CHECK_EQUAL(window(), 4096u);
  hot.hotness.resize(1);
  CHECK_EQUAL(window(), 1024u);
}

TEST(anotherSizeStartsAnewAndTheSameDoesNot) {
  Hot hot;
  for (int i = 0; i < 20; ++i) (void)hot.ask(two);
  hot.hotness.resize(instances);
  CHECK_EQUAL(hot.ask(two), 1u);
  hot.hotness.resize(64);
  for (int i = 1; i < 20; ++i) CHECK_EQUAL(hot.ask(two), 0u);
  CHECK_EQUAL(hot.ask(two), 1u);
}

/// Counts the window each time; a level is counted only under levels that hold a fair share.
class Model {
 public:
  uint32_t levelOf(const std::vector<uint64_t>& keys, bool isLoaded) {
    if (window_.size() == Hotness::kRequestsMin) window_.pop_front();
    window_.emplace_back();
    uint32_t level = 0;
    bool isSettled = false;
    for (uint32_t i = 0; i < keys.size(); ++i) {
      window_.back().push_back(keys[i]);
      const uint64_t share = countOf(keys[i]) * instances;
      const bool wasHot = hot_.count(keys[i]) > 0;
      const bool turnsHot = countOf(keys[i]) >= 20 && share > 2 * window_.size() && isLoaded;
      const bool isHot = wasHot ? share >= window_.size() : turnsHot;
      if (isHot)
        hot_.insert(keys[i]);
      else
        hot_.erase(keys[i]);
      if (!isSettled) level = i;
      isSettled = isSettled || !isHot;
      if (share < window_.size()) break;
    }
    return level;
  }

 private:
  uint64_t countOf(uint64_t key) const {
    uint64_t count = 0;
    for (const auto& keys : window_) count += std::count(keys.begin(), keys.end(), key);
    return count;
  }

  std::deque<std::vector<uint64_t>> window_;
  std::set<uint64_t> hot_;
};

TEST(agreesWithThePlainModel) {
  Random random(21);
  Hot hot;
  Model model;
  // What is popular changes, so that keys turn hot and cold again; a few keys deep, one in three
  // alone.
  for (int i = 0; i < 4000; ++i) {
    const uint64_t phase = static_cast<uint64_t>(i) / 700;
    const double draw = random.fraction();
    const uint64_t top = draw < 0.45 ? phase : draw < 0.65 ? phase + 1 : 100 + random.below(50);
    std::vector<uint64_t> keys = {keyOf(top)};
    for (uint64_t depth = 1; depth < 4; ++depth) {
      keys.push_back(keyOf(top * 1000 + depth * 100 + (random.chance(0.7) ? 0 : random.below(9))));
    }
    const bool isLoaded = random.chance(0.8);
    CHECK_EQUAL(hot.ask(keys, isLoaded), model.levelOf(keys, isLoaded));
  }
}

}  // namespace
}  // namespace dualmap::test
