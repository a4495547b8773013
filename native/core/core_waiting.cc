// The part of a core that deals with requests that wait: into the queues, out of them, and what
// happens by the time alone.
#include <algorithm>
#include <cmath>

#include "core.h"
#include "estimate.h"

namespace dualmap {

namespace {

// A prefill that takes longer than both is not waited for any more.
constexpr double kStallMsMin = 5'000;
constexpr double kStallTimes = 8;
constexpr double kStallTickMs = 100;

}  // namespace

void Core::began(Ticket& ticket, const Candidate& candidate, uint64_t aheadTokens,
                 double nowMs) noexcept {
  ticket.phase = Phase::prefilling;
  ticket.slot = candidate.slot;
  ticket.tried.push_back(candidate.slot);
  ticket.uncachedTokens = candidate.uncachedTokens;
  InstanceSlot& slot = state_.slot(candidate.slot);
  // Not before: who leaves between its claim and this was never sent.
  slot.requestsTotal.fetch_add(1, std::memory_order_relaxed);
  slot.promptTokensTotal.fetch_add(ticket.promptTokens, std::memory_order_relaxed);
  slot.cachedTokensTotal.fetch_add(candidate.cachedTokens, std::memory_order_relaxed);
  // Known now, for the sample that its first token makes.
  ticket.sentMs = nowMs;
  ticket.aheadTokens = aheadTokens;
  ticket.running = slot.decoding.read().requests;
  ticket.generation = slot.generation.load(std::memory_order_relaxed);
  ticket.estimateMs = estimateTtftMs(slot, aheadTokens, candidate.uncachedTokens,
                                     std::max<uint64_t>(1, ticket.promptTokens));
  // Without a stream there is no first token to see. One that does not come must not keep others
  // waiting for ever: engines compute several prompts at a time, and some hang for reasons of their
  // own.
  const double stalledMs = std::max(kStallMsMin, kStallTimes * candidate.ttftEstimateMs);
  // Rounded up, so that a thread looks for stalls a few times a second at most.
  const double stallDueMs = std::ceil((nowMs + stalledMs) / kStallTickMs) * kStallTickMs;
  due_.insert(ticket.index, ticket.stream ? stallDueMs : nowMs + candidate.ttftEstimateMs);
}

// To its instance if that has room, else into the queues.
PlaceStatus Core::seat(uint64_t id, Ticket& ticket, double nowMs, Placement* out) noexcept {
  const Decision& decision = out->decision;
  uint64_t aheadTokens = 0;
  if (queues_.tryPass(decision.chosen, nowMs, &aheadTokens)) {
    began(ticket, decision.chosen, aheadTokens, nowMs);
    ticket.isTrial = finishReserving(state_, index_, options_.suspicion, reservedOf(ticket),
                                     decision.chosen, nowMs);
    return PlaceStatus::placed;
  }
  ticket.phase = Phase::waiting;
  ticket.place = queues_.enqueue(waitRequestOf(id, ticket, decision), nowMs);
  if (ticket.place == 0) {
    drop(ticket);
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
  decision.reason = claim.isMoved  ? Reason::migrated
                    : claim.isCold ? Reason::coldClaim
                                   : ticket.reason;
  // What is left is tried first if this one fails.
  ticket.other = claim.candidate.slot == ticket.first ? ticket.second : ticket.first;
  decision.other.slot = ticket.other;
  out->promptTokens = ticket.promptTokens;
  out->promptBytes = uint64_t{ticket.chain.size()} * kBlockBytes;
  out->blocks = static_cast<uint32_t>(ticket.chain.size());
  out->stream = ticket.stream;
  began(ticket, claim.candidate, claim.candidate.pendingTokens, ticket.arrivalMs + claim.queuedMs);
  ticket.isTrial = claim.isTrial;
  return Waited::placed;
}

void Core::stopWaiting(uint64_t id, double nowMs) noexcept {
  Ticket& ticket = ticketOf(id);
  if (ticket.phase != Phase::waiting) return;
  queues_.cancel(ticket.place, nowMs);
  ticket.place = 0;
  ticket.phase = Phase::idle;
}

void Core::fleetChanged(double nowMs) noexcept {
  for (uint64_t index = 0; index < tickets_.size(); ++index) {
    Ticket& ticket = tickets_[index];
    if (ticket.phase != Phase::waiting || !queues_.wantsOthers(ticket.place)) continue;
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
  fleet.measurePair(viewOf(ticket), &decision);
  ticket.first = decision.first;
  ticket.second = decision.second;
  queues_.requeue(ticket.place, waitRequestOf(id, ticket, decision), nowMs);
}

WaitRequest Core::waitRequestOf(uint64_t id, const Ticket& ticket,
                                const Decision& decision) const noexcept {
  WaitRequest request;
  request.ticket = id;
  request.arrivalMs = ticket.arrivalMs;
  request.sloTtftMs = ticket.sloTtftMs;
  request.priority = ticket.priority;
  request.reserved = reservedOf(ticket);
  request.candidate = decision.chosen;
  request.other = decision.other;
  request.third = decision.third;
  return request;
}

double Core::nextLookMs() const noexcept {
  const double dueMs = due_.isEmpty() ? Queues::kNever : due_.firstMs();
  return std::min(dueMs, queues_.nextLookMs());
}

void Core::look(double nowMs) noexcept {
  while (!due_.isEmpty() && due_.firstMs() <= nowMs) {
    prefilled(tickets_[due_.firstTicket()], nowMs);
  }
  queues_.look(nowMs);
}

}  // namespace dualmap
