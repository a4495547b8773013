// A fleet of instances that all serve, and one core on it.
#pragma once

#include <memory>

#include "core/core.h"
#include "fleet.h"
#include "prompt_model.h"
#include "test.h"

namespace dualmap::test {

struct Router {
  explicit Router(uint32_t instances, PolicyName policy = PolicyName::dualmapPaper) {
    fleet.serve(instances);
    CoreOptions options;
    options.policy = policy;
    core = std::make_unique<Core>(fleet.state, 0, options);
  }

  Placement place(uint64_t name, double nowMs = 0) {
    const std::vector<uint64_t> chain(4, xxh3(&name, sizeof name));
    Placement placement;
    const auto status = core->placeChain(chain.data(), 4, 512, 0, nowMs, &placement);
    CHECK_EQUAL(status, PlaceStatus::placed);
    return placement;
  }

  PlaceStatus placeBody(std::string_view body, PromptKind kind, Placement* out, double nowMs = 0) {
    std::vector<char> padded(body.begin(), body.end());
    padded.resize(body.size() + kPaddingBytes);
    return core->place(padded.data(), body.size(), padded.size(), kind, nowMs, {}, out);
  }

  InstanceSlot& slot(uint32_t index) const { return fleet.state.slot(index); }

  Fleet fleet;
  std::unique_ptr<Core> core;
};

}  // namespace dualmap::test
