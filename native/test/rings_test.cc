// Rings against a plain model: a sorted list searched from its start (algorithm.md section 3).

#include "core/rings.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "fleet.h"
#include "test.h"

namespace dualmap::test {
namespace {

using BuildResult = Rings::BuildResult;

struct Point {
  uint64_t position;
  uint64_t identity;
  uint32_t slot;
  auto operator<=>(const Point&) const = default;
};

std::vector<Point> modelOf(const std::vector<RingMember>& members, uint32_t ring,
                           uint64_t ringSeed) {
  std::vector<Point> points;
  for (const RingMember& member : members) {
    const auto count = static_cast<uint32_t>(std::max(1.0, std::round(160 * member.weight)));
    for (uint32_t point = 0; point < count; ++point) {
      std::string bytes(16, '\0');
      std::memcpy(bytes.data(), &member.identity, 8);
      std::memcpy(bytes.data() + 8, &ring, 4);
      std::memcpy(bytes.data() + 12, &point, 4);
      points.push_back({xxh3(bytes, ringSeed), member.identity, member.slot});
    }
  }
  std::sort(points.begin(), points.end());
  return points;
}

size_t startIn(const std::vector<Point>& points, uint32_t ring, uint64_t key, uint64_t ringSeed) {
  const uint64_t position = xxh3(&key, 8, ringSeed + 1 + ring);
  for (size_t at = 0; at < points.size(); ++at) {
    if (points[at].position >= position) return at;
  }
  return 0;
}

std::vector<RingMember> randomMembers(Random& random, uint32_t count) {
  std::vector<RingMember> members;
  for (uint32_t i = 0; i < count; ++i) {
    const double weight = random.chance(0.2) ? 0.001 : random.fraction() * 2;
    members.push_back({i, weight, random.next(), {}});
  }
  return members;
}

struct Pair {
  uint32_t first;
  uint32_t second;
  bool operator==(const Pair&) const = default;
};

Pair pairOf(const Rings::Reading& rings, const RingGroup& group, uint64_t key) {
  const uint32_t first =
      rings.walk(group, 0, rings.start(group, 0, key), [](uint32_t) { return true; });
  const uint32_t second = rings.walk(group, 1, rings.start(group, 1, key),
                                     [=](uint32_t slot) { return slot != first; });
  return {first, second};
}

TEST(agreesWithALinearSearch) {
  Random random(6);
  Fleet fleet;
  Rings rings(fleet.state, 0);
  for (int round = 0; round < 40; ++round) {
    const auto members = randomMembers(random, 1 + random.below(round < 20 ? 3 : 20));
    const uint64_t ringSeed = random.next();
    CHECK_EQUAL(rings.build(members, ringSeed), BuildResult::built);
    const Rings::Reading reading(rings);
    const RingGroup& group = reading.group(reading.groupOf(0));
    CHECK_EQUAL(group.members, members.size());
    for (const uint32_t ring : {0u, 1u}) {
      const std::vector<Point> model = modelOf(members, ring, ringSeed);
      CHECK_EQUAL(group.points[ring], model.size());
      for (int i = 0; i < 300; ++i) {
        const uint64_t key = random.next();
        const size_t start = startIn(model, ring, key, ringSeed);
        CHECK_EQUAL(reading.start(group, ring, key), start);
        // A predicate that takes a random subset, maybe none: the first accepted, going round once.
        const uint64_t accepted = random.chance(0.1) ? 0 : random.next() & random.next();
        const auto accepts = [=](uint32_t slot) { return (accepted >> slot & 1) != 0; };
        uint32_t want = kNone;
        for (size_t step = 0; step < model.size() && want == kNone; ++step) {
          const uint32_t slot = model[(start + step) % model.size()].slot;
          if (accepts(slot)) want = slot;
        }
        CHECK_EQUAL(reading.walk(group, ring, static_cast<uint32_t>(start), accepts), want);
      }
    }
  }
}

TEST(aPairIsTwoDistinctInstances) {
  Random random(7);
  Fleet fleet;
  Rings rings(fleet.state, 0);
  for (const uint32_t count : {1, 2, 3, 8, 32}) {
    CHECK_EQUAL(rings.build(randomMembers(random, count), random.next()), BuildResult::built);
    const Rings::Reading reading(rings);
    for (int i = 0; i < 2000; ++i) {
      const Pair pair = pairOf(reading, reading.group(reading.groupOf(0)), random.next());
      CHECK(pair.first < count);
      CHECK(count == 1 ? pair.second == kNone : pair.second < count && pair.second != pair.first);
    }
  }
}

TEST(theOrderOfMembersIsNothing) {
  Random random(8);
  Fleet fleet;
  Rings rings(fleet.state, 0);
  std::vector<RingMember> members = randomMembers(random, 12);
  const uint64_t ringSeed = random.next();
  std::vector<uint64_t> keys(500);
  for (uint64_t& key : keys) key = random.next();
  std::vector<Pair> want;
  for (int round = 0; round < 5; ++round) {
    CHECK_EQUAL(rings.build(members, ringSeed), BuildResult::built);
    const Rings::Reading reading(rings);
    std::vector<Pair> pairs;
    for (const uint64_t key : keys) {
      pairs.push_back(pairOf(reading, reading.group(reading.groupOf(0)), key));
    }
    if (round == 0) want = pairs;
    CHECK(pairs == want);
    for (size_t i = members.size(); i > 1; --i) std::swap(members[i - 1], members[random.below(i)]);
  }
}

TEST(weightsShareTheKeys) {
  Random random(9);
  Fleet fleet;
  Rings rings(fleet.state, 0);
  std::vector<RingMember> members = Fleet::membersOf({0, 1, 2, 3});
  members[3].weight = 3;
  CHECK_EQUAL(rings.build(members, random.next()), BuildResult::built);
  const Rings::Reading reading(rings);
  const RingGroup& group = reading.group(reading.groupOf(0));
  CHECK_EQUAL(group.points[0], 6 * kPointsPerWeight);
  constexpr int keys = 20'000;
  int heavy = 0;
  for (int i = 0; i < keys; ++i) heavy += pairOf(reading, group, random.next()).first == 3;
  CHECK_THAT(heavy > 0.4 * keys && heavy < 0.6 * keys, std::to_string(heavy));
}

TEST(theTwoRingsAreIndependent) {
  Random random(10);
  Fleet fleet;
  Rings rings(fleet.state, 0);
  CHECK_EQUAL(rings.build(Fleet::membersOf({0, 1, 2, 3, 4, 5, 6, 7}), random.next()),
              BuildResult::built);
  const Rings::Reading reading(rings);
  const RingGroup& group = reading.group(reading.groupOf(0));
  const auto any = [](uint32_t) { return true; };
  constexpr int keys = 20'000;
  int collisions = 0;
  for (int i = 0; i < keys; ++i) {
    const uint64_t key = random.next();
    collisions += reading.walk(group, 0, reading.start(group, 0, key), any) ==
                  reading.walk(group, 1, reading.start(group, 1, key), any);
  }
  CHECK_THAT(collisions > 0.10 * keys && collisions < 0.16 * keys, std::to_string(collisions));
}

std::vector<uint32_t> servingOf(const Rings::Reading& reading, uint64_t model) {
  const uint32_t index = reading.groupOf(model);
  if (index == kNone) return {};
  const RingGroup& group = reading.group(index);
  std::vector<uint32_t> slots(reading.members(group), reading.members(group) + group.members);
  std::sort(slots.begin(), slots.end());
  // Points and members must say the same: nobody else is ever met on the rings.
  for (const uint32_t ring : {0u, 1u}) {
    for (uint32_t slot = 0; slot < 8; ++slot) {
      const bool isMember = std::binary_search(slots.begin(), slots.end(), slot);
      const uint32_t met =
          reading.walk(group, ring, 0, [=](uint32_t other) { return other == slot; });
      CHECK_EQUAL(met, isMember ? slot : kNone);
    }
  }
  return slots;
}

TEST(groupsAreThoseWhoServeAModel) {
  using Slots = std::vector<uint32_t>;
  Fleet fleet;
  Rings rings(fleet.state, 0);
  std::vector<RingMember> members = Fleet::membersOf({0, 1, 2, 3});
  members[0].models = {100, 200, 100};
  members[1].models = {200};
  members[3].models = {100, 200};
  CHECK_EQUAL(rings.build(members, 1), BuildResult::built);
  {
    const Rings::Reading reading(rings);
    CHECK(servingOf(reading, 0) == (Slots{0, 1, 2, 3}));
    CHECK(servingOf(reading, 100) == (Slots{0, 2, 3}));
    CHECK(servingOf(reading, 200) == (Slots{0, 1, 2, 3}));
    CHECK(servingOf(reading, 300) == (Slots{2}));
    CHECK_EQUAL(reading.groupOf(200), reading.groupOf(0));  // equal sets share their rings
  }
  members[2].models = {400};
  CHECK_EQUAL(rings.build(members, 1), BuildResult::built);
  {
    const Rings::Reading reading(rings);
    CHECK(servingOf(reading, 100) == (Slots{0, 3}));
    CHECK(servingOf(reading, 400) == (Slots{2}));
    for (const uint64_t model : {1ul, 150ul, 300ul, 500ul})
      CHECK_EQUAL(reading.groupOf(model), kNone);
  }
  CHECK_EQUAL(rings.build({}, 1), BuildResult::built);
  const Rings::Reading reading(rings);
  CHECK_EQUAL(reading.groupOf(0), kNone);
  CHECK_EQUAL(reading.groupOf(100), kNone);
}

TEST(beforeTheFirstRingsNobodyServes) {
  const Fleet fleet;
  const Rings rings(fleet.state, 0);
  const Rings::Reading reading(rings);
  CHECK_EQUAL(reading.groupOf(0), kNone);
  CHECK_EQUAL(reading.groupOf(7), kNone);
}

TEST(ringsThatDoNotFitAreRefused) {
  Capacities capacities = Fleet::defaults();
  capacities.ringPointsMax = 2 * 4 * kPointsPerWeight;
  const Fleet fleet(capacities);
  Rings rings(fleet.state, 0);
  CHECK_EQUAL(rings.build(Fleet::membersOf({0, 1, 2, 3}), 1), BuildResult::built);
  std::vector<RingMember> members = Fleet::membersOf({0, 1, 2, 3});
  members[0].weight = 1000;
  CHECK_EQUAL(rings.build(members, 1), BuildResult::tooLarge);
  const Rings::Reading reading(rings);
  CHECK_EQUAL(reading.group(reading.groupOf(0)).points[0], 4 * kPointsPerWeight);
}

// A generation of rings is immutable while anybody reads it, and there are three buffers.
TEST(aBufferIsNotBuiltInWhileItIsRead) {
  Random random(11);
  Fleet fleet;
  Rings builder(fleet.state, 0);
  const Rings thread1(fleet.state, 1);
  const Rings thread2(fleet.state, 2);
  const auto reads = [](const Rings::Reading& reading, uint32_t instances) {
    return reading.group(reading.groupOf(0)).members == instances;
  };
  CHECK_EQUAL(builder.build(Fleet::membersOf({0}), 1), BuildResult::built);
  {
    const Rings::Reading oldest(thread1);
    CHECK_EQUAL(builder.build(Fleet::membersOf({0, 1}), 1), BuildResult::built);
    auto older = std::make_unique<Rings::Reading>(thread2);
    CHECK_EQUAL(builder.build(Fleet::membersOf({0, 1, 2}), 1), BuildResult::built);
    CHECK_EQUAL(builder.build(Fleet::membersOf({0, 1, 2, 3}), 1), BuildResult::busy);
    CHECK(reads(oldest, 1) && reads(*older, 2));
    { CHECK(reads(Rings::Reading(builder), 3)); }
    older.reset();
    for (uint32_t i = 0; i < 10; ++i) {
      // One spare is left: two builds in a row need the buffer of the first again.
      CHECK_EQUAL(builder.build(Fleet::membersOf({0, 1, 2, 3}), random.next()), BuildResult::built);
      CHECK(reads(oldest, 1));
    }
  }
  CHECK(reads(Rings::Reading(thread1), 4));
}

// A slot that left the rings is reused only when no decision reads rings that it was on.
TEST(aDecisionUnderWayIsSeen) {
  Fleet fleet;
  Rings builder(fleet.state, 0);
  const Rings thread1(fleet.state, 1);
  CHECK_EQUAL(builder.version(), 0u);
  CHECK_EQUAL(builder.build(Fleet::membersOf({0, 1}), 1), BuildResult::built);
  CHECK_EQUAL(builder.version(), 1u);
  auto reading = std::make_unique<Rings::Reading>(thread1);
  CHECK(!builder.isReadBefore(builder.version()));
  CHECK_EQUAL(builder.build(Fleet::membersOf({0}), 1), BuildResult::built);
  const uint64_t without = builder.version();
  CHECK(builder.isReadBefore(without));
  {
    const Rings thread2(fleet.state, 2);
    const Rings::Reading newer(thread2);
    CHECK(builder.isReadBefore(without));
    reading.reset();
    CHECK(!builder.isReadBefore(without));
    CHECK_EQUAL(builder.build(Fleet::membersOf({0, 1}), 1), BuildResult::built);
    CHECK(!builder.isReadBefore(without));
    CHECK(builder.isReadBefore(builder.version()));
  }
  CHECK(!builder.isReadBefore(builder.version()));
}

}  // namespace
}  // namespace dualmap::test
