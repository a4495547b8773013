#include "core.h"

#include <algorithm>

namespace dualmap {

namespace {

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

}  // namespace

Core::Core(const FleetState& state, uint32_t thread, const CoreOptions& options) noexcept
    : state_(state),
      options_(options),
      rings_(state_, thread),
      index_(state_),
      hotness_(state_),
      policy_(makePolicy(options.policy)) {}

PlaceStatus Core::place(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                        double nowMs, Placement* out) noexcept {
  const ScanFault fault = scanner_.scan(body, bytes, capacity, kind, &prompt_);
  out->faultParam = prompt_.faultParam;
  if (fault != ScanFault::none) return statusOf(fault);
  const double tokens = static_cast<double>(prompt_.promptBytes) * options_.placing.tokensPerByte;
  const RequestView request{prompt_.blockHashes.data(),
                            static_cast<uint32_t>(prompt_.blockHashes.size()), &prompt_.levels,
                            std::max<uint64_t>(1, static_cast<uint64_t>(tokens)),
                            kind != PromptKind::embedding};
  out->stream = prompt_.stream;
  out->promptBytes = prompt_.promptBytes;
  return decide(request, modelHash(prompt_.model), nowMs, out);
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
  ticket.key = request.levels->keys[out->decision.level];
  ticket.other = out->decision.other.slot;
  ticket.stream = out->stream;
  ticket.usesPrefixCache = request.usesPrefixCache;
  ticket.promptTokens = out->promptTokens = request.promptTokens;
  out->blocks = request.blocks;
  ticket.chain.assign(request.chain, request.chain + request.blocks);
  reserve(ticket, out->decision.chosen, nowMs);
  return PlaceStatus::placed;
}

bool Core::retry(uint64_t id, double nowMs, Placement* out) noexcept {
  Ticket& ticket = ticketOf(id);
  if (ticket.phase != Phase::idle) release(ticket);
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
  reserve(ticket, decision.chosen, nowMs);
  return true;
}

void Core::reserve(Ticket& ticket, const Candidate& candidate, double nowMs) noexcept {
  InstanceSlot& slot = state_.slot(candidate.slot);
  ticket.phase = Phase::prefilling;
  ticket.slot = candidate.slot;
  ticket.tried.push_back(candidate.slot);
  ticket.uncachedTokens = candidate.uncachedTokens;
  ticket.prefillDueMs = nowMs + candidate.ttftEstimateMs;
  slot.holds.fetch_add(1, std::memory_order_relaxed);
  slot.prefilling.add(candidate.uncachedTokens);
  slot.requestsTotal.fetch_add(1, std::memory_order_relaxed);
  slot.promptTokensTotal.fetch_add(ticket.promptTokens, std::memory_order_relaxed);
  slot.cachedTokensTotal.fetch_add(candidate.cachedTokens, std::memory_order_relaxed);
  if (ticket.usesPrefixCache) {
    const uint32_t from = candidate.insertFrom;
    index_.insert(ticket.chain.data() + from, static_cast<uint32_t>(ticket.chain.size()) - from,
                  candidate.slot, nowMs);
  }
  // A suspect whose time is up is tried with one request; the others wait for what becomes of it.
  const uint32_t failures = slot.failures.load(std::memory_order_relaxed);
  ticket.isTrial = failures > 0 && nowMs >= slot.suspectUntilMs.load(std::memory_order_relaxed);
  if (ticket.isTrial) {
    slot.suspectUntilMs.store(nowMs + backoffMs(failures), std::memory_order_relaxed);
  }
}

void Core::release(Ticket& ticket) noexcept {
  InstanceSlot& slot = state_.slot(ticket.slot);
  if (ticket.phase == Phase::prefilling) slot.prefilling.subtract(ticket.uncachedTokens);
  if (ticket.phase == Phase::decoding) slot.decoding.subtract(ticket.promptTokens);
  const uint64_t holds = slot.holds.fetch_sub(1, std::memory_order_relaxed);
  DUALMAP_ASSERT(holds >= 1, "an instance was given back more often than taken");
  ticket.phase = Phase::idle;
  ticket.slot = kNone;
}

double Core::backoffMs(uint32_t failures) const noexcept {
  const uint32_t doublings = std::min(failures, 20u) - 1;
  return std::min(options_.suspectBackoffMaxMs,
                  options_.suspectBackoffMs * static_cast<double>(uint64_t{1} << doublings));
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
  slot.suspectUntilMs.store(nowMs + backoffMs(failures), std::memory_order_relaxed);
}

void Core::clearSuspicion(uint32_t index) noexcept {
  DUALMAP_ASSERT(index != kNone, "an answer without an instance");
  InstanceSlot& slot = state_.slot(index);
  if (slot.failures.load(std::memory_order_relaxed) == 0) return;
  slot.failures.store(0, std::memory_order_relaxed);
  slot.suspectUntilMs.store(0, std::memory_order_relaxed);
}

void Core::firstToken(uint64_t id) noexcept {
  Ticket& ticket = ticketOf(id);
  clearSuspicion(ticket.slot);
  if (ticket.phase != Phase::prefilling) return;
  InstanceSlot& slot = state_.slot(ticket.slot);
  slot.prefilling.subtract(ticket.uncachedTokens);
  slot.decoding.add(ticket.promptTokens);
  ticket.phase = Phase::decoding;
}

void Core::answered(uint64_t id) noexcept { clearSuspicion(ticketOf(id).slot); }

void Core::end(uint64_t id) noexcept {
  Ticket& ticket = ticketOf(id);
  if (ticket.phase != Phase::idle) release(ticket);
  ticket.phase = Phase::free;
  ticket.tried.clear();
  ticket.chain.clear();
  ticket.sequence = (ticket.sequence + 1) & kSequenceMask;
  freeTickets_.push_back(static_cast<uint32_t>(id & kIndexMask));
  --inUse_;
}

void Core::endDuePrefills(double nowMs) noexcept {
  for (Ticket& ticket : tickets_) {
    if (ticket.phase != Phase::prefilling || ticket.stream || nowMs < ticket.prefillDueMs) continue;
    InstanceSlot& slot = state_.slot(ticket.slot);
    slot.prefilling.subtract(ticket.uncachedTokens);
    slot.decoding.add(ticket.promptTokens);
    ticket.phase = Phase::decoding;
  }
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
