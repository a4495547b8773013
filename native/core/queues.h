// The queues of the router: requests that wait until an instance has room for them (algorithm.md
// sections 6 and 6a). A waiting request stands in the queue of one instance (early binding) or of
// both its candidates (late binding); whichever has room first may claim it, once.
//
// All queues lie in the shared memory behind one lock: it is held for a few microseconds, and only
// for requests that wait. A request whose instance has room and no queue never comes here. Whoever
// gives room back claims for the instance, also requests of other threads: those are put into their
// owner's mail and the owner is woken.
//
// No wake-up is lost: room is given back before the queue is looked at, and a request stands in its
// queue before room is looked at (both sequentially consistent); what an instance leaves to a
// warmer one carries the time at which it looks again (`nextLookMs`).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "fleet_state.h"
#include "policy.h"
#include "prefix_index.h"
#include "reservation.h"
#include "tree.h"

namespace dualmap {

enum class QueueOrder : uint32_t { deadline = 0, hit = 1, fcfs = 2 };
enum class LatePolicy : uint32_t { serve = 0, shed = 1 };

struct QueueOptions {
  bool isOn = false;         // off: every request goes to its instance at once
  bool bindsLate = true;     // in the queues of both candidates
  bool isFleetWide = false;  // and any other instance with room may claim it
  QueueOrder order = QueueOrder::deadline;
  LatePolicy latePolicy = LatePolicy::serve;
  uint64_t prefillWindowTokens = 4096;
  double tokensPerBlock = 128;  // to compare requests with what an engine's memory holds
  double coldClaimPrice =
      8;                  // ms sooner for each ms of extra work, for a cold claim to be worth it
  bool hasPeers = false;  // other routers, which see nothing of this one, fill the same instances
};

/// What a request brings to the queues. `chain` must stay where it is until the request has left.
struct WaitRequest {
  uint64_t ticket = 0;
  double arrivalMs = 0;
  double sloTtftMs = 0;
  int32_t priority = 0;  // lower goes first, whatever the order
  Reserved reserved;
  Candidate candidate;  // it would rather go there
  Candidate other;      // slot kNone if there is none
  Candidate third;      // fleet-wide: who holds more of its prefix than both; or slot kNone
};

enum class Verdict : uint32_t { claimed, shed };

/// What the owner of a waiting request finds in its mail.
struct Claim {
  uint64_t ticket = 0;
  Verdict verdict = Verdict::claimed;
  Candidate candidate;
  double queuedMs = 0;
  bool isCold = false;   // another of its candidates holds more of its prefix
  bool isMoved = false;  // by a migration, from the queue it was bound to
  bool isTrial = false;  // of a suspect instance
};

/// A request bound early, as a plan of rebalancing sees it. Doubles all: JavaScript reads rows of
/// them (src/core/queue-snapshot.ts has the same order). Tokens and milliseconds.
struct WaitingRow {
  double place;
  double sequence;  // tells one request in a place from the next one there
  double arrivalMs;
  double deadlineMs;
  double promptTokens;
  double cachedTokens;
  double uncachedTokens;
  double spareSlot;  // its other candidate; -1: none
  double spareCachedTokens;
  double spareUncachedTokens;
  double isMoved;
};

/// A move of a request that waits, as planned from a snapshot.
struct Move {
  uint32_t place;
  uint64_t sequence;
  uint32_t from;
  uint32_t to;
};

class Queues {
 public:
  static constexpr double kNever = 1e300;
  static constexpr uint32_t kStands = 4;  // the pair, a third candidate, everybody
  /// A claim looks at so many of those that wait: what is behind them can wait longer.
  static constexpr uint32_t kLookedAtMax = 64;
  /// What other routers send to an engine, and how full its memory is, change without a word: so
  /// often it is looked at again. The metrics that show it come once a second.
  static constexpr double kScrapeLookMs = 250;

  [[nodiscard]] static uint64_t bytesFor(const Capacities& capacities) noexcept;
  /// Lays the table out in zeroed memory.
  static void create(const FleetState& state) noexcept;

  Queues(const FleetState& state, PrefixIndex& index, const QueueOptions& options,
         const SuspicionOptions& suspicion, uint32_t thread) noexcept;

  /// Called from any thread when mail comes for this one; null when it takes none any more.
  void setWake(void (*wake)(void*), void* data) noexcept;

  /// Whether a request may go to an instance without standing in its queue; then it has reserved
  /// the tokens, behind `aheadTokens`.
  [[nodiscard]] bool tryPass(const Candidate& candidate, double nowMs,
                             uint64_t* aheadTokens) noexcept;

