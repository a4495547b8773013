// Random requests and events, on a core and on a plain list of tickets: after each, every counter
// of every instance is what the list says.

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

#include "router.h"

namespace dualmap::test {
namespace {

/// The plain model: what each ticket holds, and so what each instance must count.
class Model {
 public:
  struct Held {
    enum { idle, prefilling, decoding } phase = idle;
    bool stream = false;
    uint32_t slot = kNone;
    uint64_t uncached = 0;
    uint64_t prompt = 0;
    double dueMs = 0;
    std::set<uint32_t> tried;
  };

  void reserve(const Placement& placement, bool stream, double nowMs) {
    Held& held = tickets[placement.ticket];
    const Candidate& chosen = placement.decision.chosen;
    held.phase = Held::prefilling;
    held.stream = stream;
    held.slot = chosen.slot;
    held.uncached = chosen.uncachedTokens;
    held.prompt = placement.promptTokens;
    // A stream that does not begin is taken for stalled after 5 s, or 8 times what was expected.
    const double stalledMs = nowMs + std::max(5000.0, 8 * chosen.ttftEstimateMs);
    held.dueMs = stream ? std::ceil(stalledMs / 100) * 100 : nowMs + chosen.ttftEstimateMs;
    CHECK(held.tried.insert(chosen.slot).second);
  }

  void compare(const Fleet& fleet, const Core& core) const {
    CHECK_EQUAL(core.ticketsInUse(), tickets.size());
    for (uint32_t index = 0; index < fleet.state.header().instanceCount; ++index) {
      uint64_t holds = 0;
      uint64_t requests[3] = {};
      uint64_t tokens[3] = {};
      for (const auto& [id, held] : tickets) {
        if (held.phase == Held::idle || held.slot != index) continue;
        holds += 1;
        requests[held.phase] += 1;
        tokens[held.phase] += held.phase == Held::prefilling ? held.uncached : held.prompt;
      }
      const InstanceSlot& slot = fleet.state.slot(index);
      CHECK_EQUAL(slot.holds.load(), holds);
      CHECK_EQUAL(slot.prefilling.read().requests, requests[Held::prefilling]);
      CHECK_EQUAL(slot.prefilling.read().tokens, tokens[Held::prefilling]);
      CHECK_EQUAL(slot.decoding.read().requests, requests[Held::decoding]);
      CHECK_EQUAL(slot.decoding.read().tokens, tokens[Held::decoding]);
    }
  }

  std::map<uint64_t, Held> tickets;
};

/// One random request or event after the other, on core and model alike.
class Play {
 public:
  Play(Random& random, PolicyName policy) : router(5, policy), random_(random) {}

  void step() {
    nowMs_ += random_.fraction() * 20;
    if (random_.chance(0.05)) {
      router.fleet.setState(static_cast<uint32_t>(random_.below(5)),
                            random_.chance(0.8) ? InstanceState::serving : InstanceState::dead);
    }
    if (random_.chance(0.05)) {
      router.core->look(nowMs_);
      for (auto& [id, held] : model.tickets) {
        const bool isDue = held.dueMs <= nowMs_;
        if (isDue && held.phase == Model::Held::prefilling) held.phase = Model::Held::decoding;
      }
    } else if (model.tickets.empty() || random_.chance(0.35)) {
      place();
    } else {
      auto at = model.tickets.begin();
      std::advance(at, random_.below(model.tickets.size()));
      onTicket(at->first, at->second);
    }
    model.compare(router.fleet, *router.core);
  }

  void endAll() {
    for (const auto& [id, held] : model.tickets) router.core->end(id, 0);
    model.tickets.clear();
  }

  Router router;
  Model model;

 private:
  void place() {
    Placement placement;
    PlaceStatus status;
    bool stream = false;
    switch (random_.below(3)) {
      case 0: {
        std::vector<uint64_t> chain;
        for (uint64_t i = random_.below(20); i > 0; --i) chain.push_back(i * random_.below(3));
        stream = true;
        status = router.core->placeChain(chain.data(), static_cast<uint32_t>(chain.size()),
                                         random_.below(5000), 0, nowMs_, &placement);
        break;
      }
      case 1: {
        stream = random_.chance(0.5);
        const std::string text(random_.below(3000), 'x');
        const std::string body = R"({"stream":)" + std::string(stream ? "true" : "false") +
                                 R"(,"messages":[{"role":"user","content":")" + text + R"("}]})";
        status = router.placeBody(body, PromptKind::chat, &placement, nowMs_);
        CHECK_EQUAL(placement.stream, stream);
        break;
      }
      default:
        status = router.core->placeBare("m", nowMs_, &placement);
    }
    if (status == PlaceStatus::placed) {
      CHECK(model.tickets.count(placement.ticket) == 0);
      model.reserve(placement, stream, nowMs_);
    } else {
      CHECK_EQUAL(status, PlaceStatus::noInstance);
    }
  }

  void onTicket(uint64_t id, Model::Held& held) {
    const bool isIdle = held.phase == Model::Held::idle;
    switch (random_.below(isIdle ? 2 : 5)) {
      case 0:
        router.core->end(id, 0);
        model.tickets.erase(id);
        break;
      case 1:
        retry(id, held);
        break;
      case 2:
        router.core->suspect(id, nowMs_);
        break;
      case 3:
        router.core->answered(id, 0);
        break;
      default:
        router.core->firstToken(id, 0);
        if (held.phase == Model::Held::prefilling) held.phase = Model::Held::decoding;
    }
  }

  void retry(uint64_t id, Model::Held& held) {
    Placement placement;
    if (router.core->retry(id, nowMs_, &placement)) {
      CHECK_EQUAL(placement.ticket, id);
      model.reserve(placement, held.stream, nowMs_);
      return;
    }
    held.phase = Model::Held::idle;
    // Refused only when every serving instance has been tried.
    for (uint32_t slot = 0; slot < 5; ++slot) {
      const bool serves = router.slot(slot).state == static_cast<uint32_t>(InstanceState::serving);
      CHECK(!serves || held.tried.count(slot) > 0);
    }
  }

  Random& random_;
  double nowMs_ = 0;
};

TEST(randomRequestsAgreeWithThePlainModel) {
  Random random(40);
  for (const PolicyName policy : {PolicyName::dualmapPaper, PolicyName::leastTokens}) {
    Play play(random, policy);
    for (int i = 0; i < 3000; ++i) play.step();
    play.endAll();
    play.model.compare(play.router.fleet, *play.router.core);
    CHECK(play.router.fleet.isIdle());
  }
}

}  // namespace
}  // namespace dualmap::test
