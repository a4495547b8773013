// Random commands on the queues of one fleet: by one thread against a plain model, then by four
// threads while a fifth lets instances die, recover and drain. Every request ends exactly once, no
// idle instance stands beside a request that it must take, and at the end every counter is zero.

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "prompt_model.h"
#include "queue_router.h"

namespace dualmap::test {
namespace {

constexpr uint32_t instances = 6;

CoreOptions optionsOf(uint32_t kind) {
  CoreOptions options =
      queueOptions(kind % 2 == 0 ? PolicyName::dualmap : PolicyName::dualmapPaper, kind % 2 == 0);
  options.placing.sloTtftMs = 60;
  options.suspicion.backoffMs = 20;
  options.suspicion.backoffMaxMs = 80;  // what waits for suspects alone goes on within the test
  options.queue.isFleetWide = kind % 4 == 2;
  options.queue.order = static_cast<QueueOrder>(kind / 2 % 3);
  options.queue.latePolicy = kind % 5 == 4 ? LatePolicy::shed : LatePolicy::serve;
  options.queue.prefillWindowTokens = kind % 3 == 0 ? 1 : 700;
  return options;
}

bool isServing(const FleetState& state, uint32_t slot) {
  return state.slot(slot).state == static_cast<uint32_t>(InstanceState::serving);
}

/// What one thread has in flight, by what it has been told alone.
class Requests {
 public:
  struct Request {
    enum { waiting, placed, over } phase = waiting;
    uint32_t slot = kNone;
    std::map<uint32_t, uint64_t> uncached;  // by candidate
    uint64_t promptTokens = 0;
    bool wasMoved = false;
  };

  Requests(Core& core, const FleetState& state, uint64_t seed)
      : core_(core), state_(state), random_(seed) {}

  void place(double nowMs) {
    std::vector<uint64_t> chain(1 + random_.below(12));
    const uint64_t name = random_.below(20);
    for (size_t i = 0; i < chain.size(); ++i) chain[i] = name * 100 + i + 1;
    for (uint64_t& hash : chain) hash = xxh3(&hash, sizeof hash);
    Placement placement;
    const auto blocks = static_cast<uint32_t>(chain.size());
    const PlaceStatus status =
        core_.placeChain(chain.data(), blocks, blocks * 128, 0, nowMs, &placement);
    if (status != PlaceStatus::placed) {
      CHECK(status == PlaceStatus::noInstance || status == PlaceStatus::queueFull);
      return;
    }
    placedCount += 1;
    CHECK(all.count(placement.ticket) == 0);
    Request& request = all[placement.ticket];
    const Decision& decision = placement.decision;
    request.promptTokens = placement.promptTokens;
    for (const Candidate& one : {decision.chosen, decision.other, decision.third}) {
      if (one.slot != kNone) request.uncached[one.slot] = one.uncachedTokens;
    }
    if (placement.isWaiting) return;
    request.phase = Request::placed;
    request.slot = decision.chosen.slot;
  }

  void readClaims(double nowMs) {
    Placement placement;
    for (Waited waited = core_.nextClaim(&placement); waited != Waited::none;
         waited = core_.nextClaim(&placement)) {
      const auto found = all.find(placement.ticket);
      CHECK(found != all.end() && found->second.phase == Request::waiting);
      claimedCount += 1;
      if (waited == Waited::shed) {
        end(placement.ticket, nowMs);
      } else {
        found->second.phase = Request::placed;
        found->second.slot = placement.decision.chosen.slot;
      }
    }
  }

  void someEvent(double nowMs) {
    if (all.empty()) return;
    auto at = all.begin();
    std::advance(at, random_.below(all.size()));
    // What is in flight moves on more often than what waits, however much waits.
    if (at->second.phase == Request::waiting && random_.chance(0.95)) at = inFlightAfter(at);
    const uint64_t ticket = at->first;
    const uint64_t what = random_.below(10);
    if (at->second.phase == Request::waiting) {
      if (random_.chance(0.5)) end(ticket, nowMs);  // its client leaves
    } else if (what < 4) {
      core_.firstToken(ticket, nowMs);
    } else if (what < 8) {
      end(ticket, nowMs);
    } else if (what == 8) {
      core_.suspect(ticket, nowMs);
      Placement placement;
      if (!core_.retry(ticket, nowMs, &placement)) end(ticket, nowMs);
    } else {
      core_.answered(ticket, nowMs);
    }
  }