  /// 0: every place is taken. Otherwise the place of the request, which it keeps until its claim
  /// was read or it was cancelled. It may have been claimed already: see `next`.
  [[nodiscard]] uint32_t enqueue(const WaitRequest& request, double nowMs) noexcept;

  /// Gives a request that still waits new candidates, with its moment of arrival.
  void requeue(uint32_t place, const WaitRequest& request, double nowMs) noexcept;

  /// Takes the next piece of mail. False if there is none.
  [[nodiscard]] bool next(Claim* out) noexcept;
  [[nodiscard]] bool hasMail() const noexcept;

  /// A request leaves: it is gone from every queue when this returns. If it had been claimed, its
  /// room is offered again.
  void cancel(uint32_t place, double nowMs) noexcept;

  /// An instance has got room, or may take requests again.
  void offerRoom(uint32_t slot, double nowMs) noexcept;

  /// An instance has become suspect: what waits for it looks at its other candidate, and at it
  /// when its time is up.
  void turnedSuspect(uint32_t slot, double nowMs) noexcept;

  /// What waits for an instance and is bound to it, in the order in which it will be served, but
  /// for the turns of late requests. Returns the number of rows, `rowsMax` at most.
  [[nodiscard]] uint32_t snapshot(uint32_t slot, WaitingRow* rows, uint32_t rowsMax) const noexcept;

  /// Moves a request to its other candidate. False, and nothing has changed, unless it still waits
  /// where it stood, has never been moved, and the other candidate is available.
  [[nodiscard]] bool migrate(const Move& planned, double nowMs) noexcept;

  /// Looks again at every instance whose time has come, whichever thread learnt of it: a thread
  /// with requests that wait calls this now and then, as the one that knows the time may be gone.
  void look(double nowMs) noexcept;
  /// When `look` must be called next by this thread; kNever if it need not.
  [[nodiscard]] double nextLookMs() const noexcept { return nextLookMs_; }

  /// It waits, and none of the instances in whose queues it stands serves, or one of them leaves:
  /// whose slot may not be taken again as long as a request stands there.
  [[nodiscard]] bool wantsOthers(uint32_t place) const noexcept;
  [[nodiscard]] uint32_t waiting() const noexcept;

 private:
  enum class State : uint32_t { free = 0, waiting, claimed, shed, abandoned };

  /// A place in the queue of one candidate, or in that of everybody (`everybody_`).
  struct Stand {
    uint32_t slot;
    bool isLate;
    uint64_t cachedTokens;
    uint64_t uncachedTokens;
  };

  struct Waiting {
    State state;
    uint32_t thread;
    uint32_t next;  // in the list of free places, or in its owner's mail
    uint32_t stands;
    bool isMoved;  // once, by a migration
    uint64_t ticket;
    uint64_t sequence;
    double arrivalMs;
    double deadlineMs;
    double promiseMs;  // by when its warmer candidate must have begun; 0: none was given
    int32_t priority;
    Reserved reserved;
    Stand stand[kStands];
    Stand spare;  // bound early: the candidate to which it may move; slot kNone if there is none
    uint32_t spareGeneration;  // its slot may be that of another instance by now
    Claim claim;
  };

  struct InstanceQueue {
    uint32_t feasible;  // root: by order; what cannot be late any more is here too
    uint32_t expiry;    // root: by the moment from which it is late
    uint32_t late;      // root: by arrival
    uint32_t claims;
    float lateShare;     // of the claims; the last ones weigh most
    double roomSinceMs;  // for so long it was left to somebody; 0: it has none
    double nextLookMs;   // 0: none
  };

  struct alignas(kLineBytes) Mail {
    std::atomic<uint32_t> count;
    uint32_t head;
    uint32_t tail;
    void (*wake)(void*);
    void* data;
  };

  struct alignas(kLineBytes) Table {
    std::mutex lock;
    uint32_t firstFree;
    uint32_t everTaken;
    uint64_t sequence;
    std::atomic<uint32_t> waiting;
    std::atomic<uint32_t> standing;  // in the queue of everybody; as `standing` of an instance
    std::atomic<double> nextLookMs;  // the first of those of the queues, or before; 0: none
  };

  /// What keeps an instance from claiming now; kNever: nothing but an event changes it.
  struct Leave {
    bool takes = true;
    double lookMs = kNever;
  };

