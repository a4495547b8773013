// The layout of the shared memory that all threads of one router work on: one block, laid out once,
// attached by every thread at the same address. Owns instance slots and their lock-free counters,
// and says where rings, prefix index, hotness window and thread statistics lie.
//
// Rules: counters that must agree share one 64-bit word; what was added is subtracted exactly once;
// a borrow is a broken invariant and ends the process. Times are milliseconds of one monotonic
// clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace dualmap {

// Bump kLayoutVersion with any change here; src/core/fleet-state.ts mirrors the offsets.
inline constexpr uint64_t kMagic = 0x31'70'61'6D'6C'61'75'64;  // "dualmap1"
inline constexpr uint32_t kLayoutVersion = 8;
inline constexpr size_t kLineBytes = 64;

#define DUALMAP_ASSERT(condition, what)                                                          \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      std::fprintf(stderr, "dualmap: broken invariant: %s (%s:%d)\n", what, __FILE__, __LINE__); \
      std::abort();                                                                              \
    }                                                                                            \
  } while (0)

struct Capacities {
  uint32_t instancesMax = 256;
  uint32_t threadsMax = 16;
  uint32_t ringPointsMax = 0;      // of one generation of rings, all groups together
  uint32_t indexBlocks = 1 << 20;  // block hashes; rounded up to a power of two
  uint32_t hotnessRequestsMax = 0;
  uint32_t waitingMax = 0;  // requests that wait in the queues of the router
};

enum class InstanceState : uint32_t { free = 0, joining = 1, serving = 2, draining = 3, dead = 4 };

/// A count of requests and a sum of tokens that always agree: [requests:24 | tokens:40] in one
/// word.
class LoadWord {
 public:
  struct Value {
    uint32_t requests;
    uint64_t tokens;
  };

  static constexpr int kTokenBits = 40;
  static constexpr uint64_t kTokenMask = (uint64_t{1} << kTokenBits) - 1;

  [[nodiscard]] Value read() const noexcept {
    const uint64_t word = word_.load(std::memory_order_relaxed);
    return {static_cast<uint32_t>(word >> kTokenBits), word & kTokenMask};
  }

  /// For whoever has just made itself seen in `standing` (InstanceSlot).
  [[nodiscard]] Value readInOrder() const noexcept {
    const uint64_t word = word_.load(std::memory_order_seq_cst);
    return {static_cast<uint32_t>(word >> kTokenBits), word & kTokenMask};
  }

  /// Relaxed: the word publishes nothing but itself.
  /// Returns what was there before.
  Value add(uint64_t tokens) noexcept {
    const uint64_t before =
        word_.fetch_add((uint64_t{1} << kTokenBits) + tokens, std::memory_order_relaxed);
    return {static_cast<uint32_t>(before >> kTokenBits), before & kTokenMask};
  }

  /// Adds unless as many tokens as `limit` are there. The first request is always let in.
  /// Sequentially consistent, as `subtract`: see `standing`.
  /// `before`: the tokens that were there.
  [[nodiscard]] bool tryAdd(uint64_t tokens, uint64_t limit, uint64_t* before) noexcept {
    uint64_t word = word_.load(std::memory_order_seq_cst);
    do {
      if ((word >> kTokenBits) > 0 && (word & kTokenMask) >= limit) return false;
    } while (!word_.compare_exchange_weak(word, word + (uint64_t{1} << kTokenBits) + tokens,
                                          std::memory_order_seq_cst));
    *before = word & kTokenMask;
    return true;
  }

  void subtract(uint64_t tokens) noexcept {
    const uint64_t before =
        word_.fetch_sub((uint64_t{1} << kTokenBits) + tokens, std::memory_order_seq_cst);
    DUALMAP_ASSERT((before >> kTokenBits) >= 1 && (before & kTokenMask) >= tokens,
                   "more was released than reserved");
  }

 private:
  std::atomic<uint64_t> word_;
};

/// What estimate.h makes a time to first token of. Milliseconds, none of them negative. Fitted by
/// the compute pool, written by the main thread one by one: a reader may see one of them newer than
/// another, which is one estimate between two good ones. The two refinements are of single
/// precision, seven digits of what noise knows to two: the line has no room for more.
struct SpeedCoefficients {
  std::atomic<double> baseMs;
  std::atomic<double> perTokenMs;        // of every uncached token, ahead and own
  std::atomic<float> perTokenContextMs;  // of every own uncached token and token that it attends to
  std::atomic<float> perRunningMs;       // of every request that decodes there
};

/// One inference server. Every group of fields has a cache line of its own.
struct alignas(kLineBytes) InstanceSlot {
  // Line 0: written by the control plane, read by every decision.
  std::atomic<uint64_t> identity;  // XXH3 of the URL
  std::atomic<uint32_t> state;     // InstanceState
  std::atomic<uint32_t>
      generation;  // 1..1023; raised when the engine restarts or the slot is reused
  std::atomic<uint64_t> capacityBlocks;  // prefix cache of the engine, in blocks of kBlockBytes
  SpeedCoefficients speed;
  std::atomic<double> suspectUntilMs;  // no request before this time, unless nobody else serves
  std::atomic<uint32_t> failures;      // consecutive failures before the first token
  std::atomic<uint32_t> models;        // of the list of models it serves; equal lists, equal word

