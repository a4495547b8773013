// The life of the client's connections: opened for a call, asked, read, kept, replaced, dropped.
#include "client.h"
#include "invariant.h"

namespace dualmap::upstream {

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

// Gives a connected connection the call's request, to be sent at the end of the turn.
void Client::carry(Connection& connection, Call& call) {
  connection.call = &call;
  call.connection = &connection;
  connection.sawByte = false;
  connection.parser.begin(call.isHeadRequest);
  Deadlines::clear(connection);
  if (call.isPaused) {
    connection.stopReading();
  } else {
    connection.startReading();
  }
  if (unsent_.empty()) uv_idle_start(&wake_, [](uv_idle_t*) {});
  unsent_.pushBack(connection);
}

// Writes the requests of this turn one right after the other: an instance that slept is woken once,
// not once for each.
void Client::sendRequests() {
  while (!unsent_.empty()) {
    Connection& connection = unsent_.popFront();
    if (!connection.call->isPaused) deadlines_.set(connection, Wait::firstByte);
    const int status = connection.write(connection.call->head, connection.call->body);
    if (status < 0) onWriteFailed(connection, status);
  }
}

void Client::onWriteFailed(Connection& connection, int status) {
  // The instance closed, perhaps after an answer that did not wait for the whole request: what it
  // sent and its end are still to be read.
  if (status == UV_EPIPE || status == UV_ECONNRESET) return;
  onBroken(connection, status);
}

void Client::onRead(Connection& connection, ssize_t count, const char* bytes) {
  if (isUnsent(connection)) {
    // Not asked yet: it ended, or these bytes would be taken for the answer.
    onBroken(connection, count < 0 ? static_cast<int>(count) : UV_EPROTO);
  } else if (count < 0) {
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

}  // namespace dualmap::upstream
