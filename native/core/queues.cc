#include "queues.h"

#include <algorithm>
#include <new>
#include <utility>

#include "estimate.h"

namespace dualmap {

namespace {

uint64_t roundUp(uint64_t bytes) noexcept {
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

}  // namespace

Queues::Offsets Queues::offsetsOf(const Capacities& capacities) noexcept {
  // Place 0 is none, and so are its nodes.
  const uint64_t places = uint64_t{capacities.waitingMax} + 1;
  Offsets at{};
  at.mails = roundUp(sizeof(Table));
  at.queues = at.mails + roundUp(capacities.threadsMax * sizeof(Mail));
  at.full = at.queues + roundUp((uint64_t{capacities.instancesMax} + 1) * sizeof(InstanceQueue));
  at.waiting = at.full + roundUp((capacities.instancesMax / 64 + 1) * sizeof(uint64_t));
  at.nodes = at.waiting + roundUp(places * sizeof(Waiting));
  at.bytes = at.nodes + roundUp(places * kStands * 2 * sizeof(TreeNode));
  return at;
}

uint64_t Queues::bytesFor(const Capacities& capacities) noexcept {
  return offsetsOf(capacities).bytes;
}

void Queues::create(const FleetState& state) noexcept { new (state.queues()) Table{}; }

Queues::Queues(const FleetState& state, PrefixIndex& index, const QueueOptions& options,
               const SuspicionOptions& suspicion, uint32_t thread) noexcept
    : state_(&state),
      index_(&index),
      options_(options),
      suspicion_(suspicion),
      thread_(thread),
      everybody_(state.capacities().instancesMax),
      table_(reinterpret_cast<Table*>(state.queues())),
      mails_(part<Mail>(&Offsets::mails)),
      queues_(part<InstanceQueue>(&Offsets::queues)),
      full_(part<std::atomic<uint64_t>>(&Offsets::full)),
      waiting_(part<Waiting>(&Offsets::waiting)),
      nodes_(part<TreeNode>(&Offsets::nodes)) {}

void Queues::setWake(void (*wake)(void*), void* data) noexcept {
  const std::lock_guard guard(table_->lock);
  mails_[thread_].wake = wake;
  mails_[thread_].data = data;
}

Tree Queues::feasibleOf(uint32_t slot) const noexcept {
  return Tree(nodes_, &queues_[slot].feasible);
}

Tree Queues::expiryOf(uint32_t slot) const noexcept { return Tree(nodes_, &queues_[slot].expiry); }

Tree Queues::lateOf(uint32_t slot) const noexcept { return Tree(nodes_, &queues_[slot].late); }

bool Queues::isServing(uint32_t slot) const noexcept {
  return state_->slot(slot).state.load(std::memory_order_relaxed) ==
         static_cast<uint32_t>(InstanceState::serving);
}

bool Queues::isLeaving(uint32_t slot) const noexcept {
  const uint32_t state = state_->slot(slot).state.load(std::memory_order_relaxed);
  return state == static_cast<uint32_t>(InstanceState::draining) ||
         state == static_cast<uint32_t>(InstanceState::free);
}

uint32_t Queues::generationOf(uint32_t slot) const noexcept {
  return state_->slot(slot).generation.load(std::memory_order_relaxed);
}

bool Queues::isAvailable(uint32_t slot, double nowMs) const noexcept {
  return isServing(slot) &&
         nowMs >= state_->slot(slot).suspectUntilMs.load(std::memory_order_relaxed);
}

bool Queues::hasRoom(uint32_t slot, double nowMs) const noexcept {
  if (isOutOfMemory(slot, nowMs)) return false;
  const LoadWord::Value load = state_->slot(slot).prefilling.readInOrder();
  return load.requests == 0 || load.tokens < options_.prefillWindowTokens;
}

std::atomic<uint32_t>& Queues::standingOf(uint32_t slot) const noexcept {
  return slot == everybody_ ? table_->standing : state_->slot(slot).standing;
}

// Sequentially consistent, as `standing`: an instance that gets room shows itself before it looks
// for somebody who waits, and who waits is seen before it looks for an instance with room.
void Queues::setFull(uint32_t slot, bool isFull) noexcept {
  std::atomic<uint64_t>& word = full_[slot / 64];
  const uint64_t bit = uint64_t{1} << (slot % 64);
  if (((word.load(std::memory_order_seq_cst) & bit) != 0) == isFull) return;
  if (isFull) {
    word.fetch_or(bit, std::memory_order_seq_cst);
  } else {
    word.fetch_and(~bit, std::memory_order_seq_cst);
  }
}

bool Queues::tryPass(const Candidate& candidate, double nowMs, uint64_t* aheadTokens) noexcept {
  InstanceSlot& slot = state_->slot(candidate.slot);
  if (slot.standing.load(std::memory_order_seq_cst) > 0) return false;
  if (isFullOfPeers(candidate.slot, nowMs) || isOutOfMemory(candidate.slot, nowMs)) return false;
  return slot.prefilling.tryAdd(candidate.uncachedTokens, options_.prefillWindowTokens,
                                aheadTokens);
}

uint32_t Queues::enqueue(const WaitRequest& request, double nowMs) noexcept {
  const std::lock_guard guard(table_->lock);
  uint32_t place = table_->firstFree;
  if (place != 0) {
    table_->firstFree = waiting_[place].next;
  } else {
    if (table_->everTaken == state_->capacities().waitingMax) return 0;
    place = ++table_->everTaken;
  }
  table_->waiting.fetch_add(1, std::memory_order_relaxed);
  Waiting& waiting = waiting_[place];
  waiting = Waiting{};
  waiting.thread = thread_;
  waiting.sequence = ++table_->sequence;
  line(place, request, nowMs);
  return place;
}

void Queues::requeue(uint32_t place, const WaitRequest& request, double nowMs) noexcept {
  const std::lock_guard guard(table_->lock);
  if (waiting_[place].state != State::waiting) return;
  leaveAll(place);
  line(place, request, nowMs);
}

// Into the queues, and to an instance at once if one has room.
void Queues::line(uint32_t place, const WaitRequest& request, double nowMs) noexcept {
  Waiting& waiting = waiting_[place];
  waiting.state = State::waiting;
  waiting.ticket = request.ticket;
  waiting.arrivalMs = request.arrivalMs;
  waiting.deadlineMs = request.arrivalMs + request.sloTtftMs;
  waiting.promiseMs = 0;
  waiting.priority = request.priority;
  waiting.reserved = request.reserved;
  const auto standAt = [](const Candidate& candidate) {
    return Stand{candidate.slot, false, candidate.cachedTokens, candidate.uncachedTokens};
  };
  waiting.stands = 1;
  waiting.stand[0] = standAt(request.candidate);
  waiting.spare.slot = kNone;
  if (request.other.slot != kNone) {
    if (options_.bindsLate) {
      waiting.stand[waiting.stands++] = standAt(request.other);
    } else {
      waiting.spare = standAt(request.other);
      waiting.spareGeneration = generationOf(request.other.slot);
    }
  }
  if (options_.bindsLate && request.third.slot != kNone) {
    waiting.stand[waiting.stands++] = standAt(request.third);
  }
  if (options_.bindsLate && options_.isFleetWide) {
    // To everybody else it is cold.
    const uint64_t tokens = request.reserved.promptTokens;
    waiting.stand[waiting.stands++] = Stand{everybody_, false, 0, tokens};
  }
  standAll(place, nowMs);
}

void Queues::standAll(uint32_t place, double nowMs) noexcept {
  Waiting& waiting = waiting_[place];
  // Counted once, at the candidate it would rather go to.
  state_->slot(waiting.stand[0].slot).queued.add(waiting.stand[0].uncachedTokens);
  for (uint32_t index = 0; index < waiting.stands; ++index) stand(place, index, nowMs);
  for (uint32_t index = 0; index < waiting.stands && waiting.state == State::waiting; ++index) {
    if (waiting.stand[index].slot == everybody_) {
      offerToOthers(place, nowMs);
    } else {
      claimAll(waiting.stand[index].slot, nowMs);
    }
  }
  // Late on arrival, and no instance had room: waiting makes it no better.
  const bool sheds = options_.latePolicy == LatePolicy::shed;
  if (sheds && waiting.state == State::waiting) shed(place, nowMs);
}

// From the queue it was bound to into that of its other candidate.
void Queues::move(uint32_t place, double nowMs) noexcept {
  Waiting& waiting = waiting_[place];
  leaveAll(place);
  std::swap(waiting.stand[0], waiting.spare);
  waiting.spareGeneration = generationOf(waiting.spare.slot);
  waiting.stand[0].isLate = false;
  waiting.isMoved = true;
  state_->slot(waiting.stand[0].slot).migrationsTotal.fetch_add(1, std::memory_order_relaxed);
  standAll(place, nowMs);
}

void Queues::stand(uint32_t place, uint32_t index, double nowMs) noexcept {
  const Waiting& waiting = waiting_[place];
  Stand& at = waiting_[place].stand[index];
  standingOf(at.slot).fetch_add(1, std::memory_order_seq_cst);
  TreeNode& node = nodes_[nodeOf(place, index, false)];
  node.tokens = at.uncachedTokens;
  node.key = {waiting.priority, waiting.arrivalMs, waiting.sequence};
  if (options_.order == QueueOrder::hit) node.key.value = -static_cast<double>(at.cachedTokens);
  if (options_.order == QueueOrder::deadline) {
    const double lateFromMs =
        waiting.deadlineMs -
        estimateTtftMs(state_->slot(at.slot == everybody_ ? waiting.stand[0].slot : at.slot), 0,
                       at.uncachedTokens, waiting.reserved.promptTokens);
    if (nowMs > lateFromMs) {
      standLate(place, index);
      return;
    }
    node.key.value = static_cast<double>(at.uncachedTokens);
    TreeNode& expiry = nodes_[nodeOf(place, index, true)];
    expiry.tokens = 0;
    expiry.key = {0, lateFromMs, waiting.sequence};
    expiryOf(at.slot).insert(nodeOf(place, index, true));
  }
  feasibleOf(at.slot).insert(nodeOf(place, index, false));
}

void Queues::standLate(uint32_t place, uint32_t index) noexcept {
  Waiting& waiting = waiting_[place];
  waiting.stand[index].isLate = true;
  nodes_[nodeOf(place, index, false)].key = {waiting.priority, waiting.arrivalMs, waiting.sequence};
  lateOf(waiting.stand[index].slot).insert(nodeOf(place, index, false));
}

void Queues::unstand(uint32_t place, uint32_t index) noexcept {
  const Stand& at = waiting_[place].stand[index];
  if (at.isLate) {
    lateOf(at.slot).erase(nodeOf(place, index, false));
  } else {
    feasibleOf(at.slot).erase(nodeOf(place, index, false));
    if (options_.order == QueueOrder::deadline) {
      expiryOf(at.slot).erase(nodeOf(place, index, true));
    }
  }
  standingOf(at.slot).fetch_sub(1, std::memory_order_relaxed);
}

void Queues::leaveAll(uint32_t place) noexcept {
  const Waiting& waiting = waiting_[place];
  for (uint32_t index = 0; index < waiting.stands; ++index) unstand(place, index);
  state_->slot(waiting.stand[0].slot).queued.subtract(waiting.stand[0].uncachedTokens);
}

void Queues::free(uint32_t place) noexcept {
  waiting_[place].state = State::free;
  waiting_[place].next = table_->firstFree;
  table_->firstFree = place;
  table_->waiting.fetch_sub(1, std::memory_order_relaxed);
}

void Queues::post(uint32_t place) noexcept {
  Mail& mail = mails_[waiting_[place].thread];
  waiting_[place].next = 0;
  if (mail.head == 0) {
    mail.head = place;
  } else {
    waiting_[mail.tail].next = place;
  }
  mail.tail = place;
  const bool wasEmpty = mail.count.fetch_add(1, std::memory_order_relaxed) == 0;
  // The owner itself looks before it returns to its loop.
  if (wasEmpty && waiting_[place].thread != thread_ && mail.wake != nullptr) mail.wake(mail.data);
}

bool Queues::hasMail() const noexcept {
  return mails_[thread_].count.load(std::memory_order_relaxed) > 0;
}

bool Queues::next(Claim* out) noexcept {
  if (!hasMail()) return false;
  const std::lock_guard guard(table_->lock);
  Mail& mail = mails_[thread_];
  while (mail.head != 0) {
    const uint32_t place = mail.head;
    mail.head = waiting_[place].next;
    mail.count.fetch_sub(1, std::memory_order_relaxed);
    const bool isWanted = waiting_[place].state != State::abandoned;
    *out = waiting_[place].claim;
    free(place);
    if (isWanted) return true;
  }
  return false;
}

void Queues::cancel(uint32_t place, double nowMs) noexcept {
  const std::lock_guard guard(table_->lock);
  Waiting& waiting = waiting_[place];
  if (waiting.state == State::waiting) {
    leaveAll(place);
    free(place);
    return;
  }
  // It lies in the mail: whoever reads that frees its place.
  const bool wasClaimed = waiting.state == State::claimed;
  waiting.state = State::abandoned;
  if (!wasClaimed) return;
  const Candidate& candidate = waiting.claim.candidate;
  InstanceSlot& slot = state_->slot(candidate.slot);
  slot.prefilling.subtract(candidate.uncachedTokens);
  slot.holds.fetch_sub(1, std::memory_order_relaxed);
  claimAll(candidate.slot, nowMs);
}

void Queues::offerRoom(uint32_t slot, double nowMs) noexcept {
  if (options_.isFleetWide) setFull(slot, false);
  const bool isWantedByAll = table_->standing.load(std::memory_order_seq_cst) > 0;
  if (!isWantedByAll && state_->slot(slot).standing.load(std::memory_order_seq_cst) == 0) return;
  const std::lock_guard guard(table_->lock);
  claimAll(slot, nowMs);
}

void Queues::turnedSuspect(uint32_t slot, double nowMs) noexcept {
  if (state_->slot(slot).standing.load(std::memory_order_seq_cst) == 0) return;
  const std::lock_guard guard(table_->lock);
  noteLook(slot, state_->slot(slot).suspectUntilMs.load(std::memory_order_relaxed));
  uint32_t places[kLookedAtMax];
  uint32_t count = 0;
  for (const Tree& tree : {feasibleOf(slot), lateOf(slot)}) {
    for (Tree::Cursor at(tree); at.node() != 0 && count < kLookedAtMax; at.advance()) {
      places[count++] = placeOf(at.node());
    }
  }
  for (uint32_t index = 0; index < count; ++index) {
    const Waiting& waiting = waiting_[places[index]];
    // Another one's turn may have sent it away.
    if (waiting.state != State::waiting) continue;
    if (waiting.stands > 1) {
      for (uint32_t at = 0; at < waiting.stands && waiting.state == State::waiting; ++at) {
        if (waiting.stand[at].slot == everybody_) {
          offerToOthers(places[index], nowMs);
        } else if (waiting.stand[at].slot != slot) {
          claimAll(waiting.stand[at].slot, nowMs);
        }
      }
    } else if (mayMove(waiting, nowMs)) {
      move(places[index], nowMs);
    }
  }
}

void Queues::look(double nowMs) noexcept {
  const double firstMs = table_->nextLookMs.load(std::memory_order_relaxed);
  const bool isDue = firstMs != 0 && nowMs >= firstMs;
  if (!isDue && nowMs < nextLookMs_) return;
  nextLookMs_ = kNever;
  const uint32_t slots = state_->header().instanceCount.load(std::memory_order_relaxed);
  const std::lock_guard guard(table_->lock);
  table_->nextLookMs.store(0, std::memory_order_relaxed);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    InstanceQueue& queue = queues_[slot];
    if (queue.nextLookMs == 0) continue;
    if (queue.nextLookMs > nowMs) {
      noteLook(slot, queue.nextLookMs);
      continue;
    }
    queue.nextLookMs = 0;
    claimAll(slot, nowMs);
  }
}

void Queues::noteLook(uint32_t slot, double atMs) noexcept {
  if (atMs >= kNever) return;
  InstanceQueue& queue = queues_[slot];
  if (queue.nextLookMs == 0 || atMs < queue.nextLookMs) queue.nextLookMs = atMs;
  const double firstMs = table_->nextLookMs.load(std::memory_order_relaxed);
  if (firstMs == 0 || atMs < firstMs) table_->nextLookMs.store(atMs, std::memory_order_relaxed);
  // Whoever learnt of it keeps the time, also if another thread had an earlier one.
  nextLookMs_ = std::min(nextLookMs_, atMs);
}

bool Queues::wantsOthers(uint32_t place) const noexcept {
  const std::lock_guard guard(table_->lock);
  const Waiting& waiting = waiting_[place];
  if (waiting.state != State::waiting) return false;
  const Stand* end = waiting.stand + waiting.stands;
  const auto serves = [&](const Stand& at) { return at.slot != everybody_ && isServing(at.slot); };
  const auto leaves = [&](const Stand& at) { return at.slot != everybody_ && isLeaving(at.slot); };
  return std::none_of(waiting.stand, end, serves) || std::any_of(waiting.stand, end, leaves);
}

uint32_t Queues::waiting() const noexcept {
  return table_->waiting.load(std::memory_order_relaxed);
}

}  // namespace dualmap
