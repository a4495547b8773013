// Four threads place, retry, see first tokens and end on one fleet state, while a fifth swaps
// rings, raises generations, and takes and frees slots. Run under TSan; afterwards everything is
// zero.

#include <atomic>
#include <thread>

#include "core/core.h"
#include "fleet.h"
#include "prompt_model.h"
#include "test.h"

namespace dualmap::test {
namespace {

constexpr uint32_t requestThreads = 4;
constexpr uint32_t requestsPerThread = 12'000;
constexpr uint32_t changesMin = 200;
constexpr uint32_t instances = 12;

/// One I/O thread: a few requests in flight, a random event for one of them at a time.
class RequestThread {
 public:
  RequestThread(void* memory, uint32_t thread) : random_(100 + thread) {
    CHECK(state_.attach(memory));
    CoreOptions options;
    options.policy = static_cast<PolicyName>(thread % 4);
    core_ = std::make_unique<Core>(state_, thread, options);
  }

  /// Goes on until the control plane has changed enough under it.
  void run(const std::atomic<uint32_t>& changes) {
    for (uint32_t i = 0; i < requestsPerThread || changes < changesMin; ++i) {
      nowMs_ += 1;
      place();
      if (random_.chance(0.1)) core_->look(nowMs_);
      for (int events = 0; events < 3 && !tickets_.empty(); ++events) onSomeTicket();
      while (tickets_.size() > 30) end(0);
    }
    while (!tickets_.empty()) end(0);
    CHECK_EQUAL(core_->ticketsInUse(), 0u);
  }

  uint64_t placed = 0;
  uint64_t insertedMax = 0;  // blocks offered to the prefix index

 private:
  struct InFlight {
    uint64_t ticket;
    uint32_t blocks;
    bool isReserved;
  };

  void place() {
    Placement placement;
    PlaceStatus status;
    const uint64_t kind = random_.below(10);
    if (kind == 0) {
      status = core_->placeBare(random_.chance(0.5) ? "a" : "", nowMs_, &placement);
    } else if (kind == 1) {
      std::string body = R"({"model":"a","messages":[{"role":"user","content":")" +
                         std::string(random_.below(2000), 'x') + R"("}]})";
      const size_t bytes = body.size();
      body.resize(bytes + kPaddingBytes);
      status =
          core_->place(body.data(), bytes, body.size(), PromptKind::chat, nowMs_, {}, &placement);
    } else {
      // Prefixes that all threads share, so that they meet in the same lines.
      std::vector<uint64_t> chain(1 + random_.below(24));
      const uint64_t name = random_.below(8);
      for (size_t i = 0; i < chain.size(); ++i) chain[i] = i < 12 ? name * 100 + i : random_.next();
      for (uint64_t& hash : chain) hash = xxh3(&hash, sizeof hash);
      status = core_->placeChain(chain.data(), static_cast<uint32_t>(chain.size()),
                                 chain.size() * 128, 0, nowMs_, &placement);
    }
    if (status != PlaceStatus::placed) return;
    CHECK(placement.decision.chosen.slot < instances);
    placed += 1;
    insertedMax += placement.blocks;
    tickets_.push_back({placement.ticket, placement.blocks, true});
  }

  void onSomeTicket() {
    const size_t at = random_.below(tickets_.size());
    InFlight& request = tickets_[at];
    const uint64_t event = random_.below(10);
    if (event < 4) {
      end(at);
    } else if (!request.isReserved) {
      return;
    } else if (event < 7) {
      core_->firstToken(request.ticket, 0);
    } else if (event == 7) {
      core_->answered(request.ticket, 0);
    } else {
      if (random_.chance(0.1)) core_->suspect(request.ticket, nowMs_);
      Placement placement;
      request.isReserved = core_->retry(request.ticket, nowMs_, &placement);
      insertedMax += request.blocks;
    }
  }

  void end(size_t at) {
    core_->end(tickets_[at].ticket, 0);
    tickets_[at] = tickets_.back();
    tickets_.pop_back();
  }

  FleetState state_;
  std::unique_ptr<Core> core_;
  Random random_;
  std::vector<InFlight> tickets_;
  double nowMs_ = 0;
};

