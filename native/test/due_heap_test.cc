// The heap of moments against std::set.

#include "core/due_heap.h"

#include <random>
#include <set>
#include <utility>
#include <vector>

#include "test.h"

namespace dualmap::test {
namespace {

TEST(dueHeapKeepsTheEarliestFirstWhateverIsTakenBack) {
  std::mt19937 random(7);
  constexpr uint32_t kTickets = 200;
  DueHeap heap;
  std::set<std::pair<double, uint32_t>> model;
  std::vector<double> due(kTickets, -1);
  uint32_t mostAtOnce = 0;
  for (uint32_t step = 0; step < 200'000; ++step) {
    // It fills and empties in turn; moments are often equal, as those of stalls are.
    const bool isFilling = step / 1'000 % 2 == 0;
    const uint32_t ticket = random() % kTickets;
    const bool isIn = due[ticket] >= 0;
    if (isIn != isFilling || random() % 4 == 0) {
      if (isIn) {
        model.erase({due[ticket], ticket});
        due[ticket] = -1;
        heap.erase(ticket);
      } else {
        due[ticket] = random() % 64;
        model.insert({due[ticket], ticket});
        heap.insert(ticket, due[ticket]);
      }
    }
    mostAtOnce = std::max(mostAtOnce, static_cast<uint32_t>(model.size()));
    CHECK_EQUAL(heap.isEmpty(), model.empty());
    if (model.empty()) continue;
    CHECK_EQUAL(heap.firstMs(), model.begin()->first);
    CHECK_EQUAL(due[heap.firstTicket()], heap.firstMs());
  }
  CHECK(mostAtOnce > kTickets / 2);
  while (!model.empty()) {
    CHECK_EQUAL(heap.firstMs(), model.begin()->first);
    model.erase({heap.firstMs(), heap.firstTicket()});
    heap.erase(heap.firstTicket());
  }
  CHECK(heap.isEmpty());
}

TEST(dueHeapTakesBackWhatItDoesNotHold) {
  DueHeap heap;
  heap.erase(3);
  heap.insert(3, 5);
  heap.erase(2);
  heap.erase(3);
  heap.erase(3);
  CHECK(heap.isEmpty());
}

}  // namespace
}  // namespace dualmap::test
