// The rules of other systems at the corners that their papers and documents name.

#include "core/baselines.h"

#include <algorithm>

#include "core/recent_work.h"
#include "placing.h"

namespace dualmap::test {
namespace {

constexpr double kSpanMs = RecentWork::kWindowMs / RecentWork::kSpans;

void addRequests(InstanceSlot& slot, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) slot.decoding.add(0);
}

// Not by the rules on pairs: where one of the pair must be a suspect, it may be the warm one.
TEST(suspectsAreLeftToOthersByEveryBaseline) {
  Random random(60);
  for (const PolicyName policy : allPolicies()) {
    if (policy == PolicyName::dualmapPaper || policy == PolicyName::dualmap) continue;
    Placing placing(policy, 4);
    for (uint32_t round = 0; round < 40; ++round) {
      const uint32_t only = round % 4;
      const Chain chain = chainOf(random, 10);
      // All that speaks for the others: idle, and warm.
      for (uint32_t slot = 0; slot < 4; ++slot) {
        placing.fleet.state.slot(slot).suspectUntilMs = slot == only ? 0 : 100;
        if (slot != only) placing.hold(chain, 10, slot);
      }
      addRequests(placing.fleet.state.slot(only), 2);
      placing.load(only, 1000);
      CHECK_EQUAL(placing.place(chain, 50).chosen.slot, only);
      CHECK_EQUAL(placing.status, PlaceStatus::placed);
    }
  }
}

TEST(randomIsFairAndHasItsOwnOrder) {
  Random random(61);
  Placing placing(PolicyName::random, 4);
  std::vector<int> counts(4);
  const Chain chain = chainOf(random, 4);
  for (int i = 0; i < 4000; ++i) {
    const Decision decision = placing.place(chain);
    counts[decision.chosen.slot] += 1;
    CHECK_EQUAL(decision.reason, Reason::random);
    CHECK(decision.other.slot < 4 && decision.other.slot != decision.chosen.slot);
  }
  const auto [fewest, most] = std::minmax_element(counts.begin(), counts.end());
  CHECK(*fewest > 850 && *most < 1150);
  // The same from the same start, for the same prompts.
  Placing left(PolicyName::random, 4), right(PolicyName::random, 4);
  for (int i = 0; i < 50; ++i) {
    CHECK_EQUAL(left.place(chain).chosen.slot, right.place(chain).chosen.slot);
  }
}

TEST(powerOfTwoTakesTheLessLoadedOfTwoDistinct) {
  Random random(62);
  Placing placing(PolicyName::powerOfTwo, 5);
  for (uint32_t slot = 0; slot < 5; ++slot) placing.load(slot, 10'000 * slot);
  std::vector<int> counts(5);
  for (int i = 0; i < 2000; ++i) {
    const Decision decision = placing.place(chainOf(random, 4));
    CHECK_EQUAL(decision.reason, Reason::lessLoadedOfTwo);
    CHECK(decision.chosen.slot < decision.other.slot && decision.other.slot < 5);
    counts[decision.chosen.slot] += 1;
  }
  // Of ten pairs the idlest is in four, the next the best of three, and so on.
  for (int slot = 0; slot < 5; ++slot) {
    CHECK_THAT(std::abs(counts[slot] - 200 * (4 - slot)) < 100, std::to_string(counts[slot]));
  }
  Placing two(PolicyName::powerOfTwo, 2);
  two.load(0, 500);
  for (int i = 0; i < 20; ++i) {
    // 512 tokens to compute, or 1 behind 500 others.
    const Chain chain = chainOf(random, 4);
    two.hold(chain, 4, 0);
    CHECK_EQUAL(two.place(chain).chosen.slot, 0u);
  }
  Placing one(PolicyName::powerOfTwo, 1);
  CHECK_EQUAL(one.place(chainOf(random, 4)).reason, Reason::only);
}

TEST(leastRequestsCountsThoseThatWaitAndRun) {
  Random random(63);
  Placing placing(PolicyName::leastRequests, 4);
  const auto& state = placing.fleet.state;
  state.slot(0).queued.add(1);
  state.slot(1).prefilling.add(1);
  state.slot(2).decoding.add(1);
  const Chain chain = chainOf(random, 4);
  placing.hold(chain, 4, 0);
  const Decision decision = placing.place(chain);
  CHECK_EQUAL(decision.chosen.slot, 3u);
  CHECK_EQUAL(decision.reason, Reason::leastRequests);
  // Equals have their turn.
  state.slot(3).queued.add(100'000);
  std::vector<int> counts(4);
  for (int i = 0; i < 40; ++i) counts[placing.place(chain).chosen.slot] += 1;
  CHECK(counts == (std::vector<int>{10, 10, 10, 10}));
}

TEST(boundedHashGoesOnClockwiseWhereTheShareIsTaken) {
  Random random(64);
  for (int round = 0; round < 20; ++round) {
    Placing placing(PolicyName::boundedHash, 4);
    Placing ring(PolicyName::consistentHash, 4);
    const Chain chain = chainOf(random, 10);
    const Decision home = ring.place(chain);
    const uint32_t first = home.chosen.slot, second = home.other.slot;
    // ceil(1.25 * (7 + 1) / 4) = 3.
    const auto& state = placing.fleet.state;
    addRequests(state.slot(first), 2);
    for (uint32_t slot = 0, left = 5; slot < 4; ++slot) {
      if (slot == first || slot == second) continue;
      const uint32_t some = std::min(left, 3u);
      addRequests(state.slot(slot), some);
      left -= some;
    }
    Decision decision = placing.place(chain);
    CHECK_EQUAL(decision.chosen.slot, first);
    CHECK_EQUAL(decision.reason, Reason::ring);
    CHECK_EQUAL(decision.level, 3u);
    // ceil(1.25 * (8 + 1) / 4) = 3 too: it has its share now.
    addRequests(state.slot(first), 1);
    decision = placing.place(chain);
    CHECK_EQUAL(decision.chosen.slot, second);
    CHECK_EQUAL(decision.reason, Reason::ringFull);
    CHECK(decision.other.slot != first);
    // ceil(1.25 * (12 + 1) / 4) = 5.
    addRequests(state.slot(second), 4);
    CHECK_EQUAL(placing.place(chain).chosen.slot, first);
  }
}

TEST(boundedHashSharesAmongThoseThatMayBeChosen) {
  Random random(65);
  Placing placing(PolicyName::boundedHash, 4);
  Placing ring(PolicyName::consistentHash, 4);
  const auto& state = placing.fleet.state;
  // Three suspects with a hundred each say nothing of the share of the fourth.
  for (uint32_t slot = 0; slot < 4; ++slot) {
    state.slot(slot).suspectUntilMs = slot == 3 ? 0 : 100;
    addRequests(state.slot(slot), slot == 3 ? 7 : 100);
  }
  CHECK_EQUAL(placing.place(chainOf(random, 10), 50).chosen.slot, 3u);
  CHECK_EQUAL(placing.status, PlaceStatus::placed);
  // Alone it is below ceil(1.25 * 8 / 1), whatever it has.
  Placing alone(PolicyName::boundedHash, 1);
  addRequests(alone.fleet.state.slot(0), 50);
  CHECK_EQUAL(alone.place(chainOf(random, 10)).chosen.slot, 0u);
}

TEST(minTtftTakesTheSmallestEstimate) {
  Random random(66);
  Placing placing(PolicyName::minTtft, 3);
  const Chain chain = chainOf(random, 10);
  const auto& state = placing.fleet.state;
  placing.load(0, 2000);       // 2,000 + 1,280 tokens at 0.1 ms: 328 ms
  placing.hold(chain, 10, 1);  // 1 token behind 3,000: 300 ms
  placing.load(1, 3000);
  state.slot(2).speed.perTokenMs = 0.25;  // 1,280 tokens: 320 ms
  Decision decision = placing.place(chain);
  CHECK_EQUAL(decision.chosen.slot, 1u);
  CHECK_EQUAL(decision.other.slot, 2u);
  CHECK_EQUAL(decision.reason, Reason::leastCost);
  placing.forget();
  placing.hold(chain, 10, 1);
  placing.load(1, 250);
  CHECK_EQUAL(placing.place(chain).chosen.slot, 2u);
}

TEST(prebleExploitsWhereMoreIsMatchedThanNot) {
  Random random(67);
  const Chain chain = chainOf(random, 10);
  for (const bool exploits : {true, false}) {
    Placing placing(PolicyName::preble, 4);
    RecentWork recent(placing.fleet.state);
    placing.hold(chain, exploits ? 6 : 5, 0);
    placing.hold(chain, exploits ? 6 : 5, 1);
    placing.hold(chain, 2, 2);
    recent.add(0, 70'000, 0);
    recent.add(1, 60'000, 0);
    const Decision decision = placing.place(chain);
    CHECK_EQUAL(decision.reason, exploits ? Reason::bestMatch : Reason::leastCost);
    // The less loaded owner. Half and half is not more: of the idle ones, who has less to compute.
    CHECK_EQUAL(decision.chosen.slot, exploits ? 1u : 2u);
  }
}

TEST(prebleLooksBackThreeMinutes) {
  Random random(68);
  Placing placing(PolicyName::preble, 2);
  RecentWork recent(placing.fleet.state);
  recent.add(0, 100'000, 0);
  recent.add(1, 10'000, 100'000);
  CHECK_EQUAL(placing.place(chainOf(random, 1), RecentWork::kWindowMs - 1).chosen.slot, 1u);
  placing.forget();  // what was given to the engines before they restarted is gone with them
  CHECK_EQUAL(recent.tokens(0, 1000), 0u);
  recent.add(0, 100'000, 200'000);
  recent.add(1, 10'000, 300'000);
  CHECK_EQUAL(recent.tokens(0, 200'000 + RecentWork::kWindowMs - kSpanMs), 100'000u);
  CHECK_EQUAL(recent.tokens(0, 200'000 + RecentWork::kWindowMs), 0u);
  CHECK_EQUAL(placing.place(chainOf(random, 1), 200'000 + RecentWork::kWindowMs).chosen.slot, 0u);
}

TEST(prebleCountsWhatItGivesAndOnlyThat) {
  Random random(69);
  Placing placing(PolicyName::preble, 1);
  const RecentWork recent(placing.fleet.state);
  const Chain chain = chainOf(random, 10);
  (void)placing.place(chain, 20'000);
  CHECK_EQUAL(recent.tokens(0, 20'000), 1280u);
  // Cached by now, but for one token.
  (void)placing.place(chain, 40'000);
  CHECK_EQUAL(recent.tokens(0, 40'000), 1281u);
  CHECK_EQUAL(recent.tokens(0, 20'000 + RecentWork::kWindowMs), 1u);
}

// Two rounds of the table later, the same place in it is another span's.
TEST(recentWorkForgetsByItself) {
  Placing placing(PolicyName::preble, 1);
  RecentWork recent(placing.fleet.state);
  uint64_t given = 0;
  for (int span = 0; span < 40; ++span) {
    recent.add(0, 100, span * kSpanMs + 1);
    given = std::min<uint64_t>(given + 100, 1600);
    CHECK_EQUAL(recent.tokens(0, span * kSpanMs + 1), given);
  }
  CHECK_EQUAL(recent.tokens(0, 56 * kSpanMs), 0u);
}

TEST(prebleSparesCachesThatAreOfUse) {
  Random random(70);
  Placing placing(PolicyName::preble, 2);
  const auto& state = placing.fleet.state;
  // Both full, half of all prompts found in the first: 640 tokens of 1,280 would be missed there.
  for (uint32_t slot = 0; slot < 2; ++slot) {
    state.slot(slot).insertions = 1000 * PrefixIndex::kInsertionUnit;
    state.slot(slot).promptTokensTotal = 10'000;
    state.slot(slot).cachedTokensTotal = slot == 0 ? 5000 : 0;
  }
  RecentWork recent(state);
  recent.add(1, 639, 0);
  CHECK_EQUAL(placing.place(chainOf(random, 10)).chosen.slot, 1u);
  placing.forget();
  recent.add(0, 1'000, 0);
  recent.add(1, 1'641, 0);
  for (uint32_t slot = 0; slot < 2; ++slot) {
    state.slot(slot).promptTokensTotal = 10'000;
    state.slot(slot).cachedTokensTotal = slot == 0 ? 5000 : 0;
  }
  CHECK_EQUAL(placing.place(chainOf(random, 10)).chosen.slot, 0u);
}

// More than 64 over and more than 1.5 times as many: both, or the load does not count.
TEST(cacheAwareTakesTheShortestQueueOutOfBalance) {
  Random random(71);
  struct Case {
    uint32_t fewest;
    uint32_t most;
    Reason reason;
  };
  const Case cases[] = {{0, 64, Reason::bestMatch},
                        {0, 65, Reason::leastRequests},
                        {130, 195, Reason::bestMatch},
                        {130, 196, Reason::leastRequests}};
  for (const auto& [fewest, most, reason] : cases) {
    Placing placing(PolicyName::cacheAware, 3);
    const Chain chain = chainOf(random, 10);
    placing.hold(chain, 10, 0);
    addRequests(placing.fleet.state.slot(0), most);
    addRequests(placing.fleet.state.slot(1), fewest + 1);
    addRequests(placing.fleet.state.slot(2), fewest);
    const Decision decision = placing.place(chain);
    CHECK_EQUAL(decision.reason, reason);
    CHECK_EQUAL(decision.chosen.slot, reason == Reason::bestMatch ? 0u : 2u);
  }
}

TEST(cacheAwareTakesTheSmallestTreeBelowTheThreshold) {
  Random random(72);
  for (const uint32_t matched : {3u, 4u}) {
    Placing placing(PolicyName::cacheAware, 3);
    const Chain chain = chainOf(random, 10);
    placing.hold(chain, matched, 0);
    placing.hold(chain, 2, 1);
    placing.hold(chainOf(random, 50), 50, 0);
    placing.hold(chainOf(random, 20), 20, 1);
    placing.hold(chainOf(random, 30), 30, 2);
    // The smallest tree is the busiest too: that is the rule.
    addRequests(placing.fleet.state.slot(1), 60);
    const Decision decision = placing.place(chain);
    // Three of ten are not more than 0.3.
    CHECK_EQUAL(decision.reason, matched == 3 ? Reason::smallestTree : Reason::bestMatch);
    CHECK_EQUAL(decision.chosen.slot, matched == 3 ? 1u : 0u);
  }
}

TEST(cacheAwareTreesEndAtTheCapacity) {
  Random random(73);
  Placing placing(PolicyName::cacheAware, 3);
  const auto& state = placing.fleet.state;
  for (uint32_t slot = 0; slot < 3; ++slot) {
    state.slot(slot).insertions = (1000 + 500 * slot) * PrefixIndex::kInsertionUnit;
  }
  std::vector<int> counts(3);
  for (int i = 0; i < 30; ++i) counts[placing.place(chainOf(random, 2)).chosen.slot] += 1;
  CHECK(counts == (std::vector<int>{10, 10, 10}));
}

// 16 tokens a block: 1,280 tokens are 80 blocks, a block of the index eight.
TEST(dynamoWeighsOverlapAgainstWhatIsActive) {
  Random random(74);
  struct Case {
    uint64_t prefilling;
    uint64_t decoding;
    bool isChosen;
  };
  // Instance 0 holds 40 of 80 blocks: as much as 640 tokens that are pending there, or decode.
  const Case cases[] = {{0, 639, true}, {0, 641, false}, {639, 0, true}, {641, 0, false}};
  for (const auto& [prefilling, decoding, isChosen] : cases) {
    Placing placing(PolicyName::dynamoCost, 2);
    const Chain chain = chainOf(random, 10);
    placing.hold(chain, 5, 0);
    placing.fleet.state.slot(0).prefilling.add(prefilling);
    placing.fleet.state.slot(0).decoding.add(decoding);
    const Decision decision = placing.place(chain);
    CHECK_EQUAL(decision.chosen.slot, isChosen ? 0u : 1u);
    CHECK_EQUAL(decision.reason, Reason::leastCost);
  }
}

TEST(llmdScoresQueueCacheAndMatch) {
  Random random(75);
  const Chain chain = chainOf(random, 10);
  // Seven of ten blocks: 2.1, more than the shortest queue is worth. Six: 1.8, less.
  for (const uint32_t held : {6u, 7u}) {
    Placing placing(PolicyName::llmdDefault, 2);
    placing.hold(chain, held, 0);
    placing.fleet.state.slot(0).queued.add(0);
    CHECK_EQUAL(placing.place(chain).chosen.slot, held == 7 ? 0u : 1u);
  }
  // Equal queues score alike, however long; requests that decode are not in them.
  Placing busy(PolicyName::llmdDefault, 2);
  for (uint32_t slot = 0; slot < 2; ++slot) addRequests(busy.fleet.state.slot(slot), 9 * slot);
  busy.hold(chain, 1, 1);
  CHECK_EQUAL(busy.place(chain).chosen.slot, 1u);
  // One of ten blocks is worth 0.3: as much as 15 % of the cache, 19,200 of 128,000 tokens.
  for (const uint64_t used : {19'100u, 19'300u}) {
    Placing full(PolicyName::llmdDefault, 2);
    full.hold(chain, 1, 0);
    full.fleet.state.slot(0).decoding.add(used);
    CHECK_EQUAL(full.place(chain).chosen.slot, used < 19'200 ? 0u : 1u);
  }
}

// 256 blocks of 16 tokens are 32 of ours: the rest of the prompt is not looked at.
TEST(llmdLooksAtTheFirst256Blocks) {
  Random random(76);
  const Chain chain = chainOf(random, 100);
  Placing placing(PolicyName::llmdDefault, 2);
  placing.hold(chain, 32, 0);
  placing.hold(chain, 100, 1);
  placing.fleet.state.slot(1).decoding.add(1);
  CHECK_EQUAL(placing.place(chain).chosen.slot, 0u);
  Placing shorter(PolicyName::llmdDefault, 2);
  shorter.hold(chain, 31, 0);
  shorter.hold(chain, 32, 1);
  shorter.fleet.state.slot(1).decoding.add(1);
  CHECK_EQUAL(shorter.place(chain).chosen.slot, 1u);
}

TEST(lmetricMultiplies) {
  Random random(77);
  const Chain chain = chainOf(random, 10);
  // 1,280 tokens for one request; 512 for two are less, for three more.
  for (const uint32_t running : {1u, 2u}) {
    Placing placing(PolicyName::lmetric, 2);
    placing.hold(chain, 6, 1);
    addRequests(placing.fleet.state.slot(1), running);
    const Decision decision = placing.place(chain);
    CHECK_EQUAL(decision.chosen.slot, running == 1 ? 1u : 0u);
    CHECK_EQUAL(decision.reason, Reason::leastCost);
  }
}

}  // namespace
}  // namespace dualmap::test
