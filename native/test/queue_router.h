// A fleet whose requests wait in the router, and one core on it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/core.h"
#include "fleet.h"
#include "test.h"

namespace dualmap::test {

inline CoreOptions queueOptions(PolicyName policy, bool bindsLate) {
  CoreOptions options;
  options.policy = policy;
  options.placing.sloTtftMs = 1000;
  options.queue.isOn = true;
  options.queue.bindsLate = bindsLate;
  options.queue.coldClaimPrice = 0.5;
  options.queue.prefillWindowTokens = 1;  // one request at a time
  return options;
}

/// Bound on arrival, by the published rule.
inline CoreOptions early(QueueOrder order = QueueOrder::deadline) {
  CoreOptions options = queueOptions(PolicyName::dualmapPaper, false);
  options.queue.order = order;
  return options;
}

/// In the queues of both candidates.
inline CoreOptions late() { return queueOptions(PolicyName::dualmap, true); }

struct QueueRouter {
  explicit QueueRouter(uint32_t instances, const CoreOptions& options) {
    fleet.serve(instances);
    core = std::make_unique<Core>(fleet.state, 0, options);
  }

  /// A prompt of its own prefix, of so many tokens: 0.1 ms each.
  Placement place(uint64_t name, uint64_t tokens, double nowMs) {
    Placement placement;
    CHECK_EQUAL(tryPlace(name, tokens, nowMs, &placement), PlaceStatus::placed);
    return placement;
  }

  PlaceStatus tryPlace(uint64_t name, uint64_t tokens, double nowMs, Placement* out) {
    std::vector<uint64_t> chain(tokens / 128);
    for (size_t i = 0; i < chain.size(); ++i) chain[i] = name * 1000 + i + 1;
    for (uint64_t& hash : chain) hash = xxh3(&hash, sizeof hash);
    return core->placeChain(chain.data(), static_cast<uint32_t>(chain.size()), tokens, 0, nowMs,
                            out);
  }

  /// A chat, by its body.
  Placement placeChat(std::string body, const Objective& objective, double nowMs) {
    const size_t bytes = body.size();
    body.resize(bytes + 64);
    Placement placement;
    CHECK_EQUAL(core->place(body.data(), bytes, body.size(), PromptKind::chat, nowMs, objective,
                            &placement),
                PlaceStatus::placed);
    return placement;
  }

  /// The one request whose waiting has ended since; ticket 0 if there is none.
  Placement claimed() {
    Placement placement;
    if (core->nextClaim(&placement) == Waited::none) placement.ticket = kNobody;
    return placement;
  }

  InstanceSlot& slot(uint32_t index) const { return fleet.state.slot(index); }

  static constexpr uint64_t kNobody = UINT64_MAX;

  Fleet fleet;
  std::unique_ptr<Core> core;
};

}  // namespace dualmap::test
