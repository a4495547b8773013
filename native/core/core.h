// One I/O thread's face of the decision core: a request is placed, maybe retried, sees its first
// token and ends. Every reservation made here is taken back here, exactly once, by `end`. Owned and
// called by one thread; shares the fleet state with the others.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "fleet_state.h"
#include "hotness.h"
#include "policy.h"
#include "prefix_index.h"
#include "prompt.h"
#include "rings.h"

namespace dualmap {

struct CoreOptions {
  PolicyName policy = PolicyName::dualmapPaper;
  PolicyOptions placing;
  double suspectBackoffMs = 500;
  double suspectBackoffMaxMs = 30'000;
};

enum class PlaceStatus : uint32_t {
  placed = 0,
  invalidJson,
  invalidType,
  emptyPrompt,
  tooDeep,
  modelNotFound,
  noInstance,
};

/// What became of a request; read by JavaScript from a preallocated array.
struct Placement {
  uint64_t ticket = 0;
  Decision decision;
  uint64_t promptTokens = 0;
  uint64_t promptBytes = 0;
  uint32_t blocks = 0;
  bool stream = false;
  const char* faultParam = "";
};

class Core {
 public:
  Core(const FleetState& state, uint32_t thread, const CoreOptions& options) noexcept;

  /// Reads a body, chooses an instance and reserves it. `capacity` >= `bytes` + 64.
  [[nodiscard]] PlaceStatus place(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                                  double nowMs, Placement* out) noexcept;

  /// The same from ready block hashes (benchmarks, simulation). `model` 0: unnamed.
  [[nodiscard]] PlaceStatus placeChain(const uint64_t* chain, uint32_t blocks,
                                       uint64_t promptTokens, uint64_t model, double nowMs,
                                       Placement* out) noexcept;

  /// A request without a prompt: the instance with the fewest requests in flight.
  [[nodiscard]] PlaceStatus placeBare(std::string_view model, double nowMs,
                                      Placement* out) noexcept;

  /// Gives back the instance that failed and reserves the other candidate, then the next distinct
  /// instance. False when every serving instance has been tried; the ticket must still be ended.
  [[nodiscard]] bool retry(uint64_t ticket, double nowMs, Placement* out) noexcept;

  /// The instance of this ticket failed before its first token: it is suspect for a while.
  void suspect(uint64_t ticket, double nowMs) noexcept;

  /// First token seen: the prefill reservation ends and the instance is above suspicion.
  void firstToken(uint64_t ticket) noexcept;

  /// The instance answered without a stream of tokens: it is above suspicion.
  void answered(uint64_t ticket) noexcept;

  /// Gives back everything the ticket holds. The ticket is void afterwards.
  void end(uint64_t ticket) noexcept;

  /// Ends the prefill reservations of requests without a stream whose estimated time has come.
  void endDuePrefills(double nowMs) noexcept;

  [[nodiscard]] uint32_t ticketsInUse() const noexcept { return inUse_; }

 private:
  enum class Phase : uint8_t { free, idle, prefilling, decoding };

  struct Ticket {
    Phase phase = Phase::free;
    bool stream = false;
    bool usesPrefixCache = false;
    bool isTrial = false;  // tries whether a suspect is back
    uint32_t sequence = 0;
    uint32_t slot = kNone;
    uint32_t other = kNone;
    uint64_t model = 0;
    uint64_t key = 0;
    uint64_t promptTokens = 0;
    uint64_t uncachedTokens = 0;
    double prefillDueMs = 0;
    std::vector<uint64_t> chain;
    std::vector<uint32_t> tried;
  };

  PlaceStatus decide(const RequestView& request, uint64_t model, double nowMs,
                     Placement* out) noexcept;
  PlaceStatus decideOnce(const RequestView& request, uint64_t model, double nowMs,
                         Placement* out) noexcept;
  PlaceStatus decideBare(uint64_t model, double nowMs, Placement* out) noexcept;
  Ticket& take(uint64_t* id) noexcept;
  Ticket& ticketOf(uint64_t id) noexcept;
  void reserve(Ticket& ticket, const Candidate& candidate, double nowMs) noexcept;
  void release(Ticket& ticket) noexcept;
  void clearSuspicion(uint32_t slot) noexcept;
  [[nodiscard]] double backoffMs(uint32_t failures) const noexcept;

  FleetState state_;
  CoreOptions options_;
  Rings rings_;
  PrefixIndex index_;
  Hotness hotness_;
  std::unique_ptr<Policy> policy_;
  PromptScanner scanner_;
  Prompt prompt_;
  std::vector<Ticket> tickets_;
  std::vector<uint32_t> freeTickets_;
  uint32_t inUse_ = 0;
};

}  // namespace dualmap