/// The control plane: changes something of the fleet until the others are done.
class ControlThread {
 public:
  explicit ControlThread(Fleet& fleet) : fleet_(fleet), rings_(fleet.state, requestThreads) {}

  void run(const std::atomic<uint32_t>& running) {
    Hotness hotness(fleet_.state);
    for (; running > 0; changes += 1) {
      const auto index = static_cast<uint32_t>(random_.below(slots_.size()));
      switch (random_.below(4)) {
        case 0:
          replace(index);
          break;
        case 1: {
          InstanceSlot& slot = fleet_.state.slot(slots_[index]);
          slot.generation = slot.generation % 1023 + 1;
          break;
        }
        case 2:
          hotness.resize(static_cast<uint32_t>(1 + random_.below(100)));
          break;
        default:
          build();
      }
    }
  }

  /// Swaps rings; readers hold a buffer for microseconds.
  void build() {
    std::vector<RingMember> members = Fleet::membersOf(slots_);
    for (RingMember& member : members) {
      member.weight = 0.1 + random_.fraction();
      if (random_.chance(0.5)) member.models = {xxh3("a"), xxh3("b")};
    }
    Rings::BuildResult result;
    while ((result = rings_.build(members, random_.next())) == Rings::BuildResult::busy) {
      std::this_thread::yield();
    }
    CHECK_EQUAL(result, Rings::BuildResult::built);
  }

  std::atomic<uint32_t> changes = 0;
  uint64_t reused = 0;

  void start() {
    for (uint32_t i = 0; i < instances - 2; ++i) slots_.push_back(fleet_.add(64));
    build();
  }

 private:
  struct Leaving {
    uint32_t slot;
    uint64_t ringsVersion;
  };

  /// An instance leaves the fleet, and another one takes a slot that is free, maybe a used one: as
  /// src/fleet/registry.ts does.
  void replace(uint32_t index) {
    const uint32_t leaving = slots_[index];
    fleet_.setState(leaving, InstanceState::draining);
    slots_.erase(slots_.begin() + index);
    build();
    leaving_.push_back({leaving, rings_.version()});
    // At least two must serve.
    do letGo();
    while (!join() && slots_.size() < 2);
    build();
  }

  /// Frees the slots that nothing holds and that no decision under way can come to hold.
  void letGo() {
    std::erase_if(leaving_, [this](const Leaving& one) {
      InstanceSlot& slot = fleet_.state.slot(one.slot);
      if (rings_.isReadBefore(one.ringsVersion) || slot.holds != 0) return false;
      fleet_.setState(one.slot, InstanceState::free);
      return true;
    });
    const uint32_t count = fleet_.state.header().instanceCount;
    for (uint32_t index = 0; index < count; ++index) {
      const InstanceSlot& slot = fleet_.state.slot(index);
      const bool isFree = slot.state == static_cast<uint32_t>(InstanceState::free);
      CHECK(!isFree || slot.holds == 0);
    }
  }

  /// False if no slot is free.
  bool join() {
    const uint32_t count = fleet_.state.header().instanceCount;
    uint32_t slot = 0;
    while (slot < count && !Fleet::isReusable(fleet_.state.slot(slot))) ++slot;
    if (slot == instances) return false;
    reused += slot < count;
    CHECK_EQUAL(fleet_.add(64), slot);
    slots_.push_back(slot);
    return true;
  }

  Fleet& fleet_;
  Rings rings_;
  Random random_{99};
  std::vector<uint32_t> slots_;
  std::vector<Leaving> leaving_;
};

