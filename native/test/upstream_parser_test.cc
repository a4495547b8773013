// The response parser: what it accepts, what it refuses, and its law: however the bytes are cut,
// the transcript is the same.

#include <string>
#include <vector>

#include "test.h"
#include "upstream_transcript.h"

namespace dualmap::test {
namespace {

using upstream::ParserLimits;
using upstream::transcribe;

std::string whole(const std::string& bytes, bool isHeadRequest, ParserLimits limits) {
  return transcribe(bytes, isHeadRequest, limits, [](size_t left) { return left; });
}

// The bytes, cut in two at every place and byte by byte, must all give `want`.
void expect(const char* what, const std::string& bytes, const std::string& want,
            bool isHeadRequest = false, ParserLimits limits = {}) {
  const std::string got = whole(bytes, isHeadRequest, limits);
  CHECK_THAT(got == want, std::string(what) + ": " + got);
  const auto byteByByte = [](size_t) { return size_t{1}; };
  std::vector<std::string> cuts{transcribe(bytes, isHeadRequest, limits, byteByByte)};
  for (size_t cut = 1; cut < bytes.size(); cut++) {
    bool isFirst = true;
    cuts.push_back(transcribe(bytes, isHeadRequest, limits, [&](size_t left) {
      const size_t piece = isFirst ? cut : left;
      isFirst = false;
      return piece;
    }));
  }
  for (const std::string& text : cuts) CHECK_THAT(text == got, std::string(what) + ": " + text);
}

void expectGarbage(const char* what, const std::string& bytes) {
  const std::string got = whole(bytes, false, {});
  expect(what, bytes, got);
  CHECK_THAT(got.ends_with("\ngarbage"), std::string(what) + ": " + got);
}

const std::string ok = "HTTP/1.1 200 OK\r\n";

std::string chunked(const std::string& body) {
  return ok + "Transfer-Encoding: chunked\r\n\r\n" + body;
}

TEST(framingsEndWhereTheySay) {
  expect("content-length", ok + "Content-Length: 5\r\nX-A: b\r\n\r\nhello",
         "head 200 5 [x-a\nb]\nbody hello\ndone, kept, left 0");
  expect("bytes after the answer are left alone", ok + "Content-Length: 2\r\n\r\nhiHTTP/1.1 200",
         "head 200 2 []\nbody hi\ndone, kept, left 12");
  expect("empty body", ok + "content-length: 0\r\n\r\n",
         "head 200 0 []\nbody \ndone, kept, left 0");
  expect("chunked with extensions and trailers",
         chunked("5;a=b\r\nhello\r\n006\r\n world\r\n0;last\r\nX-T: 1\r\nY: 2\r\n\r\n"),
         "head 200 -1 []\nbody hello world\ndone, kept, left 0");
  expect("trailers do not frame", chunked("0\r\nConnection: close\r\n\r\n"),
         "head 200 -1 []\nbody \ndone, kept, left 0");
  expect("upper-case hex", chunked("A\r\n0123456789\r\n0\r\n\r\n"),
         "head 200 -1 []\nbody 0123456789\ndone, kept, left 0");
  expect("close-delimited", ok + "\r\nbody\r\n", "head 200 -1 []\nbody body\r\n\ncomplete at end");
  expect("content-length cut off", ok + "Content-Length: 5\r\n\r\nhell",
         "head 200 5 []\nbody hell\ncut off");
  expect("chunked cut off", chunked("5\r\nhello\r\n"), "head 200 -1 []\nbody hello\ncut off");
  expect("no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
         "head 200 0 []\nbody \ndone, kept, left 0");
  expect("interim heads are swallowed",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\nConnection: close\r\n\r\n" +
             ok + "Content-Length: 1\r\n\r\nx",
         "head 200 1 []\nbody x\ndone, kept, left 0");
}

TEST(someAnswersHaveNoBody) {
  expect("204", "HTTP/1.1 204 No\r\n\r\nleft", "head 204 -1 []\nbody \ndone, kept, left 4");
  expect("204 with a length it may not have", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
         "head 204 3 []\nbody \ndone, closed, left 3");
  expect("304", "HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\nleft",
         "head 304 9 []\nbody \ndone, kept, left 4");
  expect("answer to HEAD", ok + "Content-Length: 9\r\n\r\nleft",
         "head 200 9 []\nbody \ndone, kept, left 4", true);
  expect("chunked answer to HEAD", chunked("left"), "head 200 -1 []\nbody \ndone, kept, left 4",
         true);
}

TEST(connectionsAreKeptWhenAllowed) {
  expect("Connection: close", ok + "Connection: CLOSE\r\nContent-Length: 0\r\n\r\n",
         "head 200 0 []\nbody \ndone, closed, left 0");
  expect("1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
         "head 200 0 []\nbody \ndone, closed, left 0");
  expect("1.0 kept alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
         "head 200 0 []\nbody \ndone, kept, left 0");
}

TEST(fieldsOfThisHopAreDropped) {
  expect("hop-by-hop fields are dropped, order and repeats kept",
         ok + "Set-Cookie: a\r\nKeep-Alive: timeout=5\r\nTE: x\r\nUpgrade: h2c\r\n"
              "Set-Cookie: b\r\nContent-Length: 0\r\nX-Empty:\r\nX-Last: \t v w \r\n\r\n",
         "head 200 0 [set-cookie\na\nset-cookie\nb\nx-empty\n\nx-last\nv w]\nbody \n"
         "done, kept, left 0");
  expect("fields that Connection names are dropped",
         ok + "X-One: 1\r\nConnection: x-one, , X-Two\r\nX-Two: 2\r\nX-Three: 3\r\n"
              "Content-Length: 0\r\n\r\n",
         "head 200 0 [x-three\n3]\nbody \ndone, kept, left 0");
  expect("latin1 values", ok + "X: \xe4\xff\r\nContent-Length: 0\r\n\r\n",
         "head 200 0 [x\n\xe4\xff]\nbody \ndone, kept, left 0");
}

const std::string length = "Content-Length: 5\r\n";

struct Shape {
  const char* what;
  std::string bytes;
};

const Shape smugglingShapes[] = {
    {"two lengths", ok + length + "Content-Length: 6\r\n\r\nhello"},
    {"the same length twice", ok + length + length + "\r\nhello"},
    {"a list of lengths", ok + "Content-Length: 5, 5\r\n\r\nhello"},
    {"length and chunked", ok + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"chunked and length", ok + "Transfer-Encoding: chunked\r\n" + length + "\r\n0\r\n\r\n"},
    {"signed length", ok + "Content-Length: +5\r\n\r\nhello"},
    {"negative length", ok + "Content-Length: -5\r\n\r\nhello"},
    {"hex length", ok + "Content-Length: 0x5\r\n\r\nhello"},
    {"empty length", ok + "Content-Length:\r\n\r\nhello"},
    {"length beyond 2^53", ok + "Content-Length: 9007199254740992\r\n\r\n"},
    {"length beyond 2^64", ok + "Content-Length: 18446744073709551621\r\n\r\nhello"},
    {"unknown coding", ok + "Transfer-Encoding: gzip\r\n\r\n"},
    {"chunked not last", ok + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"},
    {"gzip under chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {"chunked twice", chunked("").substr(0, 45) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"quoted coding", ok + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
    {"obs-fold", ok + "X-A: b\r\n c\r\n\r\n"},
    {"folded first field", ok + " X-A: b\r\n\r\n"},
    {"bare LF after the status", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"},
    {"bare LF after a field", ok + "Content-Length: 0\n\r\n"},
    {"bare LF ends the head", ok + "Content-Length: 0\r\n\n"},
    {"bare CR in a value", ok + "X-A: b\rContent-Length: 0\r\n\r\n"},
    {"two CRs", ok + "X-A: b\r\r\n\r\n"},
    {"NUL in a value", ok + std::string("X-A: b\0c\r\n\r\n", 12)},
    {"NUL in a name", ok + std::string("X\0A: b\r\n\r\n", 10)},
    {"space before the colon", ok + "Content-Length : 5\r\n\r\nhello"},
    {"empty name", ok + ": 5\r\n\r\nhello"},
    {"no colon", ok + "nonsense\r\n\r\n"},
    {"chunk size empty", chunked("\r\nhello\r\n0\r\n\r\n")},
    {"chunk size empty, like the end", chunked("\r\n\r\n")},
    {"chunk extension without a size", chunked(";x\r\n\r\n")},
    {"chunk size signed", chunked("+5\r\nhello\r\n0\r\n\r\n")},
    {"chunk size 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n")},
    {"chunk size with a space", chunked("5 \r\nhello\r\n0\r\n\r\n")},
    {"chunk size after a space", chunked(" 5\r\nhello\r\n0\r\n\r\n")},
    {"chunk size beyond 2^64", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n")},
    {"chunk size beyond 2^53", chunked("20000000000000\r\n")},
    {"chunk size ends in LF", chunked("5\nhello\r\n0\r\n\r\n")},
    {"CR in a chunk extension", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n")},
    {"chunk longer than said", chunked("5\r\nhelloo\r\n0\r\n\r\n")},
    {"chunk ends in LF", chunked("5\r\nhello\n0\r\n\r\n")},
    {"length in a trailer", chunked("0\r\nContent-Length: 0\r\n\r\n")},
    {"coding in a trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n")},
    {"trailer folded", chunked("0\r\nX: y\r\n z\r\n\r\n")},
    {"trailer ends in LF", chunked("0\r\nX: y\n\r\n")},
    {"endless chunk extension", chunked("5;" + std::string(5000, 'x'))},
    {"101", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"},
    {"interim head with a length", "HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\n"},
    {"status too low", "HTTP/1.1 099 x\r\n\r\n"},
    {"status too high", "HTTP/1.1 600 x\r\n\r\n"},
    {"status of four digits", "HTTP/1.1 2000 x\r\n\r\n"},
    {"status no number", "HTTP/1.1 2x0 x\r\n\r\n"},
    {"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"},
    {"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"},
    {"NUL in the reason", std::string("HTTP/1.1 200 O\0K\r\n\r\n", 21)},
    {"two spaces", "HTTP/1.1  200 OK\r\n\r\n"},
    {"lower-case http", "http/1.1 200 OK\r\n\r\n"},
    {"empty line first", "\r\n" + ok + "\r\n"},
    {"another protocol, no line end", "SSH-2.0-x"},
    {"TLS", std::string("\x15\x03\x01\x00\x02", 5)},
};

TEST(whatCouldShiftABoundaryIsGarbage) {
  for (const Shape& shape : smugglingShapes) expectGarbage(shape.what, shape.bytes);
}

TEST(limitsHold) {
  const ParserLimits small{.headBytesMax = 60, .fieldCountMax = 2};
  // Three bytes are left for the head after this interim one: what is wrong lies beyond them.
  const std::string almostFull = "HTTP/1.1 100 " + std::string(40, 'c') + "\r\n\r\n";
  expect("not HTTP, past the limit", almostFull + "HTTPX/1.1 200 OK\r\n\r\n",
         "body \nhead too large", false, small);
  const std::string tooLarge = "body \nhead too large";
  expect("as large as allowed", ok + "X: " + std::string(36, 'x') + "\r\n\r\n",
         "head 200 -1 [x\n" + std::string(36, 'x') + "]\nbody \ncomplete at end", false, small);
  expect("one byte too large", ok + "X: " + std::string(37, 'x') + "\r\n\r\n", tooLarge, false,
         small);
  expect("no line end", ok + std::string(100, 'x'), tooLarge, false, small);
  expect("endless reason", "HTTP/1.1 200 " + std::string(100, 'x'), tooLarge, false, small);
  expect("too many fields", ok + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", tooLarge, false, small);
  const std::string interim = "HTTP/1.1 100 Go\r\n\r\n";
  expect("endless interim heads", interim + interim + interim + interim + interim, tooLarge, false,
         small);
  const std::string many =
      "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: 1\r\nB: 2\r\n";
  expect("trailers have a limit of their own", many + "\r\n",
         "head 200 -1 []\nbody x\ndone, kept, left 0", false, small);
  expect("too many trailers", many + "C: 3\r\n\r\n", "head 200 -1 []\nbody x\nhead too large",
         false, small);
}

}  // namespace
}  // namespace dualmap::test
