#include "core.h"

#include <algorithm>
#include <cmath>

#include "estimate.h"

namespace dualmap {

namespace {

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

// A decision that was held up may read rings whose every instance has left since, though others
// serve: then it is made again, on the new ones.
template <typename Decide>
PlaceStatus onCurrentRings(const Rings& rings, Decide&& decide) noexcept {
  while (true) {
    const uint64_t version = rings.version();
    const PlaceStatus status = decide();
    if (status != PlaceStatus::noInstance || rings.version() == version) return status;
  }
}

// Rules that look nothing up on the rings are given the key of the level that they name.
uint64_t keyOf(const Decision& decision, const RequestView& request) noexcept {
  return decision.key != 0 ? decision.key : request.levels->keys[decision.level];
}

}  // namespace

Core::Core(const FleetState& state, uint32_t thread, const CoreOptions& options) noexcept
    : state_(state),
      options_(options),
      rings_(state_, thread),
      index_(state_),
      hotness_(state_, options.placing.hotRequestsMin),
      tokenRatios_(state_, options.placing.tokensPerByte),
      queues_(state_, index_, options.queue, options.suspicion, thread),
      policy_(makePolicy(options.policy, options.queue)) {}

PlaceStatus Core::place(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                        double nowMs, const Objective& objective, Placement* out) noexcept {
  const ScanFault fault = scanner_.scan(body, bytes, capacity, kind, &prompt_);
  out->faultParam = prompt_.faultParam;
  if (fault != ScanFault::none) return statusOf(fault);
  const uint64_t model = modelHash(prompt_.model);
  const RequestView request = viewOf(prompt_, kind, model, objective.sloTtftMs);
  out->stream = prompt_.stream;
  out->priority = prompt_.priority;
  out->promptBytes = prompt_.promptBytes;
  if (!std::isnan(objective.priority)) out->priority = static_cast<int32_t>(objective.priority);
  return decide(request, model, nowMs, out);
}

RequestView Core::viewOf(const Prompt& prompt, PromptKind kind, uint64_t model,
                         double sloTtftMs) const noexcept {
  const double ratio = tokenRatios_.tokensPerByte(model);
  const auto promptTokens =
      std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(prompt.promptBytes) * ratio));
  return {prompt.blockHashes.data(),
          static_cast<uint32_t>(prompt.blockHashes.size()),
          &prompt.levels,
          promptTokens,
          kind != PromptKind::embedding,
          ratio,
          sloOf(sloTtftMs, promptTokens)};
}

PlaceStatus Core::explain(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                          double nowMs, Placement* out, uint64_t* key) const noexcept {
  PromptScanner scanner;
  Prompt prompt;
  const ScanFault fault = scanner.scan(body, bytes, capacity, kind, &prompt);
  out->faultParam = prompt.faultParam;
  if (fault != ScanFault::none) return statusOf(fault);
  const uint64_t model = modelHash(prompt.model);
  const RequestView request = viewOf(prompt, kind, model, 0);
  out->stream = prompt.stream;
  out->promptBytes = prompt.promptBytes;
  out->promptTokens = request.promptTokens;
  out->blocks = request.blocks;
  out->decision = Decision{};
  const Rings::Reading rings(rings_);
  const uint32_t group = rings.groupOf(model);
  if (group == kNone) return unserved(rings);
  Hotness hotness(state_, options_.placing.hotRequestsMin);
  const FleetView fleet(state_, index_, hotness, rings, rings.group(group), options_.placing, nowMs,
                        Counting::no);
  if (!policy_->choose(fleet, request, &out->decision)) return PlaceStatus::noInstance;
  *key = keyOf(out->decision, request);
  return PlaceStatus::placed;
}

PlaceStatus Core::placeChain(const uint64_t* chain, uint32_t blocks, uint64_t promptTokens,
                             uint64_t model, double nowMs, Placement* out) noexcept {
  levelKeysOfChain(chain, blocks, &prompt_.levels);
  promptTokens = std::max<uint64_t>(1, promptTokens);
  const RequestView request{chain,
                            blocks,
                            &prompt_.levels,
                            promptTokens,
                            true,
                            options_.placing.tokensPerByte,
                            sloOf(0, promptTokens)};
  out->stream = true;
  out->promptBytes = uint64_t{blocks} * kBlockBytes;
  return decide(request, model, nowMs, out);
}