TEST(fourThreadsAndTheControlPlane) {
  Fleet fleet;
  ControlThread control(fleet);
  control.start();
  std::vector<std::unique_ptr<RequestThread>> work;
  std::vector<std::thread> threads;
  std::atomic<uint32_t> running = requestThreads;
  for (uint32_t thread = 0; thread < requestThreads; ++thread) {
    work.push_back(std::make_unique<RequestThread>(fleet.memory(), thread));
  }
  for (const auto& one : work) {
    threads.emplace_back([&] {
      one->run(control.changes);
      running -= 1;
    });
  }
  control.run(running);
  for (std::thread& thread : threads) thread.join();

  CHECK(fleet.isIdle());
  uint64_t placed = 0;
  uint64_t offered = 0;
  for (const auto& one : work) {
    placed += one->placed;
    offered += one->insertedMax;
  }
  uint64_t inserted = 0;
  for (uint32_t slot = 0; slot < instances; ++slot) inserted += fleet.state.slot(slot).insertions;
  // A block counts as one insertion at most, however the threads meet.
  CHECK_THAT(inserted <= offered * PrefixIndex::kInsertionUnit,
             std::to_string(inserted / 256) + " of " + std::to_string(offered));
  CHECK(placed > requestThreads * requestsPerThread / 2);
  CHECK(control.reused > 0);
}

// One of four instances serves at every moment, and the rings are of it alone: whatever generation
// of them a decision began with, it finds the one that serves.
TEST(aFleetThatIsReplacedServesAllTheWhile) {
  Fleet fleet;
  Rings rings(fleet.state, 1);
  for (uint32_t i = 0; i < 4; ++i) fleet.add();
  uint32_t serving = 0;
  const auto build = [&](uint32_t slot) {
    std::vector<RingMember> members = Fleet::membersOf({slot});
    members[0].weight = 0.01;  // quickly built, often replaced
    while (rings.build(members, 1) == Rings::BuildResult::busy) std::this_thread::yield();
  };
  build(serving);
  std::atomic<bool> isDone = false;
  std::atomic<uint32_t> replaced = 0;
  std::thread decider([&] {
    Core core(fleet.state, 0, CoreOptions{});
    const uint64_t chain = 7;
    uint32_t refused = 0;
    for (uint32_t i = 0; replaced < 20'000; ++i) {
      Placement placement;
      const PlaceStatus status = i % 2 == 0 ? core.placeChain(&chain, 1, 100, 0, i, &placement)
                                            : core.placeBare("", i, &placement);
      refused += status != PlaceStatus::placed;
      if (status == PlaceStatus::placed) core.end(placement.ticket, 0);
    }
    CHECK_EQUAL(refused, 0u);
    isDone = true;
  });
  while (!isDone) {
    const uint32_t next = (serving + 1) % 4;
    fleet.setState(next, InstanceState::serving);
    build(next);
    fleet.setState(serving, InstanceState::draining);
    serving = next;
    replaced += 1;
  }
  decider.join();
  CHECK(fleet.isIdle());
}

// A block that one thread renews is resident all the while for the others.
TEST(aRenewalIsNeverAMiss) {
  Capacities capacities = Fleet::defaults();
  capacities.indexBlocks = 1 << 17;  // no set is crowded
  Fleet fleet(capacities);
  const uint32_t slot = fleet.add(256);
  Random random(98);
  std::vector<uint64_t> chain(16);
  for (uint64_t& hash : chain) hash = random.next();
  std::vector<uint64_t> others(2048);
  for (uint64_t& hash : others) hash = random.next();
  PrefixIndex index(fleet.state);
  index.insert(chain.data(), 16, slot, 0);
  std::atomic<bool> isDone = false;
  std::thread writer([&] {
    PrefixIndex own(fleet.state);
    for (size_t i = 0; i < 20'000; ++i) {
      // Old enough to be renewed, not so old as to be gone.
      own.insert(others.data() + i * 32 % others.size(), 32, slot, 0);
      own.insert(chain.data(), 16, slot, 0);
    }
    isDone = true;
  });
  while (!isDone) CHECK_EQUAL(index.hits(chain.data(), 16, slot, kNone).first, 16u);
  writer.join();
}

}  // namespace
}  // namespace dualmap::test