  /// Tries to move something that waits, planned from a snapshot or from nonsense. Who alone
  /// commands the fleet knows what must come of it.
  void someMigration(double nowMs, bool isAlone) {
    WaitingRow rows[8];
    const auto from = static_cast<uint32_t>(random_.below(instances));
    const uint32_t count = core_.snapshotQueue(from, rows, 8);
    if (count == 0) return;
    const WaitingRow& row = rows[random_.below(count)];
    const auto to = random_.chance(0.1) ? static_cast<uint32_t>(random_.below(instances))
                                        : static_cast<uint32_t>(static_cast<int>(row.spareSlot));
    const auto place = static_cast<uint32_t>(row.place);
    const auto sequence = static_cast<uint64_t>(row.sequence);
    const bool isPlausible = to != kNone && row.spareSlot == to && row.isMoved == 0 &&
                             isServing(state_, to) && nowMs >= state_.slot(to).suspectUntilMs;
    const bool isMoved = core_.migrate({place, sequence, from, to}, nowMs);
    if (isAlone) CHECK_EQUAL(isMoved, isPlausible);
    if (!isMoved) return;
    CHECK(moved_.insert(sequence).second);
    movedCount += 1;
  }

  std::map<uint64_t, Request>::iterator inFlightAfter(std::map<uint64_t, Request>::iterator at) {
    const auto isInFlight = [](const auto& one) { return one.second.phase != Request::waiting; };
    const auto next = std::find_if(at, all.end(), isInFlight);
    if (next != all.end()) return next;
    const auto first = std::find_if(all.begin(), at, isInFlight);
    return first;
  }

  void end(uint64_t ticket, double nowMs) {
    core_.end(ticket, nowMs);
    CHECK(all.erase(ticket) == 1);
    endedCount += 1;
  }

  std::map<uint64_t, Request> all;
  uint64_t placedCount = 0;
  uint64_t claimedCount = 0;
  uint64_t endedCount = 0;
  uint64_t movedCount = 0;

