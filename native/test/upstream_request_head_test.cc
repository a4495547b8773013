// The last check before a request head is sent: one request line and so many fields, nothing
// forged.

#include <string>

#include "test.h"
#include "upstream/request_head.h"

namespace dualmap::test {
namespace {

using upstream::isRequestHead;

const std::string line = "POST /v1/x?y=%20 HTTP/1.1\r\n";

TEST(aPlainHeadPasses) {
  CHECK(isRequestHead(line + "\r\n", 0, true));
  CHECK(isRequestHead(line + "host: a\r\nx-empty: \r\n\r\n", 2, true));
  CHECK(isRequestHead(line + "x: caf\xe9\ty\r\n\r\n", 1, false));
}

TEST(everythingElseDoesNot) {
  const std::string heads[] = {
      "",
      "\r\n",
      line,
      line + "\r",
      line + "host: a\r\n",
      line + "host: a\r\nforged: b\r\n\r\n",
      line + "host: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
      line + "host: a\n\r\n",
      line + "host: a\nforged: b\r\n\r\n",
      line + "host: a\rforged: b\r\n\r\n",
      line + std::string("host: a\0b\r\n\r\n", 13),
      line + "host: caf\xe9\r\n\r\n",
      line + "host\r\n\r\n",
      line + ": a\r\n\r\n",
      line + "host : a\r\n\r\n",
      line + " folded: a\r\n\r\n",
      line + "\r\n\r\n",
      "POST /a b HTTP/1.1\r\nhost: a\r\n\r\n",
      "POST  HTTP/1.1\r\nhost: a\r\n\r\n",
      "POST \r\nhost: a\r\n\r\n",
      " / HTTP/1.1\r\nhost: a\r\n\r\n",
      "PO/ST / HTTP/1.1\r\nhost: a\r\n\r\n",
  };
  for (const std::string& head : heads) CHECK_THAT(!isRequestHead(head, 1, true), head);
}

}  // namespace
}  // namespace dualmap::test
