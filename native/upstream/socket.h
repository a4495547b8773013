// One client socket on a libuv loop, TCP or Unix: connects, writes a request in one vectored call,
// reads, closes. Knows nothing of HTTP. Every method and hook runs on the loop's thread; after
// close() no hook but onClosed is called, and nothing reads or writes the caller's memory any more.
#pragma once

#include <cstring>
#include <string_view>

#include <sys/socket.h>
#include <uv.h>

namespace dualmap::upstream {

// A socket address of any family (IPv4, IPv6, Unix); unused bytes are zero.
struct Address {
  sockaddr_storage storage{};

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] bool operator==(const Address& other) const {
    return std::memcmp(&storage, &other.storage, sizeof storage) == 0;
  }
};

class Socket {
 public:
  Socket() = default;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // 0, and onConnected comes; or a uv error at once.
  [[nodiscard]] int connect(uv_loop_t* loop, const Address& address);
  // Sends both pieces, which must live until isWriting() is false or close() was called. 0 or a uv
  // error; what the kernel does not take at once is sent later, and onWriteFailed tells if it
  // cannot.
  [[nodiscard]] int write(std::string_view head, std::string_view body);
  [[nodiscard]] bool isWriting() const { return isWriting_; }
  void startReading();
  void stopReading();
  // Whether this socket keeps its loop alive.
  void hold(bool isHeld);
  // Closes the file descriptor now. Idempotent. onClosed follows, at once if nothing was ever
  // opened.
  void close();

 protected:
  virtual ~Socket() = default;
  virtual void onConnected(int status) = 0;
  virtual uv_buf_t onReadBuffer() = 0;
  // A positive count, or a uv error (UV_EOF included).
  virtual void onRead(ssize_t count, const char* bytes) = 0;
  virtual void onWriteFailed(int status) = 0;
  // The last call: the object may be deleted.
  virtual void onClosed() = 0;

 private:
  uv_stream_t* stream() { return &handle_.stream; }

  union {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } handle_{};
  uv_connect_t connectRequest_{};
  uv_write_t writeRequest_{};
  bool isOpen_ = false;
  bool isClosing_ = false;
  bool isWriting_ = false;
};

}  // namespace dualmap::upstream