PlaceStatus Core::placeBare(std::string_view model, double nowMs, Placement* out) noexcept {
  const uint64_t hash = modelHash(model);
  return onCurrentRings(rings_, [&] { return decideBare(hash, nowMs, out); });
}

PlaceStatus Core::decideBare(uint64_t hash, double nowMs, Placement* out) noexcept {
  const Rings::Reading rings(rings_);
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
  ticket.promptBytes = 0;
  // It computes no prompt: there is nothing to wait for.
  reserve(ticket, out->decision.chosen, nowMs);
  return PlaceStatus::placed;
}

PlaceStatus Core::decide(const RequestView& request, uint64_t model, double nowMs,
                         Placement* out) noexcept {
  if (request.usesPrefixCache) index_.expect(request.chain, request.blocks);
  return onCurrentRings(rings_, [&] { return decideOnce(request, model, nowMs, out); });
}

PlaceStatus Core::decideOnce(const RequestView& request, uint64_t model, double nowMs,
                             Placement* out) noexcept {
  const Rings::Reading rings(rings_);
  const uint32_t group = rings.groupOf(model);
  if (group == kNone) return unserved(rings);
  const FleetView fleet(state_, index_, hotness_, rings, rings.group(group), options_.placing,
                        nowMs);
  out->decision = Decision{};
  if (!policy_->choose(fleet, request, &out->decision)) return PlaceStatus::noInstance;

  Ticket& ticket = take(&out->ticket);
  ticket.model = model;
  ticket.key = keyOf(out->decision, request);
  ticket.other = out->decision.other.slot;
  ticket.stream = out->stream;
  ticket.usesPrefixCache = request.usesPrefixCache;
  ticket.promptTokens = out->promptTokens = request.promptTokens;
  ticket.promptBytes = out->promptBytes;
  ticket.tokensPerByte = request.tokensPerByte;
  ticket.sloTtftMs = out->sloTtftMs = request.sloTtftMs;
  ticket.priority = out->priority;
  ticket.arrivalMs = nowMs;
  ticket.first = out->decision.first;
  ticket.second = out->decision.second;
  ticket.level = out->decision.level;
  ticket.reason = out->decision.reason;
  out->blocks = request.blocks;
  ticket.chain.assign(request.chain, request.chain + request.blocks);
  if (options_.queue.isOn) return seat(out->ticket, ticket, nowMs, out);
  reserve(ticket, out->decision.chosen, nowMs);
  return PlaceStatus::placed;
}

// As it was placed; its keys are not needed any more.
RequestView Core::viewOf(const Ticket& ticket) noexcept {
  static const LevelKeys unused{};
  return {ticket.chain.data(),
          static_cast<uint32_t>(ticket.chain.size()),
          &unused,
          std::max<uint64_t>(1, ticket.promptTokens),
          ticket.usesPrefixCache,
          ticket.tokensPerByte,
          ticket.sloTtftMs};
}

Reserved Core::reservedOf(const Ticket& ticket) noexcept {
  return {ticket.chain.data(), static_cast<uint32_t>(ticket.chain.size()), ticket.promptTokens,
          ticket.tokensPerByte, ticket.usesPrefixCache};
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
  // Nothing holds the other candidate: its slot may be that of another instance by now, one that
  // does not serve this model.
  const uint32_t* members = rings.members(fleet.group);
  const uint32_t* end = members + fleet.group.members;
  const bool isMember = std::find(members, end, next) != end;
  if (!isMember || !isNew(next) || fleet.isSuspect(next)) {
    decision.reason = Reason::retryNext;
    const uint32_t start = rings.start(fleet.group, 0, ticket.key);
    next = rings.walk(fleet.group, 0, start,
                      [&](uint32_t slot) { return isNew(slot) && !fleet.isSuspect(slot); });
    if (next == kNone) next = rings.walk(fleet.group, 0, start, isNew);
    if (next == kNone) return false;
  }
  const RequestView request = viewOf(ticket);
  const uint32_t blocks = ticket.usesPrefixCache ? request.blocks : 0;
  const auto hits = index_.hits(request.chain, blocks, next, kNone);
  decision.chosen = fleet.measure(request, next, hits.first, hits.isFirstFresh);
  decision.first = next;
  out->ticket = id;
  out->promptTokens = ticket.promptTokens;
  out->decision = decision;
  reserve(ticket, decision.chosen, nowMs);
  return true;
}