  // Line 1: load. Every request adds to these and its ending alone takes it back.
  alignas(kLineBytes) LoadWord queued;  // waiting in the router
  LoadWord prefilling;                  // sent, first token not yet seen; tokens: uncached
  LoadWord decoding;                    // first token seen; tokens: whole prompt
  std::atomic<uint64_t> holds;          // requests in flight that name this slot
  std::atomic<uint64_t> insertions;     // blocks inserted, in 1/256 block (prefix_index.h)
  // Requests that stand in its queue. Raised before room is looked for in `prefilling`, read after
  // room was given back there, both sequentially consistent: one of the two sees the other.
  std::atomic<uint32_t> standing;

  // Line 2: totals since the slot was taken, for /metrics.
  alignas(kLineBytes) std::atomic<uint64_t> requestsTotal;
  std::atomic<uint64_t> promptTokensTotal;
  std::atomic<uint64_t> cachedTokensTotal;  // predicted hits
  std::atomic<uint64_t> failuresTotal;
  std::atomic<uint64_t> coldClaimsTotal;  // claimed although the other candidate held more
  std::atomic<uint64_t> migrationsTotal;  // moved here from the queue of the other candidate

  // Line 3: what the engine last said of itself (src/fleet/engines), whoever sent it the requests.
  // Main writes, anyone reads; a hint beside line 1, which no scrape touches.
  alignas(kLineBytes) std::atomic<double> scrapedWaiting;
  std::atomic<double> scrapedRunning;
  std::atomic<double> scrapedKvUse;     // 0..1; below 0: not told
  std::atomic<double> scrapedAtMs;      // when it was asked; 0: never
  std::atomic<double> peersWaiting;     // of those that waited then, requests of other routers
  std::atomic<double> peersWaitedAtMs;  // when there were such at last; 0: never
};
static_assert(sizeof(InstanceSlot) == 4 * kLineBytes);

/// Where a thread says which rings it is reading (rings.h). 0: none.
struct alignas(kLineBytes) ReaderLine {
  std::atomic<uint64_t> announced;
};

struct alignas(kLineBytes) StateHeader {
  uint64_t magic;
  uint32_t layoutVersion;
  uint32_t instancesMax;
  uint32_t threadsMax;
  uint32_t ringPointsMax;
  uint64_t indexSets;
  uint32_t hotnessRequestsMax;
  uint32_t waitingMax;
  std::atomic<uint32_t> instanceCount;  // slots ever taken: scans stop here

  alignas(kLineBytes) std::atomic<uint64_t> ringsCurrent;  // (version << 2) | buffer; 0: none yet
  alignas(kLineBytes) std::atomic<uint64_t> roundRobin;
  alignas(kLineBytes) std::atomic<uint64_t> hotnessHead;
  std::atomic<uint32_t> hotnessWindow;  // requests
};

inline constexpr uint32_t kRingBuffers = 3;

/// Counters and histograms of one thread: written by it alone, read by main, never locked. What the
/// words mean is src/observe/thread-stats.ts's business.
inline constexpr uint64_t kThreadStatsBytes = 4096;

/// Offsets in bytes from the aligned base of the block.
struct StateLayout {
  uint64_t slots;
  uint64_t readers;
  uint64_t stats;
  uint64_t rings[kRingBuffers];
  uint64_t index;
  uint64_t hotness;
  uint64_t queues;
  uint64_t tokenRatios;
  uint64_t recentWork;
  uint64_t bytes;
};

[[nodiscard]] StateLayout layoutOf(const Capacities& capacities) noexcept;

/// Every decision reads lines all over the prefix index: with pages of 4 KB each of them also
/// misses the translation cache. But the kernel may have to move memory about to get one of 2 MB, a
/// good part of a millisecond each: too much for memory that does not live for long.
enum class Pages { ordinary, huge };

/// A thread's view of the block. Borrowed: the block belongs to the creator of the shared memory.
class FleetState {
 public:
  /// Bytes to allocate; the base is aligned to a cache line inside.
  [[nodiscard]] static uint64_t bytesFor(const Capacities& capacities) noexcept;

  /// Lays out zeroed memory. Called once, before any other thread attaches.
  static void create(void* memory, const Capacities& capacities,
                     Pages pages = Pages::huge) noexcept;

  /// False if the memory holds no state of this layout version.
  [[nodiscard]] bool attach(void* memory) noexcept;

  [[nodiscard]] StateHeader& header() const noexcept {
    return *reinterpret_cast<StateHeader*>(base_);
  }
  [[nodiscard]] InstanceSlot& slot(uint32_t index) const noexcept {
    return reinterpret_cast<InstanceSlot*>(base_ + layout_.slots)[index];
  }
  [[nodiscard]] ReaderLine& reader(uint32_t thread) const noexcept {
    return reinterpret_cast<ReaderLine*>(base_ + layout_.readers)[thread];
  }
  [[nodiscard]] char* ringBuffer(uint32_t index) const noexcept {
    return base_ + layout_.rings[index];
  }
  [[nodiscard]] char* index() const noexcept { return base_ + layout_.index; }
  [[nodiscard]] char* hotness() const noexcept { return base_ + layout_.hotness; }
  [[nodiscard]] char* queues() const noexcept { return base_ + layout_.queues; }
  [[nodiscard]] char* tokenRatios() const noexcept { return base_ + layout_.tokenRatios; }
  [[nodiscard]] char* recentWork() const noexcept { return base_ + layout_.recentWork; }
  [[nodiscard]] const StateLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] const Capacities& capacities() const noexcept { return capacities_; }
  /// Bytes from the start of the memory to the aligned base.
  [[nodiscard]] static uint64_t alignmentOffset(const void* memory) noexcept;

 private:
  char* base_ = nullptr;
  StateLayout layout_{};
  Capacities capacities_{};
};

}  // namespace dualmap
