// Threads that give work to the same instance at the same time lose none of it.

#include "core/recent_work.h"

#include <latch>
#include <thread>
#include <vector>

#include "fleet.h"
#include "test.h"

namespace dualmap::test {
namespace {

TEST(nothingGivenAtOnceIsLost) {
  Fleet fleet;
  fleet.serve(2);
  constexpr int threads = 4;
  constexpr uint64_t requests = 1'000'000;
  std::latch start(threads);
  std::vector<std::thread> givers;
  for (int thread = 0; thread < threads; ++thread) {
    givers.emplace_back([&] {
      RecentWork recent(fleet.state);
      start.arrive_and_wait();
      for (uint64_t i = 0; i < requests; ++i) {
        recent.add(0, 3, 1000);
        if (i % 64 == 0) (void)recent.tokens(0, 1000);
      }
    });
  }
  for (std::thread& giver : givers) giver.join();
  const RecentWork recent(fleet.state);
  CHECK_EQUAL(recent.tokens(0, 1000), threads * requests * 3);
  CHECK_EQUAL(recent.tokens(1, 1000), 0u);
}

}  // namespace
}  // namespace dualmap::test
