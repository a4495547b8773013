// The events of one loop turn on their way to JavaScript, and the bytes they point to. Both lie in
// memory that JavaScript sees too and that outlives the client; nothing is allocated per event.
// Owned by one client and used on its thread; it is emptied after each delivery, which ends the
// life of every view on the arena.
#pragma once

#include <cstdint>
#include <cstring>

#include <uv.h>

#include "invariant.h"

namespace dualmap::upstream {

// Numbers shared with src/dispatch/native.ts.
enum class EventKind : int32_t { head = 0, data = 1, end = 2, fault = 3 };
enum class FaultCode : int32_t {
  connectFailed = 0,
  connectTimeout = 1,
  reset = 2,
  garbage = 3,
  headersTooLarge = 4,
  firstByteTimeout = 5,
  idleTimeout = 6,
};

// Read by JavaScript as 6 int32 or 3 float64.
struct Event {
  EventKind kind;
  int32_t call;
  // head: status, plus headAfterBody if the whole request had left before; data: offset in the
  // arena; fault: FaultCode
  int32_t first;
  // head: number of the field list, complemented if it is new; data: byte count; fault: uv error or
  // 0
  int32_t second;
  // head: announced length or -1
  double bodyBytes;
};
static_assert(sizeof(Event) == 24);
constexpr int32_t headAfterBody = 0x10000;

class EventBatch {
 public:
  // At most one head, one data and one end come out of one read.
  static constexpr uint32_t eventsPerReadMax = 3;
  static constexpr size_t readBytesMax = 65536;
  // Less room than this is not worth a system call: deliver first.
  static constexpr size_t readBytesMin = 16384;

  EventBatch(Event* events, uint32_t eventsMax, char* arena, size_t arenaBytes)
      : events_(events), eventsMax_(eventsMax), arena_(arena), arenaBytes_(arenaBytes) {}

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] bool hasRoomForRead() const {
    return eventsMax_ - count_ >= eventsPerReadMax && arenaBytes_ - used_ >= readBytesMin;
  }

  // A fault may come at any moment, and must leave the room that the next read counts on.
  [[nodiscard]] bool hasRoomForFault() const { return eventsMax_ - count_ > eventsPerReadMax; }

  // Where the next read goes: behind the data of this turn.
  [[nodiscard]] uv_buf_t readBuffer() const {
    const size_t room = arenaBytes_ - used_;
    return uv_buf_init(arena_ + used_,
                       static_cast<unsigned>(room < readBytesMax ? room : readBytesMax));
  }

  void push(const Event& event) {
    require(count_ < eventsMax_, "room for an event");
    events_[count_++] = event;
  }

  // Appends body bytes that lie in the arena at or behind the used part. Slices of one call that
  // follow each other become one event: closing the gap left by chunk framing moves a few bytes,
  // and costs less than another view and another write.
  void pushData(int32_t call, const char* bytes, size_t byteCount) {
    const bool isInside = bytes >= arena_ + used_ && bytes + byteCount <= arena_ + arenaBytes_;
    require(isInside, "data in the arena");
    Event* const last = count_ != 0 ? &events_[count_ - 1] : nullptr;
    if (last != nullptr && last->kind == EventKind::data && last->call == call) {
      std::memmove(arena_ + used_, bytes, byteCount);
      last->second += static_cast<int32_t>(byteCount);
      used_ += byteCount;
      return;
    }
    push({EventKind::data, call, static_cast<int32_t>(bytes - arena_),
          static_cast<int32_t>(byteCount), 0});
    used_ = static_cast<size_t>(bytes - arena_) + byteCount;
  }

  void clear() {
    count_ = 0;
    used_ = 0;
  }

 private:
  Event* const events_;
  const uint32_t eventsMax_;
  char* const arena_;
  const size_t arenaBytes_;
  uint32_t count_ = 0;
  // Bytes up to the end of the newest data event: if that is the last event, it ends exactly here.
  size_t used_ = 0;
};

}  // namespace dualmap::upstream
