// The prefix index against a plain model of its rule of residency, and what it does at its edges.

#include <algorithm>
#include <map>

#include "chains.h"

namespace dualmap::test {
namespace {

/// Random chains that share prefixes as conversations do.
class Conversations {
 public:
  explicit Conversations(Random& random) : random_(random) {}

  Chain next() {
    Chain chain;
    if (!known_.empty() && random_.chance(0.8)) {
      chain = known_[random_.below(known_.size())];
      chain.resize(1 + random_.below(chain.size()));
    }
    const Chain more = freshChain(random_, 1 + random_.below(chain.empty() ? 40 : 5));
    if (random_.chance(0.6)) chain.insert(chain.end(), more.begin(), more.end());
    if (chain.empty()) chain = more;
    if (known_.size() < 40) {
      known_.push_back(chain);
    } else {
      known_[random_.below(known_.size())] = chain;
    }
    return chain;
  }

 private:
  Random& random_;
  std::vector<Chain> known_;
};

/// One instance by the rule in prefix_index.h, in 1/256 block.
struct Model {
  uint64_t capacity;
  uint64_t inserted = 0;
  std::map<uint64_t, uint64_t> stamps{};

  bool holds(uint64_t hash) const {
    const auto at = stamps.find(hash);
    return at != stamps.end() && inserted - at->second < capacity * 256;
  }
  uint32_t hits(const Chain& chain) const {
    uint32_t count = 0;
    while (count < chain.size() && holds(chain[count])) ++count;
    return count;
  }
  void insert(const Chain& chain) {
    uint64_t advance = 0;
    for (size_t left = std::min<size_t>(chain.size(), capacity); left > 0; --left) {
      const uint64_t hash = chain[left - 1];
      const uint64_t behind = holds(hash) ? inserted - stamps[hash] : capacity * 256;
      if (behind < capacity * 256 / 64) continue;  // used so recently that nothing would change
      advance += static_cast<uint64_t>(static_cast<double>(behind) / static_cast<double>(capacity));
      stamps[hash] = inserted + advance;
    }
    inserted += advance;
  }
};

TEST(agreesWithThePlainModel) {
  Random random(12);
  for (int round = 0; round < 5; ++round) {
    Fleet fleet(roomy());
    PrefixIndex index(fleet.state);
    // A power of two: one block's share is the same by division and by multiplication.
    std::vector<Model> models;
    for (const uint64_t capacity : {16, 64, 256, 1024}) {
      (void)fleet.add(capacity);
      models.push_back({capacity});
    }
    Conversations conversations(random);
    for (int i = 0; i < 400; ++i) {
      const Chain chain = conversations.next();
      std::vector<uint32_t> all(models.size());
      index.hitsOfAll(chain.data(), static_cast<uint32_t>(chain.size()), all.data(), 4);
      for (uint32_t slot = 0; slot < 4; ++slot) {
        const uint32_t other = (slot + 1) % 4;
        const auto pair =
            index.hits(chain.data(), static_cast<uint32_t>(chain.size()), slot, other);
        CHECK_EQUAL(pair.first, models[slot].hits(chain));
        // Of fresh blocks a renewal changes nothing: the model does not hear of it.
        if (pair.isFirstFresh) index.insert(chain.data(), pair.first, slot, 0);
        CHECK_EQUAL(pair.second, models[other].hits(chain));
        CHECK_EQUAL(all[slot], models[slot].hits(chain));
        CHECK_EQUAL(hitsOf(index, chain, slot), models[slot].hits(chain));
      }
      const auto slot = static_cast<uint32_t>(random.below(4));
      insert(index, chain, slot);
      models[slot].insert(chain);
      CHECK_EQUAL(fleet.state.slot(slot).insertions.load(), models[slot].inserted);
    }
  }
}

TEST(withoutReuseItIsLru) {
  Random random(13);
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add(100);
  const Chain blocks = freshChain(random, 500);
  for (size_t i = 0; i < blocks.size(); ++i) {
    insert(index, {blocks[i]}, slot);
    if (i < 100) continue;
    CHECK_EQUAL(hitsOf(index, {blocks[i - 99]}, slot), 1u);
    CHECK_EQUAL(hitsOf(index, {blocks[i - 100]}, slot), 0u);
  }
}

TEST(aChainLosesItsTailFirst) {
  Random random(14);
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add(100);
  const Chain chain = freshChain(random, 40);
  insert(index, chain, slot);
  CHECK_EQUAL(hitsOf(index, chain, slot), 40u);
  insert(index, freshChain(random, 75), slot);
  CHECK_EQUAL(hitsOf(index, chain, slot), 25u);
  // Of what is larger than the cache only the head is kept.
  const Chain large = freshChain(random, 150);
  insert(index, large, slot);
  CHECK_EQUAL(hitsOf(index, large, slot), 100u);
  CHECK_EQUAL(hitsOf(index, chain, slot), 0u);
}

TEST(blocksAreFreshUntilASixtyFourthOfTheCacheWasInserted) {
  Random random(23);
  Fleet fleet(roomy());
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add(640);
  const uint32_t other = fleet.add(640);
  const Chain chain = freshChain(random, 4);
  insert(index, chain, slot);
  insert(index, freshChain(random, 6), slot);
  const auto freshness = [&] { return index.hits(chain.data(), 4, slot, other); };
  CHECK(freshness().isFirstFresh);
  CHECK(index.hits(chain.data(), 4, other, slot).isSecondFresh);
  insert(index, freshChain(random, 1), slot);  // ten since the tail of the chain
  CHECK(!freshness().isFirstFresh);
  CHECK(!index.hits(chain.data(), 4, other, slot).isSecondFresh);
  CHECK_EQUAL(freshness().first, 4u);
}

// A crowded set may have lost a block or two of a chain whose deeper blocks are known.
TEST(aShortGapIsBridged) {
  Random random(24);
  const Chain chain = freshChain(random, 12);
  for (const size_t lost : {1, 2, 3}) {
    Fleet fleet(roomy());
    PrefixIndex index(fleet.state);
    const uint32_t slot = fleet.add();
    const uint32_t shallow = fleet.add();
    Chain known(chain.begin(), chain.begin() + 4);
    insert(index, known, shallow);
    known.insert(known.end(), chain.begin() + 4 + static_cast<std::ptrdiff_t>(lost), chain.end());
    insert(index, known, slot);
    const uint32_t want = lost <= 2 ? 12 : 4;
    const auto pair = index.hits(chain.data(), 12, shallow, slot);
    CHECK_EQUAL(pair.first, 4u);
    CHECK_EQUAL(pair.second, want);
    std::vector<uint32_t> all(2);
    index.hitsOfAll(chain.data(), 12, all.data(), 2);
    CHECK(all == (std::vector<uint32_t>{want, 4}));
  }
}

TEST(anEngineWithoutACacheHoldsNothing) {
  Random random(15);
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add(0);
  const Chain chain = freshChain(random, 10);
  insert(index, chain, slot);
  CHECK_EQUAL(hitsOf(index, chain, slot), 0u);
  CHECK_EQUAL(hitsOf(index, {}, slot), 0u);
}

TEST(anyHashIsAName) {
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add();
  const Chain chain = {0, 1, 0xFFFF, UINT64_MAX, 0xFFFF'FFFF'FFFF'0000, uint64_t{1} << 63};
  for (const uint64_t hash : chain) CHECK_EQUAL(hitsOf(index, {hash}, slot), 0u);
  insert(index, chain, slot);
  CHECK_EQUAL(hitsOf(index, chain, slot), chain.size());
}

TEST(aNewGenerationHoldsNothing) {
  Random random(16);
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add();
  const uint32_t other = fleet.add();
  const Chain chain = freshChain(random, 20);
  for (uint32_t generation : {2u, 3u, 1022u, 1023u, 1u}) {
    insert(index, chain, slot);
    insert(index, chain, other);
    CHECK_EQUAL(hitsOf(index, chain, slot), 20u);
    fleet.state.slot(slot).generation = generation;
    CHECK_EQUAL(hitsOf(index, chain, slot), 0u);
    CHECK_EQUAL(hitsOf(index, chain, other), 20u);
  }
}

TEST(oneHolderTooManyTakesTheWordOfOne) {
  constexpr uint32_t most = PrefixIndex::kHolders;
  Random random(17);
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const Chain chain = freshChain(random, 3);
  for (uint32_t i = 0; i <= most; ++i) (void)fleet.add();
  const auto holders = [&] {
    uint32_t count = 0;
    for (uint32_t slot = 0; slot <= most; ++slot) count += hitsOf(index, chain, slot) == 3;
    return count;
  };
  for (uint32_t slot = 0; slot < most; ++slot) {
    insert(index, chain, slot);
    CHECK_EQUAL(holders(), slot + 1);
  }
  insert(index, chain, most);
  CHECK_EQUAL(hitsOf(index, chain, most), 3u);
  CHECK_EQUAL(holders(), most);
  // A word that no longer counts is taken before one that does.
  uint32_t forgotten = 0;
  while (hitsOf(index, chain, forgotten) > 0) ++forgotten;
  const uint32_t restarted = forgotten == 5 ? 6 : 5;
  fleet.state.slot(restarted).generation += 1;
  CHECK_EQUAL(holders(), most - 1);
  insert(index, chain, forgotten);
  CHECK_EQUAL(holders(), most);
  CHECK_EQUAL(hitsOf(index, chain, restarted), 0u);
}

TEST(hitsOfAllIgnoresSlotsBeyondTheFleet) {
  Random random(18);
  Fleet fleet;
  PrefixIndex index(fleet.state);
  const Chain chain = freshChain(random, 3);
  for (uint32_t i = 0; i < 4; ++i) insert(index, chain, fleet.add());
  std::vector<uint32_t> out(2, 77);  // ASan watches what lies behind
  index.hitsOfAll(chain.data(), 3, out.data(), 2);
  CHECK(out == (std::vector<uint32_t>{3, 3}));
}

TEST(aBlockThatTakesAnEntryTakesNoHolders) {
  Random random(22);
  Capacities capacities = Fleet::defaults();
  capacities.indexBlocks = PrefixIndex::kWays;
  Fleet fleet(capacities);
  PrefixIndex index(fleet.state);
  const uint32_t before = fleet.add();
  const uint32_t after = fleet.add();
  for (const uint64_t hash : freshChain(random, 4 * PrefixIndex::kWays)) {
    insert(index, {hash}, before);
  }
  for (const uint64_t hash : freshChain(random, 4 * PrefixIndex::kWays)) {
    insert(index, {hash}, after);
    CHECK_EQUAL(hitsOf(index, {hash}, after), 1u);
    CHECK_EQUAL(hitsOf(index, {hash}, before), 0u);
  }
}

TEST(tenTimesTheBlocksFit) {
  Random random(19);
  Capacities capacities = Fleet::defaults();
  capacities.indexBlocks = 4096;
  Fleet fleet(capacities);
  PrefixIndex index(fleet.state);
  const uint32_t slot = fleet.add(1'000'000);
  const Chain used = freshChain(random, 400);
  const Chain once = freshChain(random, 10 * 4096);
  for (size_t i = 0; i < once.size(); i += 256) {
    const double nowMs = static_cast<double>(i / 256) * 5000;
    insert(index, Chain(once.begin() + i, once.begin() + i + 256), slot, nowMs);
    insert(index, used, slot, nowMs);
  }
  size_t found = 0;
  for (const uint64_t hash : used) found += hitsOf(index, {hash}, slot);
  CHECK_THAT(found >= 398, std::to_string(found));  // a set may hold more than eight of them
  found = 0;
  for (size_t i = once.size() - 1024; i < once.size(); ++i) found += hitsOf(index, {once[i]}, slot);
  CHECK_THAT(found > 900, std::to_string(found));
  found = 0;
  for (size_t i = 0; i < 5 * 4096; ++i) found += hitsOf(index, {once[i]}, slot);
  CHECK_THAT(found < 50, std::to_string(found));
}

}  // namespace
}  // namespace dualmap::test
