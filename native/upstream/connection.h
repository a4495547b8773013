// One connection to an instance and the call it carries, if any. Its methods only pass events on to
// the client, which owns every decision. Lives until its socket has closed; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "intrusive_list.h"
#include "response_parser.h"
#include "socket.h"

namespace dualmap::upstream {

class Client;
class Connection;
class Origin;

// A request in flight. Its number is reused only after JavaScript has seen its last event.
struct Call {
  int32_t number = 0;
  bool isActive = false;
  bool isHeadRequest = false;
  bool isPaused = false;
  bool sawBody = false;
  Origin* origin = nullptr;
  // Null while it waits for one.
  Connection* connection = nullptr;
  std::string head;
  // Borrowed from JavaScript until the last event or cancel.
  std::string_view body;
  ListHook<Call> waitingHook;
};

class Connection final : public Socket, public ResponseSink {
 public:
  Connection(Client& client, Origin& itsOrigin, ParserLimits limits)
      : origin(itsOrigin), parser(limits), client_(client) {}

  Origin& origin;
  Call* call = nullptr;
  ResponseParser parser;
  Address address;
  size_t attempt = 0;
  bool isConnected = false;
  bool isReused = false;
  // Of the present call.
  bool sawByte = false;
  uint64_t deadlineMs = 0;
  ListHook<Connection> allHook;
  ListHook<Connection> poolHook;
  ListHook<Connection> deadlineHook;

 private:
  void onConnected(int status) override;
  uv_buf_t onReadBuffer() override;
  void onRead(ssize_t count, const char* bytes) override;
  void onWriteFailed(int status) override;
  void onClosed() override;
  void onHead(const ResponseHead& head) override;
  void onData(const char* bytes, size_t count) override;

  Client& client_;
};

}  // namespace dualmap::upstream
