// One instance as the client sees it: its addresses and how fresh they are, its idle connections,
// and the calls that wait for one. Host names are looked up on libuv's thread pool and again when
// their time is over; numeric addresses and Unix sockets never change. One client, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <uv.h>

#include "connection.h"
#include "intrusive_list.h"
#include "socket.h"

namespace dualmap::upstream {

class OriginOwner {
 public:
  // New addresses are there, or (status < 0) the old ones, if any, stay.
  virtual void onResolved(Origin& origin, int status) = 0;

 protected:
  ~OriginOwner() = default;
};

class Origin {
 public:
  static constexpr uint64_t failedTtlMs = 1'000;
  static constexpr size_t addressesMax = 16;

  // `host` without brackets; a path if port is -1. False if the path is too long for a socket
  // address.
  [[nodiscard]] bool init(uv_loop_t* loop, OriginOwner* owner, const std::string& host, int port,
                          uint64_t addressTtlMs);

  // The addresses are unknown or due for another look-up.
  [[nodiscard]] bool isStale() const {
    return isName_ && uv_hrtime() / 1'000'000 >= freshUntilMs_;
  }
  [[nodiscard]] bool isResolving() const { return isResolving_; }
  [[nodiscard]] bool isName() const { return isName_; }
  // Looks the name up unless that is under way. 0, and onResolved follows; or a uv error at once.
  [[nodiscard]] int resolve();
  // Gives up a look-up where that is still possible; it may go on until the resolver returns.
  void cancelResolve();

  [[nodiscard]] size_t addressCount() const { return addresses_.size(); }
  // The attempt-th address to try; the one that last worked comes first.
  [[nodiscard]] const Address& address(size_t attempt) const {
    return addresses_[(preferred_ + attempt) % addresses_.size()];
  }
  [[nodiscard]] bool has(const Address& address) const;
  // Starts at that address from now on.
  void prefer(const Address& address);
  // Starts at the one after that address from now on.
  void avoid(const Address& address);

  // Newest first, so that a shrinking load lets the oldest ones go.
  IntrusiveList<Connection, &Connection::poolHook> idle;
  // Connections that wait for an address.
  IntrusiveList<Connection, &Connection::poolHook> unresolved;
  // Calls that wait for a connection to be given back.
  IntrusiveList<Call, &Call::waitingHook> waiting;
  uint32_t connectionCount = 0;
  bool isServingWaiting = false;

 private:
  void finishResolve(int status, const addrinfo* found);

  uv_loop_t* loop_ = nullptr;
  OriginOwner* owner_ = nullptr;
  std::string host_;
  std::string service_;
  uint64_t addressTtlMs_ = 0;
  bool isName_ = false;
  bool isResolving_ = false;
  uint64_t freshUntilMs_ = 0;
  std::vector<Address> addresses_;
  size_t preferred_ = 0;
  uv_getaddrinfo_t request_{};
};

}  // namespace dualmap::upstream
