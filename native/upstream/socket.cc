#include "socket.h"

#include <sys/un.h>

namespace dualmap::upstream {

namespace {

// An instance whose machine dies sends no FIN; only probes notice while an answer is awaited.
constexpr unsigned tcpProbeSeconds = 30;

Socket* socketOf(void* data) { return static_cast<Socket*>(data); }

}  // namespace

int Socket::connect(uv_loop_t* loop, const Address& address) {
  const auto connected = [](uv_connect_t* request, int status) {
    Socket* const self = socketOf(request->handle->data);
    if (!self->isClosing_) self->onConnected(status);
  };
  const bool isUnix = address.storage.ss_family == AF_UNIX;
  const int initialised =
      isUnix ? uv_pipe_init(loop, &handle_.pipe, 0) : uv_tcp_init(loop, &handle_.tcp);
  if (initialised < 0) return initialised;
  isOpen_ = true;
  handle_.any.data = this;
  if (isUnix) {
    uv_pipe_connect(&connectRequest_, &handle_.pipe,
                    reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path, connected);
    return 0;
  }
  uv_tcp_nodelay(&handle_.tcp, 1);
  uv_tcp_keepalive(&handle_.tcp, 1, tcpProbeSeconds);
  return uv_tcp_connect(&connectRequest_, &handle_.tcp, address.get(), connected);
}

int Socket::write(std::string_view head, std::string_view body) {
  uv_buf_t pieces[2] = {uv_buf_init(const_cast<char*>(head.data()), 0),
                        uv_buf_init(const_cast<char*>(body.data()), 0)};
  pieces[0].len = head.size();
  pieces[1].len = body.size();
  const int written = uv_try_write(stream(), pieces, body.empty() ? 1 : 2);
  if (written < 0 && written != UV_EAGAIN) return written;
  size_t taken = written < 0 ? 0 : static_cast<size_t>(written);
  if (taken == head.size() + body.size()) return 0;

  for (uv_buf_t& piece : pieces) {
    const size_t skipped = taken < piece.len ? taken : piece.len;
    piece.base += skipped;
    piece.len -= skipped;
    taken -= skipped;
  }
  isWriting_ = true;
  const bool isHeadSent = pieces[0].len == 0;
  return uv_write(&writeRequest_, stream(), isHeadSent ? &pieces[1] : pieces,
                  isHeadSent || body.empty() ? 1 : 2, [](uv_write_t* request, int status) {
                    Socket* const self = socketOf(request->handle->data);
                    self->isWriting_ = false;
                    if (status < 0 && !self->isClosing_) self->onWriteFailed(status);
                  });
}

void Socket::startReading() {
  uv_read_start(
      stream(),
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
        *buffer = socketOf(handle->data)->onReadBuffer();
      },
      [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
        // 0 is "nothing there after all", not the end.
        if (count != 0) socketOf(stream->data)->onRead(count, buffer->base);
      });
}

void Socket::stopReading() { uv_read_stop(stream()); }

void Socket::hold(bool isHeld) {
  if (isHeld) {
    uv_ref(&handle_.any);
  } else {
    uv_unref(&handle_.any);
  }
}

void Socket::close() {
  if (isClosing_) return;
  isClosing_ = true;
  if (!isOpen_) {
    onClosed();
    return;
  }
  uv_close(&handle_.any, [](uv_handle_t* handle) { socketOf(handle->data)->onClosed(); });
}

}  // namespace dualmap::upstream