void Core::reserve(Ticket& ticket, const Candidate& candidate, double nowMs) noexcept {
  InstanceSlot& slot = state_.slot(candidate.slot);
  began(ticket, candidate, slot.prefilling.add(candidate.uncachedTokens).tokens, nowMs);
  ticket.isTrial =
      finishReserving(state_, index_, options_.suspicion, reservedOf(ticket), candidate, nowMs);
}

void Core::release(Ticket& ticket, double nowMs) noexcept {
  const uint32_t index = ticket.slot;
  InstanceSlot& slot = state_.slot(index);
  if (ticket.phase == Phase::prefilling) slot.prefilling.subtract(ticket.uncachedTokens);
  if (ticket.phase == Phase::decoding) slot.decoding.subtract(ticket.promptTokens);
  const uint64_t holds = slot.holds.fetch_sub(1, std::memory_order_relaxed);
  DUALMAP_ASSERT(holds >= 1, "an instance was given back more often than taken");
  due_.erase(ticket.index);
  ticket.phase = Phase::idle;
  ticket.slot = kNone;
  // A decode that ends gives memory back.
  queues_.offerRoom(index, nowMs);
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

void Core::firstToken(uint64_t id, double nowMs, double ttftMs) noexcept {
  Ticket& ticket = ticketOf(id);
  clearSuspicion(ticket.slot, nowMs);
  // Of an answer without a stream only its whole time is known. If that is shorter than the
  // estimate, the instance is faster than thought; if nothing told us, it would be kept idle.
  const bool isEarly = !ticket.stream && ticket.phase == Phase::prefilling;
  if (ticket.stream || isEarly) sample(ticket, isEarly ? nowMs - ticket.sentMs : ttftMs);
  if (ticket.phase == Phase::prefilling) prefilled(ticket, nowMs);
}

void Core::prefilled(Ticket& ticket, double nowMs) noexcept {
  InstanceSlot& slot = state_.slot(ticket.slot);
  slot.prefilling.subtract(ticket.uncachedTokens);
  slot.decoding.add(ticket.promptTokens);
  due_.erase(ticket.index);
  ticket.phase = Phase::decoding;
  queues_.offerRoom(ticket.slot, nowMs);
}

// A retried request has a TTFT that is not this instance's alone; an engine that was restarted
// since has lost what was ahead; embeddings have no token.
void Core::sample(const Ticket& ticket, double ttftMs) noexcept {
  if (ttftMs <= 0 || !ticket.usesPrefixCache) return;
  if (ticket.tried.size() != 1) return;
  const InstanceSlot& slot = state_.slot(ticket.slot);
  if (slot.generation.load(std::memory_order_relaxed) != ticket.generation) return;
  samples_.add({ticket.slot, ticket.generation, ticket.aheadTokens, ticket.uncachedTokens,
                ticket.promptTokens, ticket.running, ttftMs, ticket.estimateMs});
}

double Core::sloOf(double requestedMs, uint64_t promptTokens) const noexcept {
  if (requestedMs > 0) return requestedMs;
  const PolicyOptions& placing = options_.placing;
  return placing.sloTtftMs + placing.sloTtftMsPerToken * static_cast<double>(promptTokens);
}

double Core::tokensPerByte(std::string_view model) const noexcept {
  return tokenRatios_.tokensPerByte(modelHash(model));
}

void Core::answered(uint64_t id, double nowMs) noexcept {
  clearSuspicion(ticketOf(id).slot, nowMs);
}

void Core::end(uint64_t id, double nowMs, uint64_t promptTokens) noexcept {
  Ticket& ticket = ticketOf(id);
  if (promptTokens > 0) tokenRatios_.learn(ticket.model, ticket.promptBytes, promptTokens);
  stopWaiting(id, nowMs);
  if (ticket.phase != Phase::idle) release(ticket, nowMs);
  drop(ticket);
}

void Core::drop(Ticket& ticket) noexcept {
  ticket.phase = Phase::free;
  ticket.tried.clear();
  ticket.chain.clear();
  ticket.sequence = (ticket.sequence + 1) & kSequenceMask;
  freeTickets_.push_back(ticket.index);
  --inUse_;
}

Core::Ticket& Core::take(uint64_t* id) noexcept {
  if (freeTickets_.empty()) {
    DUALMAP_ASSERT(tickets_.size() < kIndexMask, "too many requests in flight");
    freeTickets_.push_back(static_cast<uint32_t>(tickets_.size()));
    tickets_.emplace_back().index = freeTickets_.back();
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
