// `explain` tells what `place` will decide, and leaves the shared memory as it was, byte for byte.

#include <cstring>
#include <utility>

#include "placing.h"
#include "router.h"

namespace dualmap::test {
namespace {

struct Explained {
  PlaceStatus status = PlaceStatus::noInstance;
  Placement placement;
  uint64_t key = 0;
};

Explained explain(const Router& router, const std::string& body, double nowMs = 0) {
  std::vector<char> padded(body.begin(), body.end());
  padded.resize(body.size() + kPaddingBytes);
  Explained out;
  out.status = std::as_const(*router.core)
                   .explain(padded.data(), body.size(), padded.size(), PromptKind::chat, nowMs,
                            &out.placement, &out.key);
  return out;
}

std::string bodyOf(uint32_t name) {
  const std::string text = "question " + std::to_string(name) + std::string(3000, 'x');
  return R"({"messages":[{"role":"user","content":")" + text + R"("}]})";
}

void checkSame(const Candidate& told, const Candidate& placed) {
  CHECK_EQUAL(told.slot, placed.slot);
  CHECK_EQUAL(told.cachedTokens, placed.cachedTokens);
  CHECK_EQUAL(told.pendingTokens, placed.pendingTokens);
  CHECK_EQUAL(told.ttftEstimateMs, placed.ttftEstimateMs);
}

TEST(explainedIsWhatIsPlaced) {
  for (const PolicyName policy : allPolicies()) {
    Router router(5, policy);
    std::vector<uint64_t> tickets;
    for (uint32_t i = 0; i < 200; ++i) {
      // Three of four requests are for the same prefix, which becomes hot.
      const std::string body = bodyOf(i % 4 == 0 ? i : 1);
      const Explained told = explain(router, body);
      Placement placed;
      CHECK_EQUAL(told.status, PlaceStatus::placed);
      CHECK_EQUAL(router.placeBody(body, PromptKind::chat, &placed), PlaceStatus::placed);
      CHECK_EQUAL(told.placement.decision.reason, placed.decision.reason);
      CHECK_EQUAL(told.placement.decision.level, placed.decision.level);
      checkSame(told.placement.decision.chosen, placed.decision.chosen);
      checkSame(told.placement.decision.other, placed.decision.other);
      CHECK_EQUAL(told.placement.promptTokens, placed.promptTokens);
      CHECK_EQUAL(told.placement.blocks, placed.blocks);
      tickets.push_back(placed.ticket);
      if (i % 3 == 0) {
        router.core->end(tickets.back(), 0);
        tickets.pop_back();
      }
    }
    for (const uint64_t ticket : tickets) router.core->end(ticket, 0);
    CHECK(router.fleet.isIdle());
  }
}

TEST(explainingLeavesNoTrace) {
  for (const PolicyName policy : allPolicies()) {
    Router router(5, policy);
    std::vector<uint64_t> tickets;
    Placement placed;
    for (uint32_t i = 0; i < 50; ++i) {
      CHECK_EQUAL(router.placeBody(bodyOf(i % 2), PromptKind::chat, &placed), PlaceStatus::placed);
      tickets.push_back(placed.ticket);
    }
    const char* memory = static_cast<const char*>(router.fleet.memory());
    const size_t bytes = FleetState::bytesFor(Fleet::defaults());
    const std::vector<char> before(memory, memory + bytes);
    for (uint32_t i = 0; i < 50; ++i) {
      CHECK_EQUAL(explain(router, bodyOf(i)).status, PlaceStatus::placed);
    }
    CHECK(std::memcmp(before.data(), memory, bytes) == 0);
    CHECK_EQUAL(router.core->ticketsInUse(), 50u);
    for (const uint64_t ticket : tickets) router.core->end(ticket, 0);
  }
}

TEST(whatCannotBePlacedIsExplainedSo) {
  Router router(2);
  CHECK_EQUAL(explain(router, "{").status, PlaceStatus::invalidJson);
  const Explained empty = explain(router, R"({"messages":[]})");
  CHECK_EQUAL(empty.status, PlaceStatus::emptyPrompt);
  CHECK_EQUAL(std::string(empty.placement.faultParam), "messages");
  CHECK_EQUAL(explain(Router(0), bodyOf(0)).status, PlaceStatus::noInstance);
  for (const uint32_t slot : {0u, 1u}) router.fleet.setState(slot, InstanceState::dead);
  CHECK_EQUAL(explain(router, bodyOf(0)).status, PlaceStatus::noInstance);
}

}  // namespace
}  // namespace dualmap::test