 private:
  Core& core_;
  const FleetState& state_;
  Random random_;
  std::set<uint64_t> moved_;
};

// An instance with nothing to prefill may leave a request only to a warmer one, and then there is a
// time at which it looks again.
void checkNobodyIdles(const Requests& requests, const Core& core, const FleetState& state,
                      const QueueOptions& options, double nowMs) {
  for (uint32_t slot = 0; slot < instances; ++slot) {
    const InstanceSlot& instance = state.slot(slot);
    if (!isServing(state, slot) || instance.prefilling.read().requests > 0) continue;
    if (nowMs < instance.suspectUntilMs.load()) continue;
    if (!options.bindsLate) {
      CHECK_EQUAL(instance.standing.load(), 0u);
      continue;
    }
    for (const auto& [ticket, request] : requests.all) {
      if (request.phase != Requests::Request::waiting || request.wasMoved) continue;
      const auto here = request.uncached.find(slot);
      const bool isCandidate = here != request.uncached.end();
      if (!isCandidate && !options.isFleetWide) continue;
      const uint64_t uncachedHere = isCandidate ? here->second : request.promptTokens;
      bool isLeft = false;
      for (const auto& [other, uncached] : request.uncached) {
        isLeft = isLeft || (other != slot && uncached < uncachedHere && isServing(state, other));
      }
      CHECK(isLeft);
      CHECK(core.nextLookMs() < Queues::kNever);
    }
  }
}

void checkAtRest(const Fleet& fleet, const Core& core) {
  CHECK(fleet.isIdle());
  CHECK_EQUAL(core.waiting(), 0u);
  for (uint32_t slot = 0; slot < instances; ++slot) {
    CHECK_EQUAL(fleet.state.slot(slot).standing.load(), 0u);
  }
}

TEST(randomCommandsLeaveNobodyIdleAndNothingBehind) {
  for (uint32_t kind = 0; kind < 30; ++kind) {
    const CoreOptions options = optionsOf(kind);
    QueueRouter router(instances, options);
    Random random(kind);
    Requests requests(*router.core, router.fleet.state, kind + 1);
    double nowMs = 1;
    for (int step = 0; step < 3000; ++step) {
      nowMs += random.fraction() * 8;
      if (random.chance(0.02)) {
        router.fleet.setState(static_cast<uint32_t>(random.below(instances)),
                              random.chance(0.6) ? InstanceState::serving : InstanceState::dead);
        router.core->fleetChanged(nowMs);
        for (auto& [ticket, request] : requests.all) request.wasMoved = true;
      } else if (requests.all.size() < 25 || random.chance(0.4)) {
        requests.place(nowMs);
      } else {
        requests.someEvent(nowMs);
      }
      if (random.chance(0.2)) requests.someMigration(nowMs, true);
      if (nowMs >= router.core->nextLookMs()) router.core->look(nowMs);
      requests.readClaims(nowMs);
      checkNobodyIdles(requests, *router.core, router.fleet.state, options.queue, nowMs);
    }
    while (!requests.all.empty()) {
      requests.end(requests.all.begin()->first, nowMs);
      requests.readClaims(nowMs);
    }
    CHECK(requests.claimedCount > 100);
    CHECK(options.queue.bindsLate ? requests.movedCount == 0 : requests.movedCount > 20);
    CHECK_EQUAL(requests.endedCount, requests.placedCount);
    checkAtRest(router.fleet, *router.core);
  }
}

/// One I/O thread with its loop: woken by others, or by the time.
void runThread(void* memory, uint32_t thread, const CoreOptions& options,
               std::atomic<uint64_t>& clock, std::atomic<uint64_t>& claimed) {
  FleetState state;
  CHECK(state.attach(memory));
  Core core(state, thread, options);
  std::atomic<uint32_t> wakes{0};
  core.setWake([](void* data) { static_cast<std::atomic<uint32_t>*>(data)->fetch_add(1); }, &wakes);
  Requests requests(core, state, 7 * thread);
  Random random(thread);
  const auto turn = [&] {
    const auto nowMs = static_cast<double>(clock.fetch_add(1) + 1) / 8;
    if (nowMs >= core.nextLookMs()) core.look(nowMs);
    requests.readClaims(nowMs);
    return nowMs;
  };
  for (int step = 0; step < 20'000; ++step) {
    const double nowMs = turn();
    if (requests.all.size() < 30 || random.chance(0.3)) {
      requests.place(nowMs);
    } else {
      requests.someEvent(nowMs);
    }
    if (random.chance(0.2)) requests.someMigration(nowMs, false);
    if (random.chance(0.01)) core.fleetChanged(nowMs);
  }
  // What still waits is claimed as soon as others end: nobody has to look at every queue for that.
  while (!requests.all.empty()) {
    const double nowMs = turn();
    for (auto at = requests.all.begin(); at != requests.all.end();) {
      const auto [ticket, request] = *at++;
      if (request.phase != Requests::Request::waiting) requests.end(ticket, nowMs);
    }
    if (random.chance(0.02)) core.fleetChanged(nowMs);
  }
  core.setWake(nullptr, nullptr);
  CHECK_EQUAL(requests.endedCount, requests.placedCount);
  claimed += requests.claimedCount;
}

TEST(fourThreadsEndEveryRequestOnce) {
  for (const uint32_t kind : {0u, 1u, 2u, 4u, 7u}) {
    Fleet fleet;
    fleet.serve(instances);
    std::atomic<uint64_t> clock{8};
    std::atomic<uint64_t> claimed{0};
    std::atomic<bool> isOver{false};
    std::vector<std::thread> threads;
    for (uint32_t thread = 1; thread <= 4; ++thread) {
      threads.emplace_back(
          [&, thread] { runThread(fleet.memory(), thread, optionsOf(kind), clock, claimed); });
    }
    std::thread control([&] {
      Random random(99);
      while (!isOver) {
        const auto slot = static_cast<uint32_t>(random.below(instances));
        fleet.setState(slot, random.chance(0.5) ? InstanceState::dead : InstanceState::draining);
        std::this_thread::yield();
        fleet.setState(slot, InstanceState::serving);
        std::this_thread::yield();
      }
    });
    for (std::thread& thread : threads) thread.join();
    isOver = true;
    control.join();
    CHECK(claimed > 200);
    CHECK(fleet.isIdle());
    for (uint32_t slot = 0; slot < instances; ++slot) {
      CHECK_EQUAL(fleet.state.slot(slot).standing.load(), 0u);
    }
  }
}

}  // namespace
}  // namespace dualmap::test
