#include "outbox.h"

namespace dualmap::upstream {

void Outbox::wakeUp() {
  if (batch_.empty()) uv_idle_start(&wake_, [](uv_idle_t*) {});
}

void Outbox::head(int32_t call, const ResponseHead& head, bool isBodySent) {
  bool isNew = false;
  const int32_t list = fieldCache_.find(head.fields, &isNew);
  if (isNew) newFields_.emplace_back(head.fields);
  wakeUp();
  batch_.push({EventKind::head, call, head.status | (isBodySent ? headAfterBody : 0),
               isNew ? ~list : list, static_cast<double>(head.bodyBytes)});
}

void Outbox::data(int32_t call, const char* bytes, size_t byteCount) {
  wakeUp();
  batch_.pushData(call, bytes, byteCount);
}

void Outbox::end(int32_t call) {
  wakeUp();
  batch_.push({EventKind::end, call, 0, 0, 0});
  endedCalls_.push_back(call);
}

void Outbox::fault(int32_t call, FaultCode code, int status) {
  const Fault fault{call, code, status};
  if (isDelivering_ || !batch_.hasRoomForFault()) {
    laterFaults_.push_back(fault);
  } else {
    pushFault(fault);
  }
}

void Outbox::pushFault(const Fault& fault) {
  wakeUp();
  batch_.push({EventKind::fault, fault.call, static_cast<int32_t>(fault.code), fault.status, 0});
  endedCalls_.push_back(fault.call);
}

void Outbox::cancelled(int32_t call) {
  // An event of this call that is under way must not meet a new call of the same number.
  const bool mayHaveEvents = isDelivering_ || !batch_.empty();
  (mayHaveEvents ? endedCalls_ : freeCalls_).push_back(call);
}

int32_t Outbox::takeFreeCall() {
  if (freeCalls_.empty()) return -1;
  const int32_t call = freeCalls_.back();
  freeCalls_.pop_back();
  return call;
}

void Outbox::afterDelivery() {
  batch_.clear();
  newFields_.clear();
  freeCalls_.insert(freeCalls_.end(), endedCalls_.begin(), endedCalls_.end());
  endedCalls_.clear();
  size_t moved = 0;
  while (moved < laterFaults_.size() && batch_.hasRoomForFault()) pushFault(laterFaults_[moved++]);
  laterFaults_.erase(laterFaults_.begin(), laterFaults_.begin() + static_cast<ptrdiff_t>(moved));
}

}  // namespace dualmap::upstream
