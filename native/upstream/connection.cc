#include "connection.h"

#include "client.h"

namespace dualmap::upstream {

void Connection::onConnected(int status) { client_.onConnected(*this, status); }
uv_buf_t Connection::onReadBuffer() { return client_.outbox_.readBuffer(); }
void Connection::onRead(ssize_t count, const char* bytes) { client_.onRead(*this, count, bytes); }
void Connection::onWriteFailed(int status) { client_.onWriteFailed(*this, status); }
void Connection::onClosed() { client_.onConnectionFreed(*this); }
void Connection::onHead(const ResponseHead& head) {
  client_.outbox_.head(call->number, head, !isWriting());
}
void Connection::onData(const char* bytes, size_t count) { client_.onData(*this, bytes, count); }

}  // namespace dualmap::upstream
