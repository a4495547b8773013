// What a response parser made of some bytes, as text: shared by the native tests and the fuzz
// target, which both hold it to its law (the same transcript however the bytes are cut).
#pragma once

#include <string>
#include <string_view>

#include "../upstream/response_parser.h"

namespace dualmap::upstream {

class Transcript final : public ResponseSink {
 public:
  void onHead(const ResponseHead& head) override {
    text_ += "head " + std::to_string(head.status) + " " + std::to_string(head.bodyBytes) + " [" +
             std::string(head.fields) + "]\n";
  }
  void onData(const char* bytes, size_t count) override {
    sawEmptyData_ |= count == 0;
    body_.append(bytes, count);
  }

  [[nodiscard]] std::string text() const { return text_ + "body " + body_; }
  [[nodiscard]] bool sawEmptyData() const { return sawEmptyData_; }

 private:
  std::string text_;
  std::string body_;
  bool sawEmptyData_ = false;
};

inline const char* outcomeName(ResponseParser::Outcome outcome, const ResponseParser& parser) {
  switch (outcome) {
    case ResponseParser::Outcome::done:
      return parser.keepAlive() ? "done, kept" : "done, closed";
    case ResponseParser::Outcome::garbage:
      return "garbage";
    case ResponseParser::Outcome::headTooLarge:
      return "head too large";
    case ResponseParser::Outcome::more:
      return parser.completeAtEnd() ? "complete at end" : "cut off";
  }
  return "";
}

// Feeds the bytes in pieces; `nextPiece(bytes left)` returns the size of the next one, at least 1.
template <class NextPiece>
std::string transcribe(std::string_view bytes, bool isHeadRequest, ParserLimits limits,
                       NextPiece nextPiece) {
  ResponseParser parser(limits);
  parser.begin(isHeadRequest);
  Transcript transcript;
  ResponseParser::Outcome outcome = ResponseParser::Outcome::more;
  size_t at = 0;
  while (outcome == ResponseParser::Outcome::more && at < bytes.size()) {
    // A copy of its own, so that a read past the piece is one past an allocation (ASan).
    const std::string piece(bytes.substr(at, nextPiece(bytes.size() - at)));
    size_t consumed = 0;
    outcome = parser.feed(piece.data(), piece.size(), transcript, &consumed);
    if (consumed > piece.size() || transcript.sawEmptyData()) return "broken";
    at += consumed;
  }
  std::string text = transcript.text() + "\n" + outcomeName(outcome, parser);
  if (outcome == ResponseParser::Outcome::done) {
    text += ", left " + std::to_string(bytes.size() - at);
  }
  return text;
}

}  // namespace dualmap::upstream
