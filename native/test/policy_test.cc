// The rules of placing, each in a fleet made up for it (algorithm.md sections 3, 4; simulation.md).

#include "core/policy.h"

#include <algorithm>
#include <utility>

#include "placing.h"

namespace dualmap::test {
namespace {

TEST(dualmapTakesTheLessLoadedOfEquallyWarm) {
  Random random(30);
  for (int round = 0; round < 20; ++round) {
    Placing placing(PolicyName::dualmapPaper, 4);
    const Chain chain = chainOf(random, 8);
    const Decision idle = placing.place(chain);
    CHECK_EQUAL(idle.reason, Reason::equalHitLessLoaded);
    CHECK_EQUAL(idle.chosen.slot, idle.first);
    CHECK_EQUAL(idle.other.slot, idle.second);
    CHECK(idle.first != idle.second && idle.second < 4);
    // Decode load breaks the tie of pending prefill, and only that.
    placing.forget();
    placing.fleet.state.slot(idle.first).decoding.add(10);
    CHECK_EQUAL(placing.place(chain).chosen.slot, idle.second);
    placing.forget();
    placing.load(idle.second, 1);
    CHECK_EQUAL(placing.place(chain).chosen.slot, idle.first);
    placing.forget();
    placing.fleet.state.slot(idle.first).queued.add(2);
    CHECK_EQUAL(placing.place(chain).chosen.slot, idle.second);
  }
}

// 0.1 ms a token; the share of the SLO is 250 ms: 2,500 tokens.
TEST(dualmapStaysWarmWithinTheSlo) {
  Random random(31);
  for (const bool isFirstWarm : {true, false}) {
    for (const bool isWithin : {true, false}) {
      Placing placing(PolicyName::dualmapPaper, 4, {500, 0.5, 0.25});
      const Chain chain = chainOf(random, 8);
      const Decision cold = placing.place(chain);
      placing.forget();
      const uint32_t warm = isFirstWarm ? cold.first : cold.second;
      placing.hold(chain, 6, warm);
      placing.hold(chain, 2, isFirstWarm ? cold.second : cold.first);
      // Two blocks are left to compute: 256 tokens. 2,244 before them make 2,500 exactly.
      placing.load(warm, isWithin ? 2244 : 2245);
      const Decision decision = placing.place(chain);
      CHECK_EQUAL(decision.reason, isWithin ? Reason::warmWithinSlo : Reason::sloExceeded);
      CHECK_EQUAL(decision.chosen.slot == warm, isWithin);
      const Candidate& measured = isWithin ? decision.chosen : decision.other;
      CHECK_EQUAL(measured.cachedTokens, 6u * 128);
      CHECK_EQUAL(measured.uncachedTokens, 2u * 128);
      CHECK_EQUAL(measured.pendingTokens, isWithin ? 2244u : 2245u);
    }
  }
}

TEST(dualmapTakesTheSmallerTtftPastTheSlo) {
  Random random(32);
  Placing placing(PolicyName::dualmapPaper, 4, {500, 0.5, 0.25});
  const Chain chain = chainOf(random, 8);
  const Decision cold = placing.place(chain);
  placing.forget();
  placing.hold(chain, 6, cold.first);
  placing.load(cold.first, 10'000);
  // 10,000 + 256 before the warm one's token, 9,232 + 1,024 before the other's: equal.
  placing.load(cold.second, 9233);
  Decision decision = placing.place(chain);
  CHECK_EQUAL(decision.reason, Reason::sloExceeded);
  CHECK_EQUAL(decision.chosen.slot, cold.first);
  placing.forget();
  placing.hold(chain, 6, cold.first);
  placing.fleet.state.slot(cold.second).prefilling.subtract(9233);
  placing.load(cold.second, 9231);
  decision = placing.place(chain);
  CHECK_EQUAL(decision.reason, Reason::sloExceeded);
  CHECK_EQUAL(decision.chosen.slot, cold.second);
}

TEST(aFixedKeyLevelIsTheSameForWhatIsHot) {
  Random random(36);
  // The last level of eight blocks is 3.
  for (const auto& [keyLevel, expected] : {std::pair{kNone, 1u}, {0u, 0u}, {2u, 2u}, {11u, 3u}}) {
    PolicyOptions options;
    options.keyLevel = keyLevel;
    Placing placing(PolicyName::dualmapPaper, 8, options);
    const Chain shared = chainOf(random, 8);
    for (int request = 0; request < 40; ++request) {
      Chain chain = chainOf(random, 8);
      chain[0] = shared[0];
      const uint32_t level = placing.place(chain).level;
      if (request == 0) CHECK_EQUAL(level, keyLevel == kNone ? 0 : expected);
      if (request == 39) CHECK_EQUAL(level, expected);
    }
  }
}

TEST(anEngineComputesAtLeastOneToken) {
  Random random(33);
  Placing placing(PolicyName::dualmapPaper, 1);
  const Chain chain = chainOf(random, 4);
  (void)placing.place(chain);
  const Decision decision = placing.place(chain);
  CHECK_EQUAL(decision.reason, Reason::only);
  CHECK_EQUAL(decision.second, kNone);
  CHECK_EQUAL(decision.other.slot, kNone);
  CHECK_EQUAL(decision.chosen.cachedTokens, 4u * 128 - 1);
  CHECK_EQUAL(decision.chosen.uncachedTokens, 1u);
}

TEST(theDeadAndTheSuspectAreWalkedPast) {
  Random random(34);
  for (const PolicyName policy : allPolicies()) {
    Placing placing(policy, 4);
    const auto& state = placing.fleet.state;
    for (int round = 0; round < 20; ++round) {
      const Chain chain = chainOf(random, 8);
      state.slot(2).suspectUntilMs = 100;
      placing.fleet.setState(1, InstanceState::dead);
      Decision decision = placing.place(chain, 99);
      CHECK(decision.chosen.slot == 0 || decision.chosen.slot == 3);
      CHECK(decision.other.slot == 0 || decision.other.slot == 3);
      CHECK(decision.other.slot != decision.chosen.slot);
      // A fleet of suspects is still a fleet; one that is dead is not.
      for (uint32_t slot = 0; slot < 4; ++slot) state.slot(slot).suspectUntilMs = 100;
      decision = placing.place(chain, 99);
      CHECK_EQUAL(placing.status, PlaceStatus::placed);
      CHECK(decision.chosen.slot != 1 && decision.other.slot != 1);
      for (uint32_t slot = 0; slot < 4; ++slot) state.slot(slot).suspectUntilMs = 0;
      placing.fleet.setState(1, InstanceState::serving);
    }
    for (uint32_t slot = 0; slot < 4; ++slot) placing.fleet.setState(slot, InstanceState::draining);
    (void)placing.place(chainOf(random, 8));
    CHECK_EQUAL(placing.status, PlaceStatus::noInstance);
  }
}

TEST(roundRobinTakesTurns) {
  Random random(35);
  Placing placing(PolicyName::roundRobin, 4);
  std::vector<uint32_t> turns;
  for (int i = 0; i < 8; ++i) {
    const Decision decision = placing.place(chainOf(random, 2));
    turns.push_back(decision.chosen.slot);
    CHECK_EQUAL(decision.other.slot, (decision.chosen.slot + 1) % 4);
    CHECK_EQUAL(decision.reason, Reason::rotation);
  }
  CHECK(turns == (std::vector<uint32_t>{0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST(leastTokensTakesTheSmallestSum) {
  Random random(36);
  for (int round = 0; round < 50; ++round) {
    Placing placing(PolicyName::leastTokens, 5);
    const Chain chain = chainOf(random, 10);
    std::vector<std::pair<uint64_t, uint32_t>> costs;
    for (uint32_t slot = 0; slot < 5; ++slot) {
      const uint64_t pending = random.below(3000) * 5 + slot;  // no two costs are equal
      const uint64_t held = random.below(6);
      placing.load(slot, pending);
      placing.hold(chain, held, slot);
      costs.emplace_back(pending + (10 - held) * 128 * 1, slot);
    }
    std::sort(costs.begin(), costs.end());
    const Decision decision = placing.place(chain);
    CHECK_EQUAL(decision.reason, Reason::leastTokens);
    CHECK_EQUAL(decision.chosen.pendingTokens + decision.chosen.uncachedTokens, costs[0].first);
    CHECK_EQUAL(decision.other.pendingTokens + decision.other.uncachedTokens, costs[1].first);
  }
}

TEST(consistentHashKeepsItsInstanceWhateverTheLoad) {
  Random random(37);
  Placing placing(PolicyName::consistentHash, 4);
  for (int round = 0; round < 20; ++round) {
    Chain chain = chainOf(random, 40);
    const Decision before = placing.place(chain);
    placing.load(before.chosen.slot, 1'000'000);
    // The key is eight blocks deep: what follows changes nothing, what is in it does.
    for (size_t i = 8; i < chain.size(); ++i) chain[i] = random.next();
    const Decision after = placing.place(chain);
    CHECK_EQUAL(after.chosen.slot, before.chosen.slot);
    CHECK_EQUAL(after.level, 3u);
    CHECK_EQUAL(after.reason, Reason::ring);
    chain.resize(2);
    CHECK_EQUAL(placing.place(chain).level, 1u);
  }
  std::vector<int> counts(4);
  Chain chain = chainOf(random, 8);
  for (int i = 0; i < 400; ++i) {
    chain[7] = random.next();
    counts[placing.place(chain).chosen.slot] += 1;
  }
  CHECK_THAT(*std::min_element(counts.begin(), counts.end()) > 40,
             "the eighth block is in the key");
}

TEST(bareRequestsGoWhereFewestAre) {
  Placing placing(PolicyName::dualmapPaper, 4);
  std::vector<uint64_t> tickets;
  std::vector<int> counts(4);
  for (int i = 0; i < 12; ++i) {
    Placement placement;
    CHECK_EQUAL(placing.core.placeBare("any", 0, &placement), PlaceStatus::placed);
    CHECK_EQUAL(placement.decision.reason, Reason::leastRequests);
    tickets.push_back(placement.ticket);
    counts[placement.decision.chosen.slot] += 1;
  }
  CHECK(counts == (std::vector<int>{3, 3, 3, 3}));
  for (const uint64_t ticket : tickets) placing.core.end(ticket, 0);
  CHECK(placing.fleet.isIdle());
}

}  // namespace
}  // namespace dualmap::test
