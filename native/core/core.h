// One I/O thread's face of the decision core: a request is placed, maybe retried, sees its first
// token and ends. Every reservation made here is taken back here, exactly once, by `end`. Owned and
// called by one thread; shares the fleet state with the others.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "due_heap.h"
#include "fleet_state.h"
#include "hotness.h"
#include "policy.h"
#include "prefix_index.h"
#include "prompt.h"
#include "queues.h"
#include "reservation.h"
#include "rings.h"
#include "samples.h"
#include "token_ratios.h"

namespace dualmap {

struct CoreOptions {
  PolicyName policy = PolicyName::dualmapPaper;
  PolicyOptions placing;
  SuspicionOptions suspicion;
  QueueOptions queue;
};

enum class PlaceStatus : uint32_t {
  placed = 0,
  invalidJson,
  invalidType,
  emptyPrompt,
  tooDeep,
  modelNotFound,
  noInstance,
  queueFull,
};

/// What became of a request; read by JavaScript from a preallocated array.
struct Placement {
  uint64_t ticket = 0;
  Decision decision;
  uint64_t promptTokens = 0;
  uint64_t promptBytes = 0;
  uint32_t blocks = 0;
  bool stream = false;
  /// It waits in the queues of its candidates; `decision` says which these are.
  bool isWaiting = false;
  double queuedMs = 0;
  int32_t priority = 0;  // as the body says; lower is more important
  double sloTtftMs = 0;  // the objective it is placed by
  const char* faultParam = "";
};

/// What the head of a request asks for; its body and the configuration say the rest.
struct Objective {
  double sloTtftMs = 0;                                        // 0: not said
  double priority = std::numeric_limits<double>::quiet_NaN();  // NaN: not said
};

/// What came of waiting.
enum class Waited : uint32_t { none, placed, shed };

class Core {
 public:
  Core(const FleetState& state, uint32_t thread, const CoreOptions& options) noexcept;

  /// Reads a body, chooses an instance and reserves it. `capacity` >= `bytes` + 64. `sloTtftMs`:
  /// the request's own objective, 0 for the configured one.
  [[nodiscard]] PlaceStatus place(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                                  double nowMs, const Objective& objective,
                                  Placement* out) noexcept;

  /// The same from ready block hashes (benchmarks, simulation). `model` 0: unnamed.
  [[nodiscard]] PlaceStatus placeChain(const uint64_t* chain, uint32_t blocks,
                                       uint64_t promptTokens, uint64_t model, double nowMs,
                                       Placement* out) noexcept;

  /// A request without a prompt: the instance with the fewest requests in flight.
  [[nodiscard]] PlaceStatus placeBare(std::string_view model, double nowMs,
                                      Placement* out) noexcept;

  /// Of the body placed last, until the next one: its prompt, and the key of all of it.
  [[nodiscard]] const Prompt& lastPrompt() const noexcept { return prompt_; }
  [[nodiscard]] uint64_t lastPromptKey() noexcept { return scanner_.wholeKey(); }

  /// What `place` would decide now, with its key; reserves nothing, counts nothing, `out` has no
  /// ticket. Not for the path of a request: it allocates.
  [[nodiscard]] PlaceStatus explain(const char* body, size_t bytes, size_t capacity,
                                    PromptKind kind, double nowMs, Placement* out,
                                    uint64_t* key) const noexcept;

  /// Gives back the instance that failed and reserves the other candidate, then the next distinct
  /// instance. False when every serving instance has been tried; the ticket must still be ended.
  [[nodiscard]] bool retry(uint64_t ticket, double nowMs, Placement* out) noexcept;

  /// The instance of this ticket failed before its first token: it is suspect for a while.
  void suspect(uint64_t ticket, double nowMs) noexcept;

  /// The next of this thread's requests whose waiting is over: placed, or shed (then it must only
  /// be ended). To be called until `none` whenever `hasClaims`.
  [[nodiscard]] Waited nextClaim(Placement* out) noexcept;
  [[nodiscard]] bool hasClaims() const noexcept { return queues_.hasMail(); }

  /// A request that waits is given up, though it may have been claimed: it will not be sent, and
  /// must still be ended. Without effect on one that does not wait.
  void stopWaiting(uint64_t ticket, double nowMs) noexcept;

  /// When `look` must be called; Queues::kNever if it need not.
  [[nodiscard]] double nextLookMs() const noexcept;
  /// Ends prefills of requests without a stream whose estimated time has come, and lets instances
  /// look again at what they left to others.
  void look(double nowMs) noexcept;

  /// Instances have come, gone or recovered: what waits for none that serves gets new candidates,
  /// and all look at their queues.
  void fleetChanged(double nowMs) noexcept;

  /// Both ends of rebalancing; see queues.h. Any thread's requests.
  [[nodiscard]] uint32_t snapshotQueue(uint32_t slot, WaitingRow* rows,
                                       uint32_t rowsMax) const noexcept {
    return queues_.snapshot(slot, rows, rowsMax);
  }
  [[nodiscard]] bool migrate(const Move& planned, double nowMs) noexcept {
    return queues_.migrate(planned, nowMs);
  }

