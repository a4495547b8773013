#include "core.h"

#include <algorithm>
#include <cmath>

namespace dualmap {

namespace {

// A prefill that takes longer than both is not waited for any more.
constexpr double kStallMsMin = 5'000;
constexpr double kStallTimes = 8;
constexpr double kStallTickMs = 100;

constexpr uint64_t kIndexBits = 24;
constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;
// A ticket id is a number in JavaScript: index and sequence together stay below 2^53.
constexpr uint32_t kSequenceMask = (uint32_t{1} << 28) - 1;

PlaceStatus statusOf(ScanFault fault) noexcept {
  switch (fault) {
    case ScanFault::none:
      return PlaceStatus::placed;
    case ScanFault::invalidJson:
      return PlaceStatus::invalidJson;
    case ScanFault::invalidType:
      return PlaceStatus::invalidType;
    case ScanFault::emptyPrompt:
      return PlaceStatus::emptyPrompt;
    case ScanFault::tooDeep:
      return PlaceStatus::tooDeep;
  }
  return PlaceStatus::invalidJson;
}

// Why nobody serves a model: there is nobody, or nobody lists it.
PlaceStatus unserved(const Rings::Reading& rings) noexcept {
  return rings.groupOf(0) == kNone ? PlaceStatus::noInstance : PlaceStatus::modelNotFound;
}

uint64_t modelHash(std::string_view model) noexcept { return model.empty() ? 0 : xxh3(model); }

}  // namespace

Core::Core(const FleetState& state, uint32_t thread, const CoreOptions& options) noexcept
    : state_(state),
      options_(options),
      rings_(state_, thread),
      index_(state_),
      hotness_(state_),
      queues_(state_, index_, options.queue, options.placing, options.suspicion, thread),
      policy_(makePolicy(options.policy, options.queue.isOn && options.queue.bindsLate)) {}

PlaceStatus Core::place(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                        double nowMs, Placement* out) noexcept {
  const ScanFault fault = scanner_.scan(body, bytes, capacity, kind, &prompt_);
  out->faultParam = prompt_.faultParam;
  if (fault != ScanFault::none) return statusOf(fault);
  out->stream = prompt_.stream;
  out->promptBytes = prompt_.promptBytes;
  return decide(viewOf(prompt_, kind), modelHash(prompt_.model), nowMs, out);
}

RequestView Core::viewOf(const Prompt& prompt, PromptKind kind) const noexcept {
  const double tokens = static_cast<double>(prompt.promptBytes) * options_.placing.tokensPerByte;
  return {prompt.blockHashes.data(), static_cast<uint32_t>(prompt.blockHashes.size()),
          &prompt.levels, std::max<uint64_t>(1, static_cast<uint64_t>(tokens)),
          kind != PromptKind::embedding};
}

PlaceStatus Core::explain(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                          double nowMs, Placement* out, uint64_t* key) const noexcept {
  PromptScanner scanner;
  Prompt prompt;
  const ScanFault fault = scanner.scan(body, bytes, capacity, kind, &prompt);
  out->faultParam = prompt.faultParam;
  if (fault != ScanFault::none) return statusOf(fault);
  const RequestView request = viewOf(prompt, kind);
  out->stream = prompt.stream;
  out->promptBytes = prompt.promptBytes;
  out->promptTokens = request.promptTokens;
  out->blocks = request.blocks;
  out->decision = Decision{};
  const Rings::Reading rings(rings_);
  const uint32_t group = rings.groupOf(modelHash(prompt.model));
  if (group == kNone) return unserved(rings);
  Hotness hotness(state_);
  const FleetView fleet(state_, index_, hotness, rings, rings.group(group), options_.placing, nowMs,
                        Counting::no);
  if (!policy_->choose(fleet, request, &out->decision)) return PlaceStatus::noInstance;
  *key = request.levels->keys[out->decision.level];
  return PlaceStatus::placed;
}

PlaceStatus Core::placeChain(const uint64_t* chain, uint32_t blocks, uint64_t promptTokens,
                             uint64_t model, double nowMs, Placement* out) noexcept {
  levelKeysOfChain(chain, blocks, &prompt_.levels);
  const RequestView request{chain, blocks, &prompt_.levels, std::max<uint64_t>(1, promptTokens),
                            true};
  out->stream = true;
  out->promptBytes = uint64_t{blocks} * kBlockBytes;
  return decide(request, model, nowMs, out);
}

PlaceStatus Core::placeBare(std::string_view model, double nowMs, Placement* out) noexcept {
  const Rings::Reading rings(rings_);
  const uint64_t hash = modelHash(model);
  const uint32_t group = rings.groupOf(hash);
  if (group == kNone) return unserved(rings);
  const FleetView fleet(state_, index_, hotness_, rings, rings.group(group), options_.placing,
                        nowMs);
  out->decision = Decision{};
  if (!chooseLeastRequests(fleet, &out->decision)) return PlaceStatus::noInstance;
  Ticket& ticket = take(&out->ticket);
  ticket.model = hash;
  ticket.key = 0;
  ticket.other = kNone;
  ticket.stream = ticket.usesPrefixCache = false;
  ticket.promptTokens = out->promptTokens = 0;
  // It computes no prompt: there is nothing to wait for.
  reserve(out->ticket, ticket, out->decision.chosen, nowMs);
  return PlaceStatus::placed;
}

PlaceStatus Core::decide(const RequestView& request, uint64_t model, double nowMs,
                         Placement* out) noexcept {
  if (request.usesPrefixCache) index_.expect(request.chain, request.blocks);
  const Rings::Reading rings(rings_);
  const uint32_t group = rings.groupOf(model);
  if (group == kNone) return unserved(rings);
  const FleetView fleet(state_, index_, hotness_, rings, rings.group(group), options_.placing,
                        nowMs);
  out->decision = Decision{};
  if (!policy_->choose(fleet, request, &out->decision)) return PlaceStatus::noInstance;

  Ticket& ticket = take(&out->ticket);
  ticket.model = model;
  ticket.key = request.levels->keys[out->decision.level];
  ticket.other = out->decision.other.slot;
  ticket.stream = out->stream;
  ticket.usesPrefixCache = request.usesPrefixCache;
  ticket.promptTokens = out->promptTokens = request.promptTokens;
  ticket.arrivalMs = nowMs;
  ticket.first = out->decision.first;
  ticket.second = out->decision.second;
  ticket.level = out->decision.level;
  ticket.reason = out->decision.reason;
  out->blocks = request.blocks;
  ticket.chain.assign(request.chain, request.chain + request.blocks);
  if (options_.queue.isOn) return seat(out->ticket, ticket, nowMs, out);
  reserve(out->ticket, ticket, out->decision.chosen, nowMs);
  return PlaceStatus::placed;
}

// To its instance if that has room, else into the queues.
PlaceStatus Core::seat(uint64_t id, Ticket& ticket, double nowMs, Placement* out) noexcept {
  const Decision& decision = out->decision;
  if (queues_.tryPass(decision.chosen)) {
    began(id, ticket, decision.chosen, nowMs);
    ticket.isTrial = finishReserving(state_, index_, options_.suspicion, reservedOf(ticket),
                                     decision.chosen, nowMs);
    return PlaceStatus::placed;
  }
  ticket.phase = Phase::waiting;
  ticket.place = queues_.enqueue(waitRequestOf(id, ticket, decision), nowMs);
  if (ticket.place == 0) {
    drop(id, ticket);
    return PlaceStatus::queueFull;
  }
  out->isWaiting = true;
  return PlaceStatus::placed;
}

Waited Core::nextClaim(Placement* out) noexcept {
  Claim claim;
  if (!queues_.next(&claim)) return Waited::none;
  Ticket& ticket = ticketOf(claim.ticket);
  ticket.place = 0;
  ticket.phase = Phase::idle;
  out->ticket = claim.ticket;
  out->queuedMs = claim.queuedMs;
  if (claim.verdict == Verdict::shed) return Waited::shed;
  Decision& decision = out->decision;
  decision = Decision{};
  decision.chosen = claim.candidate;
  decision.first = ticket.first;
  decision.second = ticket.second;
  decision.level = ticket.level;
  decision.reason = claim.isCold ? Reason::coldClaim : ticket.reason;
  // What is left is tried first if this one fails.
  ticket.other = claim.candidate.slot == ticket.first ? ticket.second : ticket.first;
  decision.other.slot = ticket.other;
  out->promptTokens = ticket.promptTokens;
  out->promptBytes = uint64_t{ticket.chain.size()} * kBlockBytes;
  out->blocks = static_cast<uint32_t>(ticket.chain.size());
  out->stream = ticket.stream;
  began(claim.ticket, ticket, claim.candidate, ticket.arrivalMs + claim.queuedMs);
  ticket.isTrial = claim.isTrial;
  return Waited::placed;
}

void Core::fleetChanged(double nowMs) noexcept {
  for (uint64_t index = 0; index < tickets_.size(); ++index) {
    Ticket& ticket = tickets_[index];
    if (ticket.phase != Phase::waiting || !queues_.isHopeless(ticket.place)) continue;
    rehome((uint64_t{ticket.sequence} << kIndexBits) | index, ticket, nowMs);
  }
  const uint32_t slots = state_.header().instanceCount.load(std::memory_order_relaxed);
  for (uint32_t slot = 0; slot < slots; ++slot) queues_.offerRoom(slot, nowMs);
}

// Into the queues of the next distinct instances clockwise that serve, if there are any: with the
// same moment of arrival.
void Core::rehome(uint64_t id, Ticket& ticket, double nowMs) noexcept {
  const Rings::Reading rings(rings_);
  const uint32_t group = rings.groupOf(ticket.model);
  if (group == kNone) return;
  const FleetView fleet(state_, index_, hotness_, rings, rings.group(group), options_.placing,
                        nowMs);
  Placement placement;
  Decision& decision = placement.decision;
  decision.first = fleet.walk(0, ticket.key, kNone);
  if (decision.first == kNone) return;
  decision.second = fleet.group.members > 1 ? fleet.walk(1, ticket.key, decision.first) : kNone;
  LevelKeys unused;
  const RequestView request{ticket.chain.data(), static_cast<uint32_t>(ticket.chain.size()),
                            &unused, ticket.promptTokens, ticket.usesPrefixCache};
  fleet.measurePair(request, &decision);
  ticket.first = decision.first;
  ticket.second = decision.second;
  queues_.requeue(ticket.place, waitRequestOf(id, ticket, decision), nowMs);
}

WaitRequest Core::waitRequestOf(uint64_t id, const Ticket& ticket,
                                const Decision& decision) const noexcept {
  WaitRequest request;
  request.ticket = id;
  request.arrivalMs = ticket.arrivalMs;
  request.sloTtftMs = options_.placing.sloTtftMs;
  request.reserved = reservedOf(ticket);
  request.candidate = decision.chosen;
  request.other = decision.other;
  return request;
}

double Core::nextLookMs() const noexcept {
  const double dueMs = due_.empty() ? Queues::kNever : due_.top().atMs;
  return std::min(dueMs, queues_.nextLookMs());
}

void Core::look(double nowMs) noexcept {
  while (!due_.empty() && due_.top().atMs <= nowMs) {
    const auto [atMs, id] = due_.top();
    due_.pop();
    Ticket& ticket = tickets_[id & kIndexMask];
    // It may have ended since, or been sent on to another instance.
    const bool isSame = ticket.sequence == id >> kIndexBits && ticket.prefillDueMs == atMs;
    if (isSame && ticket.phase == Phase::prefilling) prefilled(ticket, nowMs);
  }
  queues_.look(nowMs);
}

Reserved Core::reservedOf(const Ticket& ticket) noexcept {
  return {ticket.chain.data(), static_cast<uint32_t>(ticket.chain.size()), ticket.promptTokens,
          ticket.usesPrefixCache};
}

bool Core::retry(uint64_t id, double nowMs, Placement* out) noexcept {
  Ticket& ticket = ticketOf(id);
  DUALMAP_ASSERT(ticket.phase != Phase::waiting, "a retry of what was not sent");
  if (ticket.phase != Phase::idle) release(ticket, nowMs);
  const Rings::Reading rings(rings_);
  const uint32_t group = rings.groupOf(ticket.model);
  if (group == kNone) return false;
  const FleetView fleet(state_, index_, hotness_, rings, rings.group(group), options_.placing,
                        nowMs);
  const auto isNew = [&](uint32_t slot) {
    return fleet.isServing(slot) &&
           std::find(ticket.tried.begin(), ticket.tried.end(), slot) == ticket.tried.end();
  };
  Decision decision;
  decision.reason = Reason::retryOther;
  uint32_t next = ticket.other;
  if (next == kNone || !isNew(next) || fleet.isSuspect(next)) {
    decision.reason = Reason::retryNext;
    const uint32_t start = rings.start(fleet.group, 0, ticket.key);
    next = rings.walk(fleet.group, 0, start,
                      [&](uint32_t slot) { return isNew(slot) && !fleet.isSuspect(slot); });
    if (next == kNone) next = rings.walk(fleet.group, 0, start, isNew);
    if (next == kNone) return false;
  }
  LevelKeys unused;
  const RequestView request{ticket.chain.data(), static_cast<uint32_t>(ticket.chain.size()),
                            &unused, std::max<uint64_t>(1, ticket.promptTokens),
                            ticket.usesPrefixCache};
  const uint32_t blocks = ticket.usesPrefixCache ? request.blocks : 0;
  const auto hits = index_.hits(request.chain, blocks, next, kNone);
  decision.chosen = fleet.measure(request, next, hits.first, hits.isFirstFresh);
  decision.first = next;
  out->ticket = id;
  out->promptTokens = ticket.promptTokens;
  out->decision = decision;
  reserve(id, ticket, decision.chosen, nowMs);
  return true;
}

void Core::reserve(uint64_t id, Ticket& ticket, const Candidate& candidate, double nowMs) noexcept {
  began(id, ticket, candidate, nowMs);
  state_.slot(candidate.slot).prefilling.add(candidate.uncachedTokens);
  ticket.isTrial =
      finishReserving(state_, index_, options_.suspicion, reservedOf(ticket), candidate, nowMs);
}

void Core::began(uint64_t id, Ticket& ticket, const Candidate& candidate, double nowMs) noexcept {
  ticket.phase = Phase::prefilling;
  ticket.slot = candidate.slot;
  ticket.tried.push_back(candidate.slot);
  ticket.uncachedTokens = candidate.uncachedTokens;
  // Without a stream there is no first token to see. One that does not come must not keep others
  // waiting for ever: engines compute several prompts at a time, and some hang for reasons of their
  // own.
  const double stalledMs = std::max(kStallMsMin, kStallTimes * candidate.ttftEstimateMs);
  // Rounded up, so that a thread looks for stalls a few times a second at most.
  const double stallDueMs = std::ceil((nowMs + stalledMs) / kStallTickMs) * kStallTickMs;
  ticket.prefillDueMs = ticket.stream ? stallDueMs : nowMs + candidate.ttftEstimateMs;
  due_.push({ticket.prefillDueMs, id});
}

void Core::release(Ticket& ticket, double nowMs) noexcept {
  const uint32_t index = ticket.slot;
  InstanceSlot& slot = state_.slot(index);
  const bool givesRoom = ticket.phase == Phase::prefilling;
  if (givesRoom) slot.prefilling.subtract(ticket.uncachedTokens);
  if (ticket.phase == Phase::decoding) slot.decoding.subtract(ticket.promptTokens);
  const uint64_t holds = slot.holds.fetch_sub(1, std::memory_order_relaxed);
  DUALMAP_ASSERT(holds >= 1, "an instance was given back more often than taken");
  ticket.phase = Phase::idle;
  ticket.slot = kNone;
  if (givesRoom) queues_.offerRoom(index, nowMs);
}

void Core::suspect(uint64_t id, double nowMs) noexcept {
  const Ticket& ticket = ticketOf(id);
  if (ticket.slot == kNone) return;
  InstanceSlot& slot = state_.slot(ticket.slot);
  slot.failuresTotal.fetch_add(1, std::memory_order_relaxed);
  // Requests that were sent together fail together: only the first of them counts, and
  // later the one that tries whether the instance is back.
  if (slot.failures.load(std::memory_order_relaxed) > 0 && !ticket.isTrial) return;
  const uint32_t failures = slot.failures.fetch_add(1, std::memory_order_relaxed) + 1;
  slot.suspectUntilMs.store(nowMs + backoffMs(options_.suspicion, failures),
                            std::memory_order_relaxed);
  queues_.turnedSuspect(ticket.slot, nowMs);
}

void Core::clearSuspicion(uint32_t index, double nowMs) noexcept {
  DUALMAP_ASSERT(index != kNone, "an answer without an instance");
  InstanceSlot& slot = state_.slot(index);
  if (slot.failures.load(std::memory_order_relaxed) == 0) return;
  slot.failures.store(0, std::memory_order_relaxed);
  slot.suspectUntilMs.store(0, std::memory_order_relaxed);
  queues_.offerRoom(index, nowMs);
}

void Core::firstToken(uint64_t id, double nowMs) noexcept {
  Ticket& ticket = ticketOf(id);
  clearSuspicion(ticket.slot, nowMs);
  if (ticket.phase == Phase::prefilling) prefilled(ticket, nowMs);
}

void Core::prefilled(Ticket& ticket, double nowMs) noexcept {
  InstanceSlot& slot = state_.slot(ticket.slot);
  slot.prefilling.subtract(ticket.uncachedTokens);
  slot.decoding.add(ticket.promptTokens);
  ticket.phase = Phase::decoding;
  queues_.offerRoom(ticket.slot, nowMs);
}

void Core::answered(uint64_t id, double nowMs) noexcept {
  clearSuspicion(ticketOf(id).slot, nowMs);
}

void Core::end(uint64_t id, double nowMs) noexcept {
  Ticket& ticket = ticketOf(id);
  if (ticket.phase == Phase::waiting) {
    queues_.cancel(ticket.place, nowMs);
  } else if (ticket.phase != Phase::idle) {
    release(ticket, nowMs);
  }
  drop(id, ticket);
}

void Core::drop(uint64_t id, Ticket& ticket) noexcept {
  ticket.phase = Phase::free;
  ticket.tried.clear();
  ticket.chain.clear();
  ticket.sequence = (ticket.sequence + 1) & kSequenceMask;
  freeTickets_.push_back(static_cast<uint32_t>(id & kIndexMask));
  --inUse_;
}

Core::Ticket& Core::take(uint64_t* id) noexcept {
  if (freeTickets_.empty()) {
    DUALMAP_ASSERT(tickets_.size() < kIndexMask, "too many requests in flight");
    freeTickets_.push_back(static_cast<uint32_t>(tickets_.size()));
    tickets_.emplace_back();
  }
  const uint32_t index = freeTickets_.back();
  freeTickets_.pop_back();
  ++inUse_;
  Ticket& ticket = tickets_[index];
  *id = (uint64_t{ticket.sequence} << kIndexBits) | index;
  return ticket;
}

Core::Ticket& Core::ticketOf(uint64_t id) noexcept {
  const uint64_t index = id & kIndexMask;
  DUALMAP_ASSERT(index < tickets_.size(), "unknown ticket");
  Ticket& ticket = tickets_[index];
  DUALMAP_ASSERT(ticket.phase != Phase::free && ticket.sequence == id >> kIndexBits,
                 "a ticket was used after its end");
  return ticket;
}

}  // namespace dualmap