  struct Offsets {
    uint64_t mails, queues, full, waiting, nodes, bytes;
  };
  [[nodiscard]] static Offsets offsetsOf(const Capacities& capacities) noexcept;
  template <typename Part>
  [[nodiscard]] Part* part(uint64_t Offsets::*offset) const noexcept {
    return reinterpret_cast<Part*>(state_->queues() + offsetsOf(state_->capacities()).*offset);
  }

  [[nodiscard]] static uint32_t nodeOf(uint32_t place, uint32_t stand, bool isExpiry) noexcept {
    return place * kStands * 2 + stand * 2 + (isExpiry ? 1 : 0);
  }
  [[nodiscard]] static uint32_t placeOf(uint32_t node) noexcept { return node / (kStands * 2); }
  [[nodiscard]] static uint32_t standOf(uint32_t node) noexcept { return node / 2 % kStands; }
  [[nodiscard]] Tree feasibleOf(uint32_t slot) const noexcept;
  [[nodiscard]] Tree expiryOf(uint32_t slot) const noexcept;
  [[nodiscard]] Tree lateOf(uint32_t slot) const noexcept;

  void line(uint32_t place, const WaitRequest& request, double nowMs) noexcept;
  void standAll(uint32_t place, double nowMs) noexcept;
  void move(uint32_t place, double nowMs) noexcept;
  void stand(uint32_t place, uint32_t index, double nowMs) noexcept;
  void unstand(uint32_t place, uint32_t index) noexcept;
  void standLate(uint32_t place, uint32_t index) noexcept;
  void leaveAll(uint32_t place) noexcept;
  void free(uint32_t place) noexcept;
  void post(uint32_t place) noexcept;
  void expire(uint32_t slot, double nowMs) noexcept;
  void shed(uint32_t place, double nowMs) noexcept;
  void claimAll(uint32_t slot, double nowMs) noexcept;
  void offerToOthers(uint32_t place, double nowMs) noexcept;
  [[nodiscard]] uint32_t pick(uint32_t slot, double nowMs, double* lookMs) noexcept;
  [[nodiscard]] Leave leaves(uint32_t node, uint32_t slot, double nowMs) noexcept;
  [[nodiscard]] Leave leavesToWarmer(uint32_t node, uint32_t slot, double nowMs) noexcept;
  [[nodiscard]] bool isWarmer(const Waiting& waiting, uint32_t index,
                              const Stand& here) const noexcept;
  [[nodiscard]] bool servesTheSame(const Waiting& waiting, uint32_t slot) const noexcept;
  [[nodiscard]] bool standsAt(const Waiting& waiting, uint32_t slot) const noexcept;
  [[nodiscard]] double expectedMs(uint32_t place, uint32_t index, double nowMs) const noexcept;
  [[nodiscard]] Candidate measureAt(const Waiting& waiting, uint32_t slot) const noexcept;
  bool claim(uint32_t node, uint32_t slot, double nowMs) noexcept;
  void setFull(uint32_t slot, bool isFull) noexcept;
  [[nodiscard]] std::atomic<uint32_t>& standingOf(uint32_t slot) const noexcept;
  void noteLook(uint32_t slot, double atMs) noexcept;
  [[nodiscard]] bool isAvailable(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] bool isServing(uint32_t slot) const noexcept;
  [[nodiscard]] bool isLeaving(uint32_t slot) const noexcept;
  [[nodiscard]] uint32_t generationOf(uint32_t slot) const noexcept;
  [[nodiscard]] bool mayMove(const Waiting& waiting, double nowMs) const noexcept;
  [[nodiscard]] bool hasRoom(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] bool isOutOfMemory(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] double peersTokensAt(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] uint64_t aheadTokensAt(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] bool isFullOfPeers(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] double peersLookMs(uint32_t slot, double nowMs) const noexcept;
  [[nodiscard]] double yieldsUntilMs(uint32_t node, uint32_t slot, double nowMs) const noexcept;

  const FleetState* state_;
  PrefixIndex* index_;
  QueueOptions options_;
  SuspicionOptions suspicion_;
  uint32_t thread_;
  uint32_t everybody_;  // the queue after those of all instances
  Table* table_;
  Mail* mails_;
  InstanceQueue* queues_;
  std::atomic<uint64_t>* full_;  // a bit an instance: it has had no room since
  Waiting* waiting_;
  TreeNode* nodes_;
  double nextLookMs_ = kNever;
  uint32_t measured_ = 0;  // during one claim
};

}  // namespace dualmap