  /// First token seen: the prefill reservation ends and the instance is above suspicion. `ttftMs`:
  /// measured from sending, 0 if no first token of a stream was seen; it becomes a sample of the
  /// instance's speed unless it tells of something else (a retry, an engine that has restarted).
  /// So does an answer without a stream that comes before the prefill was expected to end.
  void firstToken(uint64_t ticket, double nowMs, double ttftMs = 0) noexcept;

  /// The instance answered without a stream of tokens: it is above suspicion.
  void answered(uint64_t ticket, double nowMs) noexcept;

  /// Gives back everything the ticket holds. The ticket is void afterwards. `promptTokens`: what
  /// the engine counted, 0 if it did not say.
  void end(uint64_t ticket, double nowMs, uint64_t promptTokens = 0) noexcept;

  /// Wakes the loop of this thread when another one has placed a request of its; see queues.h.
  void setWake(void (*wake)(void*), void* data) noexcept { queues_.setWake(wake, data); }
  [[nodiscard]] uint32_t waiting() const noexcept { return queues_.waiting(); }

  [[nodiscard]] uint32_t ticketsInUse() const noexcept { return inUse_; }
  [[nodiscard]] Samples& samples() noexcept { return samples_; }
  /// Of a model by its name, as learnt so far by all threads.
  [[nodiscard]] double tokensPerByte(std::string_view model) const noexcept;

 private:
  static constexpr uint64_t kIndexBits = 24;
  static constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;
  // A ticket id is a number in JavaScript: index and sequence together stay below 2^53.
  static constexpr uint32_t kSequenceMask = (uint32_t{1} << 28) - 1;

  enum class Phase : uint8_t { free, idle, waiting, prefilling, decoding };

  struct Ticket {
    Phase phase = Phase::free;
    bool stream = false;
    bool usesPrefixCache = false;
    bool isTrial = false;  // tries whether a suspect is back
    uint32_t index = 0;    // its own, in `tickets_`
    uint32_t sequence = 0;
    uint32_t slot = kNone;
    uint32_t other = kNone;
    uint64_t model = 0;
    uint64_t key = 0;
    uint64_t promptTokens = 0;
    uint64_t uncachedTokens = 0;
    uint64_t promptBytes = 0;  // 0: of no use to learn from
    double tokensPerByte = 0;  // by which its tokens were counted
    double sloTtftMs = 0;
    int32_t priority = 0;
    double arrivalMs = 0;
    uint32_t place = 0;  // in the queues, while it waits
    uint32_t first = kNone;
    uint32_t second = kNone;
    uint32_t level = 0;
    Reason reason = Reason::only;
    // Known when it was sent, for the sample that its first token makes.
    double sentMs = 0;
    uint64_t aheadTokens = 0;
    uint32_t running = 0;
    uint32_t generation = 0;
    double estimateMs = 0;
    std::vector<uint64_t> chain;
    std::vector<uint32_t> tried;
  };

  [[nodiscard]] RequestView viewOf(const Prompt& prompt, PromptKind kind, uint64_t model,
                                   double sloTtftMs) const noexcept;
  [[nodiscard]] static RequestView viewOf(const Ticket& ticket) noexcept;
  PlaceStatus decide(const RequestView& request, uint64_t model, double nowMs,
                     Placement* out) noexcept;
  PlaceStatus decideOnce(const RequestView& request, uint64_t model, double nowMs,
                         Placement* out) noexcept;
  PlaceStatus decideBare(uint64_t model, double nowMs, Placement* out) noexcept;
  Ticket& take(uint64_t* id) noexcept;
  Ticket& ticketOf(uint64_t id) noexcept;
  PlaceStatus seat(uint64_t id, Ticket& ticket, double nowMs, Placement* out) noexcept;
  void reserve(Ticket& ticket, const Candidate& candidate, double nowMs) noexcept;
  void began(Ticket& ticket, const Candidate& candidate, uint64_t aheadTokens,
             double nowMs) noexcept;
  void prefilled(Ticket& ticket, double nowMs) noexcept;
  void release(Ticket& ticket, double nowMs) noexcept;
  void drop(Ticket& ticket) noexcept;
  void rehome(uint64_t id, Ticket& ticket, double nowMs) noexcept;
  void sample(const Ticket& ticket, double ttftMs) noexcept;
  [[nodiscard]] double sloOf(double requestedMs, uint64_t promptTokens) const noexcept;
  [[nodiscard]] static Reserved reservedOf(const Ticket& ticket) noexcept;
  [[nodiscard]] WaitRequest waitRequestOf(uint64_t id, const Ticket& ticket,
                                          const Decision& decision) const noexcept;
  void clearSuspicion(uint32_t slot, double nowMs) noexcept;

  FleetState state_;
  CoreOptions options_;
  Rings rings_;
  PrefixIndex index_;
  Hotness hotness_;
  TokenRatios tokenRatios_;
  Queues queues_;
  Samples samples_;
  std::unique_ptr<Policy> policy_;
  PromptScanner scanner_;
  Prompt prompt_;
  std::deque<Ticket> tickets_;  // by index; none is ever moved, however many there come to be
  std::vector<uint32_t> freeTickets_;
  /// When the prefill of those that are prefilled will have ended, or has stalled.
  DueHeap due_;
  uint32_t inUse_ = 0;
};

}  // namespace dualmap
