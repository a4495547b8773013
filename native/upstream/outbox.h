// What JavaScript is to hear at the end of this loop turn, and the numbers of calls that are in use
// until it has. Owned by one client and used on its thread. Between two deliveries it only grows;
// what JavaScript causes while it reads one comes with the next.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <uv.h>

#include "event_batch.h"
#include "field_cache.h"
#include "response_parser.h"

namespace dualmap::upstream {

class Outbox {
 public:
  // `wake` is active while there is something to deliver, so that the loop does not sleep on it.
  Outbox(EventBatch batch, uv_idle_t& wake) : batch_(batch), wake_(wake) {}

  [[nodiscard]] uv_buf_t readBuffer() const { return batch_.readBuffer(); }
  [[nodiscard]] bool hasRoomForRead() const { return batch_.hasRoomForRead(); }
  [[nodiscard]] bool isEmpty() const { return batch_.empty(); }
  // Of the delivery under way: field lists that JavaScript has not seen, in the order of their
  // heads.
  [[nodiscard]] const std::vector<std::string>& newFields() const { return newFields_; }

  // `isBodySent`: nothing reads the request body any more.
  void head(int32_t call, const ResponseHead& head, bool isBodySent);
  // The bytes lie in the read buffer.
  void data(int32_t call, const char* bytes, size_t byteCount);
  // The last event of a call: end, fault, or silence after its cancel.
  void end(int32_t call);
  void fault(int32_t call, FaultCode code, int status);
  void cancelled(int32_t call);

  // Calls `deliver(event count)` and empties the batch.
  template <class Deliver>
  void deliver(Deliver deliver) {
    require(!isDelivering_, "one delivery at a time");
    uv_idle_stop(&wake_);
    isDelivering_ = true;
    deliver(batch_.count());
    isDelivering_ = false;
    afterDelivery();
  }

  // A number whose last event JavaScript has seen, or -1.
  [[nodiscard]] int32_t takeFreeCall();

 private:
  struct Fault {
    int32_t call;
    FaultCode code;
    int status;
  };

  void wakeUp();
  void pushFault(const Fault& fault);
  void afterDelivery();

  EventBatch batch_;
  uv_idle_t& wake_;
  FieldCache fieldCache_;
  std::vector<std::string> newFields_;
  std::vector<int32_t> freeCalls_;
  // Calls that are over, but may have events in the batch.
  std::vector<int32_t> endedCalls_;
  // Faults that came during a delivery, or found no room.
  std::vector<Fault> laterFaults_;
  bool isDelivering_ = false;
};

}  // namespace dualmap::upstream
