// Every time limit of a client on one timer: a queue for each kind of limit. All waits of one kind
// are equally long, so each queue is in order by itself, and a request costs no timer of its own. A
// connection has at most one deadline. Owned by one client; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include <uv.h>

#include "connection.h"
#include "intrusive_list.h"

namespace dualmap::upstream {

enum class Wait : uint8_t { connect, firstByte, betweenBytes, pooled };

class Deadlines {
 public:
  static constexpr uint64_t off = std::numeric_limits<uint64_t>::max();
  static constexpr size_t kinds = 4;

  // The loop's own time may be old by as long as the loop was busy.
  [[nodiscard]] static uint64_t nowMs() { return uv_hrtime() / 1'000'000; }

  Deadlines(const std::array<uint64_t, kinds>& limitsMs, uv_timer_t& timer, uv_timer_cb onTimer)
      : limitsMs_(limitsMs), timer_(timer), onTimer_(onTimer) {}

  void set(Connection& connection, Wait wait) {
    clear(connection);
    const auto kind = static_cast<size_t>(wait);
    if (limitsMs_[kind] == off) return;
    const uint64_t now = nowMs();
    connection.deadlineMs = now + limitsMs_[kind];
    queues_[kind].pushBack(connection);
    if (connection.deadlineMs < armedForMs_) arm(connection.deadlineMs, now);
  }

  static void clear(Connection& connection) { Queue::leave(connection); }

  // The timer has fired. Takes out every connection whose time is over and hands it on; sets the
  // timer for the next.
  template <class Expired>
  void expire(Expired expired) {
    const uint64_t now = nowMs();
    for (size_t kind = 0; kind < kinds; kind++) {
      while (!queues_[kind].empty() && queues_[kind].front()->deadlineMs <= now) {
        expired(queues_[kind].popFront(), static_cast<Wait>(kind));
      }
    }
    armedForMs_ = off;
    for (const Queue& queue : queues_) {
      if (!queue.empty() && queue.front()->deadlineMs < armedForMs_) {
        arm(queue.front()->deadlineMs, now);
      }
    }
  }

 private:
  using Queue = IntrusiveList<Connection, &Connection::deadlineHook>;

  void arm(uint64_t deadlineMs, uint64_t now) {
    armedForMs_ = deadlineMs;
    uv_timer_start(&timer_, onTimer_, deadlineMs > now ? deadlineMs - now : 0, 0);
  }

  const std::array<uint64_t, kinds> limitsMs_;
  uv_timer_t& timer_;
  const uv_timer_cb onTimer_;
  std::array<Queue, kinds> queues_;
  uint64_t armedForMs_ = off;
};

}  // namespace dualmap::upstream
