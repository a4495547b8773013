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

// ---- connections

void Client::open(Call& call, size_t attempt) {
  Origin& origin = *call.origin;
  auto* const connection = new Connection(*this, origin, options_.parserLimits);
  openHandles_++;
  origin.connectionCount++;
  connections_.pushBack(*connection);
  connection->attempt = attempt;
  connection->call = &call;
  call.connection = connection;
  deadlines_.set(*connection, Wait::connect);
  if (!origin.isStale()) {
    connect(*connection);
    return;
  }
  origin.unresolved.pushBack(*connection);
  const int status = origin.resolve();
  if (status < 0) fail(*connection, FaultCode::connectFailed, status);
}

void Client::connect(Connection& connection) {
  connection.address = connection.origin.address(connection.attempt);
  const int status = connection.Socket::connect(loop_, connection.address);
  if (status < 0) connectFailed(connection, status);
}

void Client::connectFailed(Connection& connection, int status) {
  Origin& origin = connection.origin;
  const size_t next = connection.attempt + 1;
  if (next >= origin.addressCount()) {
    origin.avoid(connection.address);
    fail(connection, FaultCode::connectFailed, status);
    return;
  }
  Call& call = detach(connection);
  // The new one first: dropping the old one lets a waiting call in, which must not take its place.
  open(call, next);
  drop(connection);
}

void Client::onConnected(Connection& connection, int status) {
  if (status < 0) {
    connectFailed(connection, status);
    return;
  }
  connection.isConnected = true;
  connection.origin.prefer(connection.address);
  carry(connection, *connection.call);
}

// Sends the call's request on a connected connection.
void Client::carry(Connection& connection, Call& call) {
  connection.call = &call;
  call.connection = &connection;
  connection.sawByte = false;
  connection.parser.begin(call.isHeadRequest);
  if (call.isPaused) {
    connection.stopReading();
    Deadlines::clear(connection);
  } else {
    connection.startReading();
    deadlines_.set(connection, Wait::firstByte);
  }
  const int status = connection.write(call.head, call.body);
  if (status < 0) onWriteFailed(connection, status);
}

void Client::onWriteFailed(Connection& connection, int status) {
  // The instance closed, perhaps after an answer that did not wait for the whole request: what it
  // sent and its end are still to be read.
  if (status == UV_EPIPE || status == UV_ECONNRESET) return;
  onBroken(connection, status);
}

void Client::onRead(Connection& connection, ssize_t count, const char* bytes) {
  if (count < 0) {
    const bool isComplete =
        count == UV_EOF && connection.call != nullptr && connection.parser.completeAtEnd();
    if (isComplete) {
      finish(connection, false);
    } else {
      onBroken(connection, static_cast<int>(count));
    }
  } else if (connection.call == nullptr) {
    // Nothing was asked: whatever this is, it would be taken for the next answer.
    drop(connection);
  } else {
    readBytes(connection, bytes, static_cast<size_t>(count));
  }
  if (!outbox_.hasRoomForRead()) deliver();
}

void Client::readBytes(Connection& connection, const char* bytes, size_t count) {
  connection.sawByte = true;
  size_t consumed = 0;
  switch (connection.parser.feed(bytes, count, connection, &consumed)) {
    case ResponseParser::Outcome::more:
      return;
    case ResponseParser::Outcome::done:
      finish(connection, connection.parser.keepAlive() && consumed == count);
      return;
    case ResponseParser::Outcome::garbage:
      fail(connection, FaultCode::garbage, 0);
      return;
    case ResponseParser::Outcome::headTooLarge:
      fail(connection, FaultCode::headersTooLarge, 0);
      return;
  }
}

void Client::onData(Connection& connection, const char* bytes, size_t count) {
  Call& call = *connection.call;
  call.sawBody = true;
  deadlines_.set(connection, Wait::betweenBytes);
  outbox_.data(call.number, bytes, count);
}

// The answer is complete.
void Client::finish(Connection& connection, bool isReusable) {
  Call& call = detach(connection);
  call.isActive = false;
  outbox_.end(call.number);
  // An answer that overtook its request leaves the rest of the request in the way of the next.
  if (isReusable && !connection.isWriting()) {
    pool(connection);
  } else {
    drop(connection);
  }
}

void Client::pool(Connection& connection) {
  Origin& origin = connection.origin;
  if (origin.isName() && !origin.has(connection.address)) {
    drop(connection);
  } else if (!origin.waiting.empty()) {
    connection.isReused = true;
    carry(connection, origin.waiting.popFront());
  } else {
    origin.idle.pushFront(connection);
    connection.hold(false);
    deadlines_.set(connection, Wait::pooled);
  }
}

// The connection failed on its own; a kept one that the instance had closed is replaced once.
void Client::onBroken(Connection& connection, int status) {
  if (connection.call == nullptr) {
    drop(connection);
    return;
  }
  if (!connection.isReused || connection.sawByte) {
    fail(connection, FaultCode::reset, status);
    return;
  }
  // On a new connection, not on another one that may be as dead; before the room is given to
  // others.
  open(detach(connection), 0);
  drop(connection);
}

Call& Client::detach(Connection& connection) {
  Call& call = *connection.call;
  connection.call = nullptr;
  call.connection = nullptr;
  return call;
}

void Client::drop(Connection& connection) {
  require(connection.call == nullptr, "a dropped connection carries no call");
  IntrusiveList<Connection, &Connection::poolHook>::leave(connection);
  Deadlines::clear(connection);
  Origin& origin = connection.origin;
  origin.connectionCount--;
  connection.close();
  serveWaiting(origin);
}

void Client::serveWaiting(Origin& origin) {
  // A connection that fails at once comes back here: the loop below is already serving the rest.
  if (origin.isServingWaiting) return;
  origin.isServingWaiting = true;
  while (!origin.waiting.empty() && !isAtLimit(origin)) open(origin.waiting.popFront(), 0);
  origin.isServingWaiting = false;
}

void Client::fail(Connection& connection, FaultCode code, int status) {
  Call& call = detach(connection);
  call.isActive = false;
  outbox_.fault(call.number, code, status);
  drop(connection);
}

void Client::onResolved(Origin& origin, int status) {
  if (isClosing_) {
    onHandleClosed();
    return;
  }
  while (!origin.unresolved.empty()) {
    Connection& connection = origin.unresolved.popFront();
    if (origin.addressCount() == 0) {
      fail(connection, FaultCode::connectFailed, status);
    } else {
      connect(connection);
    }
  }
  // An instance that has moved is not talked to at its old address any more.
  for (Connection* at = origin.idle.front(); at != nullptr;) {
    Connection& connection = *at;
    at = origin.idle.after(connection);
    if (!origin.has(connection.address)) drop(connection);
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
  if (!outbox_.isEmpty()) deliver();
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
    uv_close(handle, [](uv_handle_t* closed) {
      static_cast<Client*>(closed->data)->onHandleClosed();
    });
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
