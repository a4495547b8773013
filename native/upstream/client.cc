#include "client.h"

#include "invariant.h"

namespace dualmap::upstream {

Client::Client(uv_loop_t* loop, const ClientOptions& options, EventBatch batch, ClientOwner& owner)
    : loop_(loop),
      options_(options),
      owner_(owner),
      outbox_(batch, wake_),
      deadlines_({options.connectTimeoutMs, options.firstByteTimeoutMs, options.idleTimeoutMs,
                  options.pooledMs},
                 timer_, [](uv_timer_t* timer) {
                   // Judged after the poll: a loop that was busy must not take bytes that wait in
                   // the socket for silence.
                   auto* const self = static_cast<Client*>(timer->data);
                   self->isExpiryDue_ = true;
                   uv_idle_start(&self->wake_, [](uv_idle_t*) {});
                 }) {
  uv_check_init(loop_, &check_);
  uv_idle_init(loop_, &wake_);
  uv_timer_init(loop_, &timer_);
  openHandles_ = 3;
  check_.data = wake_.data = timer_.data = this;
  uv_check_start(&check_,
                 [](uv_check_t* check) { static_cast<Client*>(check->data)->onTurnEnd(); });
  // Calls in flight keep the loop alive by their connections, events to deliver by wake_.
  uv_unref(reinterpret_cast<uv_handle_t*>(&check_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
}

int32_t Client::addOrigin(const std::string& host, int port) {
  auto origin = std::make_unique<Origin>();
  if (!origin->init(loop_, this, host, port, options_.addressTtlMs)) return -1;
  origins_.push_back(std::move(origin));
  return static_cast<int32_t>(origins_.size() - 1);
}

// ---- calls

Call& Client::newCall() {
  int32_t number = outbox_.takeFreeCall();
  if (number < 0) {
    number = static_cast<int32_t>(calls_.size());
    calls_.push_back(std::make_unique<Call>());
  }
  Call& call = *calls_[static_cast<size_t>(number)];
  call.number = number;
  call.isActive = true;
  call.isPaused = call.sawBody = false;
  return call;
}

int32_t Client::start(const Request& request) {
  require(!isClosing_ && request.origin < origins_.size(), "start");
  Call& call = newCall();
  call.origin = origins_[request.origin].get();
  call.isHeadRequest = request.isHeadRequest;
  call.head.swap(*request.head);
  call.body = request.body;
  place(call);
  return call.number;
}

void Client::pause(int32_t number) {
  Call& call = *calls_[static_cast<size_t>(number)];
  if (!call.isActive || call.isPaused) return;
  call.isPaused = true;
  if (call.connection == nullptr || !call.connection->isConnected) return;
  call.connection->stopReading();
  // Now it is we who keep the instance waiting.
  Deadlines::clear(*call.connection);
}

void Client::resume(int32_t number) {
  Call& call = *calls_[static_cast<size_t>(number)];
  if (!call.isActive || !call.isPaused) return;
  call.isPaused = false;
  if (call.connection == nullptr || !call.connection->isConnected) return;
  call.connection->startReading();
  if (isUnsent(*call.connection)) return;
  deadlines_.set(*call.connection, call.sawBody ? Wait::betweenBytes : Wait::firstByte);
}

void Client::cancel(int32_t number) {
  Call& call = *calls_[static_cast<size_t>(number)];
  if (!call.isActive) return;
  call.isActive = false;
  outbox_.cancelled(number);
  if (call.connection == nullptr) {
    call.origin->waiting.remove(call);
    return;
  }
  Connection& connection = *call.connection;
  detach(connection);
  drop(connection);
}

// Gives the call a connection: the newest idle one, a new one, or, at the limit, the next to be
// free.
void Client::place(Call& call) {
  Origin& origin = *call.origin;
  if (!origin.idle.empty()) {
    // Looked up again in the background; if that fails the old addresses stay.
    if (origin.isStale()) static_cast<void>(origin.resolve());
    Connection& connection = origin.idle.popFront();
    connection.hold(true);
    connection.isReused = true;
    carry(connection, call);
  } else if (isAtLimit(origin)) {
    origin.waiting.pushBack(call);
  } else {
    open(call, 0);
  }
}

// ---- time

void Client::onExpired(Connection& connection, Wait wait) {
  switch (wait) {
    case Wait::connect:
      connection.origin.avoid(connection.address);
      fail(connection, FaultCode::connectTimeout, 0);
      return;
    case Wait::firstByte:
      fail(connection, FaultCode::firstByteTimeout, 0);
      return;
    case Wait::betweenBytes:
      fail(connection, FaultCode::idleTimeout, 0);
      return;
    case Wait::pooled:
      drop(connection);
      return;
  }
}

void Client::onTurnEnd() {
  if (isExpiryDue_) {
    isExpiryDue_ = false;
    uv_idle_stop(&wake_);
    deadlines_.expire([this](Connection& connection, Wait wait) { onExpired(connection, wait); });
  }
  sendRequests();
  if (!outbox_.isEmpty()) deliver();
  sendRequests();
  if (outbox_.isEmpty()) uv_idle_stop(&wake_);
}

void Client::deliver() {
  outbox_.deliver([this](uint32_t eventCount) { owner_.deliver(eventCount); });
}

// ---- the end

void Client::close() {
  if (isClosing_) return;
  isClosing_ = true;
  for (const auto& origin : origins_) {
    while (!origin->waiting.empty()) origin->waiting.popFront();
    if (origin->isResolving()) {
      openHandles_++;
      origin->cancelResolve();
    }
  }
  while (!connections_.empty()) {
    Connection& connection = connections_.popFront();
    if (connection.call != nullptr) detach(connection);
    drop(connection);
  }
  for (auto* const handle :
       {reinterpret_cast<uv_handle_t*>(&check_), reinterpret_cast<uv_handle_t*>(&wake_),
        reinterpret_cast<uv_handle_t*>(&timer_)}) {
    uv_close(handle,
             [](uv_handle_t* closed) { static_cast<Client*>(closed->data)->onHandleClosed(); });
  }
}

void Client::onConnectionFreed(Connection& connection) {
  IntrusiveList<Connection, &Connection::allHook>::leave(connection);
  delete &connection;
  onHandleClosed();
}

void Client::onHandleClosed() {
  if (--openHandles_ == 0) owner_.onClosed();
}

}  // namespace dualmap::upstream
