// The layout of the shared memory, and the word whose two counts always agree.

#include "core/fleet_state.h"

#include "core/prefix_index.h"
#include "core/queues.h"
#include "core/recent_work.h"
#include "core/token_ratios.h"
#include "fleet.h"
#include "test.h"

namespace dualmap::test {
namespace {

TEST(partsLieApartAndAligned) {
  const Capacities capacities = Fleet::defaults();
  const StateLayout layout = layoutOf(capacities);
  const std::vector<uint64_t> ends = {
      0 + sizeof(StateHeader),
      layout.slots + capacities.instancesMax * sizeof(InstanceSlot),
      layout.readers + capacities.threadsMax * sizeof(ReaderLine),
      layout.stats + capacities.threadsMax * kThreadStatsBytes,
      layout.rings[0] + Rings::bytesFor(capacities),
      layout.rings[1] + Rings::bytesFor(capacities),
      layout.rings[2] + Rings::bytesFor(capacities),
      layout.index + PrefixIndex::bytesFor(capacities.indexBlocks),
      layout.hotness + Hotness::bytesFor(capacities.hotnessRequestsMax),
      layout.queues + Queues::bytesFor(capacities),
      layout.tokenRatios + TokenRatios::kBytes,
      layout.recentWork + RecentWork::bytesFor(capacities.instancesMax)};
  const std::vector<uint64_t> starts = {layout.slots,       layout.readers,    layout.stats,
                                        layout.rings[0],    layout.rings[1],   layout.rings[2],
                                        layout.index,       layout.hotness,    layout.queues,
                                        layout.tokenRatios, layout.recentWork, layout.bytes};
  for (size_t i = 0; i < starts.size(); ++i) {
    CHECK_EQUAL(starts[i] % kLineBytes, 0u);
    CHECK_THAT(starts[i] >= ends[i] && starts[i] < ends[i] + kLineBytes, std::to_string(i));
  }
}

TEST(anyMemoryWillDo) {
  for (const size_t skew : {0, 1, 8, 63, 64, 65}) {
    const Fleet fleet(Fleet::defaults(), skew);
    CHECK(fleet.isAttached);
    CHECK_EQUAL(reinterpret_cast<uintptr_t>(&fleet.state.header()) % kLineBytes, 0u);
    // The last byte of the last part is ours: ASan watches.
    const uint64_t hotnessBytes = Hotness::bytesFor(fleet.state.capacities().hotnessRequestsMax);
    fleet.state.hotness()[hotnessBytes - 1] = 1;
  }
}

TEST(whatIsAttachedIsWhatWasCreated) {
  Capacities capacities = Fleet::defaults();
  capacities.indexBlocks = 1000;  // rounded up to a power of two
  const Fleet fleet(capacities);
  const Capacities& found = fleet.state.capacities();
  CHECK_EQUAL(found.instancesMax, capacities.instancesMax);
  CHECK_EQUAL(found.threadsMax, capacities.threadsMax);
  CHECK_EQUAL(found.ringPointsMax, capacities.ringPointsMax);
  CHECK_EQUAL(found.indexBlocks, 1024u);
  CHECK_EQUAL(found.hotnessRequestsMax, capacities.hotnessRequestsMax);
  CHECK_EQUAL(fleet.state.layout().bytes, layoutOf(capacities).bytes);
}

TEST(foreignMemoryIsRefused) {
  const Fleet fleet;
  FleetState other;
  fleet.state.header().layoutVersion += 1;
  CHECK(!other.attach(fleet.memory()));
  fleet.state.header().layoutVersion -= 1;
  CHECK(other.attach(fleet.memory()));
  fleet.state.header().magic ^= 1;
  CHECK(!other.attach(fleet.memory()));
}

TEST(loadWordCounts) {
  LoadWord word{};
  word.add(5);
  word.add(0);
  word.add(LoadWord::kTokenMask - 10);
  CHECK_EQUAL(word.read().requests, 3u);
  CHECK_EQUAL(word.read().tokens, LoadWord::kTokenMask - 5);
  word.subtract(LoadWord::kTokenMask - 10);
  word.subtract(0);
  CHECK_EQUAL(word.read().requests, 1u);
  CHECK_EQUAL(word.read().tokens, 5u);
  word.subtract(5);
  CHECK_EQUAL(word.read().requests, 0u);
  CHECK_EQUAL(word.read().tokens, 0u);
}

TEST(aBorrowEndsTheProcess) {
  LoadWord word{};
  CHECK_DIES(word.subtract(0), "more was released than reserved");
  word.add(5);
  CHECK_DIES(word.subtract(6), "more was released than reserved");
  CHECK_DIES((word.subtract(2), word.subtract(0)), "more was released than reserved");
  // The tokens of another request do not cover it.
  word.add(100);
  CHECK_DIES((word.subtract(100), word.subtract(6)), "more was released than reserved");
}

}  // namespace
}  // namespace dualmap::test
