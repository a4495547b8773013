// The HTTP/1.1 client of one thread: keep-alive pools, calls, time limits, and the batch of events
// that goes to JavaScript once a loop turn. The contract is src/dispatch/upstream.ts.
//
// Everything runs on the thread of the loop it was made for. It knows nothing of N-API. It throws
// nothing and copies no body: a request body is borrowed until the call's last event, an answer's
// bytes are read straight into the arena that JavaScript sees.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <uv.h>

#include "connection.h"
#include "deadlines.h"
#include "event_batch.h"
#include "intrusive_list.h"
#include "origin.h"
#include "outbox.h"

namespace dualmap::upstream {

struct ClientOptions {
  // Milliseconds; Deadlines::off for none.
  uint64_t connectTimeoutMs = 5'000;
  uint64_t firstByteTimeoutMs = Deadlines::off;
  uint64_t idleTimeoutMs = Deadlines::off;
  // A connection that nobody used for so long is closed.
  uint64_t pooledMs = 60'000;
  // A host name is looked up again after so long.
  uint64_t addressTtlMs = 30'000;
  uint32_t connectionsPerInstanceMax = 4'096;
  ParserLimits parserLimits;
};

class ClientOwner {
 public:
  // Hands the batch to JavaScript, which may call the client meanwhile.
  virtual void deliver(uint32_t eventCount) = 0;
  // Every handle is closed: nothing of the client is used by the loop any more.
  virtual void onClosed() = 0;

 protected:
  ~ClientOwner() = default;
};

struct Request {
  uint32_t origin = 0;
  bool isHeadRequest = false;
  // Checked by isRequestHead. Swapped with an old one, so that its memory is used again.
  std::string* head = nullptr;
  std::string_view body;
};

class Client final : public OriginOwner {
 public:
  Client(uv_loop_t* loop, const ClientOptions& options, EventBatch batch, ClientOwner& owner);

  // The number of a new origin, or -1 (see Origin::init). Origins are kept for the client's life.
  [[nodiscard]] int32_t addOrigin(const std::string& host, int port);

  // The number of the call. Its events come later, never from within; so do its faults.
  [[nodiscard]] int32_t start(const Request& request);
  void pause(int32_t call);
  void resume(int32_t call);
  // No event of this call follows, but those that are in the batch already.
  void cancel(int32_t call);
  // Cancels everything and closes every handle; onClosed follows. Idempotent.
  void close();

  // Of the batch being delivered: field lists that JavaScript has not seen, in the order of their
  // heads.
  [[nodiscard]] const std::vector<std::string>& newFields() const { return outbox_.newFields(); }

 private:
  friend class Connection;

  // From connections.
  void onConnected(Connection& connection, int status);
  void onRead(Connection& connection, ssize_t count, const char* bytes);
  void onWriteFailed(Connection& connection, int status);
  void onBroken(Connection& connection, int status);
  void onData(Connection& connection, const char* bytes, size_t count);
  void onConnectionFreed(Connection& connection);
  // From origins, timers and the loop.
  void onResolved(Origin& origin, int status) override;
  void onExpired(Connection& connection, Wait wait);
  void onTurnEnd();
  void onHandleClosed();

  [[nodiscard]] bool isAtLimit(const Origin& origin) const {
    return origin.connectionCount >= options_.connectionsPerInstanceMax;
  }
  Call& newCall();
  void place(Call& call);
  void open(Call& call, size_t attempt);
  void connect(Connection& connection);
  void connectFailed(Connection& connection, int status);
  void carry(Connection& connection, Call& call);
  void sendRequests();
  [[nodiscard]] bool isUnsent(const Connection& connection) const {
    return connection.poolHook.list == &unsent_;
  }
  void readBytes(Connection& connection, const char* bytes, size_t count);
  void finish(Connection& connection, bool isReusable);
  void pool(Connection& connection);
  void drop(Connection& connection);
  void serveWaiting(Origin& origin);
  Call& detach(Connection& connection);
  void fail(Connection& connection, FaultCode code, int status);
  void deliver();

  uv_loop_t* const loop_;
  const ClientOptions options_;
  ClientOwner& owner_;
  // Runs after each poll: sends and delivers.
  uv_check_t check_{};
  uv_idle_t wake_{};
  uv_timer_t timer_{};
  Outbox outbox_;
  Deadlines deadlines_;
  std::vector<std::unique_ptr<Origin>> origins_;
  std::vector<std::unique_ptr<Call>> calls_;
  IntrusiveList<Connection, &Connection::allHook> connections_;
  // They carry a call whose request waits for the end of the turn.
  IntrusiveList<Connection, &Connection::poolHook> unsent_;
  uint32_t openHandles_ = 0;
  bool isExpiryDue_ = false;
  bool isClosing_ = false;
};

}  // namespace dualmap::upstream
