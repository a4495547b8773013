// HTTP/1.1 response parser: owns the framing of one connection's answers, nothing else.
//
// Called by the thread that owns the connection. It never reads or writes a socket, never keeps a
// pointer into the bytes it was fed, and never repairs what it does not understand: whatever could
// make us and the instance disagree on where an answer ends is a fault (RFC 9112, sections 6, 7,
// 11).
//
// Law: however the bytes are cut into pieces, the head, the concatenated body bytes, the outcome
// and (of a complete answer) the number of bytes consumed are the same. Every fault is therefore
// raised at a byte position (a complete line, or one that has outgrown its limit), never at a
// piece's end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dualmap::upstream {

struct ParserLimits {
  // Bytes of all heads of one answer (1xx included), and again of its trailers.
  size_t headBytesMax = 65536;
  uint32_t fieldCountMax = 256;
};

struct ResponseHead {
  int status = 0;
  // The announced content-length, -1 if there is none. It may be that of a body that is not sent
  // (HEAD, 304).
  int64_t bodyBytes = -1;
  // "name\nvalue\nname\nvalue", names in lower case, in the order received, without hop-by-hop
  // fields and content-length. Owned by the parser, dies when onHead returns.
  std::string_view fields;
};

class ResponseSink {
 public:
  virtual void onHead(const ResponseHead& head) = 0;
  // A slice of the bytes given to feed().
  virtual void onData(const char* bytes, size_t count) = 0;

 protected:
  ~ResponseSink() = default;
};

class ResponseParser {
 public:
  enum class Outcome : uint8_t { more, done, garbage, headTooLarge };

  explicit ResponseParser(ParserLimits limits) : limits_(limits) {}

  // Makes ready for the answer to a new request on the same connection.
  void begin(bool isHeadRequest);

  // Parses up to the end of the answer and no further; `consumed` says how far. After an outcome
  // other than `more` only begin() may be called.
  [[nodiscard]] Outcome feed(const char* bytes, size_t count, ResponseSink& sink, size_t* consumed);

  // The connection ended: true if that completes the answer.
  [[nodiscard]] bool completeAtEnd() const { return state_ == State::closeBody; }

  // After `done`: whether the connection may carry another request.
  [[nodiscard]] bool keepAlive() const { return keepAlive_; }

 private:
  enum class State : uint8_t {
    statusLine,
    fieldLine,
    lengthBody,
    closeBody,
    chunkSizeLine,
    chunkData,
    chunkEndLine,
    trailerLine,
  };
  enum class LineOutcome : uint8_t { line, incomplete, bad, tooLong };

  LineOutcome takeLine(const char** at, const char* end, size_t lineBytesMax);
  Outcome step(const char** at, const char* end, ResponseSink& sink);
  Outcome stepHead(const char** at, const char* end, ResponseSink& sink);
  Outcome stepChunkLine(const char** at, const char* end);
  Outcome stepBody(const char** at, const char* end, ResponseSink& sink);
  void beginHead();
  [[nodiscard]] bool startsLikeHttp(const char* at, const char* end) const;
  [[nodiscard]] bool readStatusLine();
  [[nodiscard]] Outcome readFieldLine();
  [[nodiscard]] bool noteField(std::string_view name, std::string_view value, bool* kept);
  void noteConnection(std::string_view value);
  [[nodiscard]] bool readChunkSize();
  [[nodiscard]] Outcome endHead(ResponseSink& sink);
  void dropNamedFields();

  const ParserLimits limits_;
  State state_ = State::statusLine;
  bool isHeadRequest_ = false;
  bool isHttp11_ = false;
  bool isChunked_ = false;
  bool closeAsked_ = false;
  bool keepAliveAsked_ = false;
  bool keepAlive_ = false;
  int status_ = 0;
  uint32_t fieldCount_ = 0;
  size_t headBytes_ = 0;
  int64_t contentLength_ = -1;
  uint64_t bodyLeft_ = 0;
  std::string_view line_;   // the line just taken, without CRLF; dies with the next takeLine
  std::string carry_;       // the beginning of a line that was cut
  bool carryTaken_ = false; // line_ lies in carry_, which is cleared at the next takeLine
  std::string fields_;      // ResponseHead::fields in the making
  std::string namedByConnection_;  // "\nname\nname\n": fields that Connection declares hop-by-hop
};

}  // namespace dualmap::upstream
