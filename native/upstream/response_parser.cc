#include "response_parser.h"

#include <algorithm>
#include <cstring>

#include "bytes.h"

namespace dualmap::upstream {

namespace {

// Counts that JavaScript must be able to hold exactly.
constexpr uint64_t bytesMax = (uint64_t{1} << 53) - 1;
constexpr size_t chunkLineBytesMax = 4096;
constexpr std::string_view httpPrefix = "HTTP/1.";

bool isDigit(char c) { return c >= '0' && c <= '9'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equalsIgnoringCase(std::string_view text, std::string_view lowerCase) {
  return text.size() == lowerCase.size() &&
         std::equal(text.begin(), text.end(), lowerCase.begin(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// -1 unless the text is nothing but digits and at most bytesMax.
int64_t readLength(std::string_view text) {
  if (text.empty()) return -1;
  uint64_t value = 0;
  for (const char c : text) {
    if (!isDigit(c)) return -1;
    value = value * 10 + static_cast<uint64_t>(c - '0');
    if (value > bytesMax) return -1;
  }
  return static_cast<int64_t>(value);
}

int hexDigit(char c) {
  if (isDigit(c)) return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool isHopByHop(std::string_view name) {
  static constexpr std::string_view names[] = {"keep-alive", "proxy-connection", "te", "trailer",
                                               "upgrade"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

void ResponseParser::begin(bool isHeadRequest) {
  isHeadRequest_ = isHeadRequest;
  headBytes_ = 0;
  carry_.clear();
  carryTaken_ = false;
  beginHead();
}

void ResponseParser::beginHead() {
  state_ = State::statusLine;
  isChunked_ = closeAsked_ = keepAliveAsked_ = keepAlive_ = false;
  fieldCount_ = 0;
  contentLength_ = -1;
  fields_.clear();
  namedByConnection_.clear();
}

ResponseParser::Outcome ResponseParser::feed(const char* bytes, size_t count, ResponseSink& sink,
                                             size_t* consumed) {
  const char* at = bytes;
  const char* const end = bytes + count;
  Outcome outcome = Outcome::more;
  while (outcome == Outcome::more && at < end) outcome = step(&at, end, sink);
  *consumed = static_cast<size_t>(at - bytes);
  return outcome;
}

ResponseParser::Outcome ResponseParser::step(const char** at, const char* end, ResponseSink& sink) {
  switch (state_) {
    case State::statusLine:
    case State::fieldLine:
    case State::trailerLine:
      return stepHead(at, end, sink);
    case State::chunkSizeLine:
    case State::chunkEndLine:
      return stepChunkLine(at, end);
    default:
      return stepBody(at, end, sink);
  }
}

// Takes one line out of [*at, end), joined with what an earlier piece left of it.
ResponseParser::LineOutcome ResponseParser::takeLine(const char** at, const char* end,
                                                     size_t lineBytesMax) {
  if (carryTaken_) {
    carry_.clear();
    carryTaken_ = false;
  }
  const char* const begin = *at;
  const void* const found = std::memchr(begin, '\n', static_cast<size_t>(end - begin));
  const char* const stop = found != nullptr ? static_cast<const char*>(found) + 1 : end;
  const auto fresh = static_cast<size_t>(stop - begin);
  if (carry_.size() + fresh > lineBytesMax) return LineOutcome::tooLong;
  *at = stop;
  if (found == nullptr) {
    carry_.append(begin, fresh);
    return LineOutcome::incomplete;
  }
  line_ = std::string_view(begin, fresh);
  if (!carry_.empty()) {
    carry_.append(begin, fresh);
    carryTaken_ = true;
    line_ = carry_;
  }
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r') return LineOutcome::bad;
  line_.remove_suffix(2);
  return LineOutcome::line;
}

// A status line, a field or a trailer.
ResponseParser::Outcome ResponseParser::stepHead(const char** at, const char* end,
                                                 ResponseSink& sink) {
  // Without this, a server that speaks something else and sends no line end would hang the call.
  if (state_ == State::statusLine && !startsLikeHttp(*at, end)) return Outcome::garbage;
  switch (takeLine(at, end, limits_.headBytesMax - headBytes_)) {
    case LineOutcome::incomplete:
      return Outcome::more;
    case LineOutcome::tooLong:
      return Outcome::headTooLarge;
    case LineOutcome::bad:
      return Outcome::garbage;
    case LineOutcome::line:
      break;
  }
  headBytes_ += line_.size() + 2;
  if (state_ == State::statusLine) {
    if (!readStatusLine()) return Outcome::garbage;
    state_ = State::fieldLine;
    return Outcome::more;
  }
  if (!line_.empty()) return readFieldLine();
  return state_ == State::trailerLine ? Outcome::done : endHead(sink);
}

bool ResponseParser::startsLikeHttp(const char* at, const char* end) const {
  const size_t known = carryTaken_ ? 0 : carry_.size();
  if (known >= httpPrefix.size()) return true;
  // Not past the limit: there the line is too long, whatever it says, and however it was cut.
  const size_t allowed = limits_.headBytesMax - headBytes_ - known;
  const size_t count =
      std::min({httpPrefix.size() - known, static_cast<size_t>(end - at), allowed});
  return std::string_view(at, count) == httpPrefix.substr(known, count);
}

// HTTP/1.x SP 3DIGIT [SP reason]
bool ResponseParser::readStatusLine() {
  constexpr size_t statusAt = 9;
  constexpr size_t statusEnd = 12;
  if (line_.size() < statusEnd || line_[8] != ' ' || !hasOnly(line_, textByte)) return false;
  if (line_[7] != '0' && line_[7] != '1') return false;
  if (line_.size() > statusEnd && line_[statusEnd] != ' ') return false;
  isHttp11_ = line_[7] == '1';
  const int64_t status = readLength(line_.substr(statusAt, statusEnd - statusAt));
  status_ = static_cast<int>(status);
  return status >= 100 && status <= 599;
}

ResponseParser::Outcome ResponseParser::readFieldLine() {
  if (++fieldCount_ > limits_.fieldCountMax) return Outcome::headTooLarge;
  const size_t colon = line_.find(':');
  if (colon == std::string_view::npos) return Outcome::garbage;
  // An obs-fold begins with a space, and so is no token; nor is a name with a space before its
  // colon.
  const std::string_view name = line_.substr(0, colon);
  const std::string_view value = trim(line_.substr(colon + 1));
  if (!isToken(name) || !hasOnly(value, textByte)) return Outcome::garbage;
  if (state_ == State::trailerLine) {
    // Trailers are dropped; one that would frame is an attempt to shift the end of the answer.
    const bool frames =
        equalsIgnoringCase(name, "content-length") || equalsIgnoringCase(name, "transfer-encoding");
    return frames ? Outcome::garbage : Outcome::more;
  }

  const size_t sizeBefore = fields_.size();
  if (sizeBefore != 0) fields_.push_back('\n');
  const size_t nameAt = fields_.size();
  for (const char c : name) fields_.push_back(lower(c));
  bool kept = true;
  if (!noteField(std::string_view(fields_).substr(nameAt), value, &kept)) return Outcome::garbage;
  if (kept) {
    fields_.push_back('\n');
    fields_.append(value);
  } else {
    fields_.resize(sizeBefore);
  }
  return Outcome::more;
}

// Reads the fields that decide the framing; false if they cannot be trusted.
bool ResponseParser::noteField(std::string_view name, std::string_view value, bool* kept) {
  *kept = false;
  if (name == "content-length") {
    if (contentLength_ >= 0) return false;
    contentLength_ = readLength(value);
    return contentLength_ >= 0;
  }
  if (name == "transfer-encoding") {
    // Any other coding, or chunked twice or not last, leaves the end of the body to guesswork.
    if (isChunked_ || !equalsIgnoringCase(value, "chunked")) return false;
    isChunked_ = true;
    return true;
  }
  if (name == "connection") {
    noteConnection(value);
    return true;
  }
  *kept = !isHopByHop(name);
  return true;
}

void ResponseParser::noteConnection(std::string_view value) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view option = trim(value.substr(0, comma));
    value.remove_prefix(std::min(comma + 1, value.size()));
    if (equalsIgnoringCase(option, "close")) {
      closeAsked_ = true;
    } else if (equalsIgnoringCase(option, "keep-alive")) {
      keepAliveAsked_ = true;
    } else if (!option.empty()) {
      namedByConnection_.push_back('\n');
      for (const char c : option) namedByConnection_.push_back(lower(c));
      namedByConnection_.push_back('\n');
    }
  }
}

// Drops from fields_ what Connection named. Rare, so it may rebuild the text.
void ResponseParser::dropNamedFields() {
  std::string kept;
  std::string_view rest = fields_;
  while (!rest.empty()) {
    const size_t nameEnd = rest.find('\n');
    const size_t valueEnd = std::min(rest.find('\n', nameEnd + 1), rest.size());
    std::string needle = "\n";
    needle.append(rest.substr(0, nameEnd + 1));
    if (namedByConnection_.find(needle) == std::string::npos) {
      if (!kept.empty()) kept.push_back('\n');
      kept.append(rest.substr(0, valueEnd));
    }
    rest.remove_prefix(std::min(valueEnd + 1, rest.size()));
  }
  fields_ = std::move(kept);
}

ResponseParser::Outcome ResponseParser::endHead(ResponseSink& sink) {
  if (isChunked_ && (contentLength_ >= 0 || !isHttp11_)) return Outcome::garbage;
  if (status_ < 200) {
    // 101 was never asked for. Interim heads share one byte limit, so they cannot go on for ever.
    if (status_ == 101 || isChunked_ || contentLength_ >= 0) return Outcome::garbage;
    beginHead();
    return Outcome::more;
  }
  if (!namedByConnection_.empty()) dropNamedFields();
  const bool isBodiless = isHeadRequest_ || status_ == 204 || status_ == 304;
  keepAlive_ = !closeAsked_ && (isHttp11_ || keepAliveAsked_);
  // A body where none may be: what follows cannot be told from the next answer.
  if (status_ == 204 && (isChunked_ || contentLength_ > 0)) keepAlive_ = false;
  headBytes_ = 0;
  fieldCount_ = 0;
  sink.onHead({status_, contentLength_, fields_});
  if (isBodiless || contentLength_ == 0) return Outcome::done;
  if (isChunked_) {
    state_ = State::chunkSizeLine;
  } else if (contentLength_ > 0) {
    state_ = State::lengthBody;
    bodyLeft_ = static_cast<uint64_t>(contentLength_);
  } else {
    state_ = State::closeBody;
  }
  return Outcome::more;
}

ResponseParser::Outcome ResponseParser::stepChunkLine(const char** at, const char* end) {
  const bool isSizeLine = state_ == State::chunkSizeLine;
  switch (takeLine(at, end, isSizeLine ? chunkLineBytesMax : 2)) {
    case LineOutcome::incomplete:
      return Outcome::more;
    case LineOutcome::tooLong:
    case LineOutcome::bad:
      return Outcome::garbage;
    case LineOutcome::line:
      break;
  }
  if (!isSizeLine) {
    state_ = State::chunkSizeLine;
    return Outcome::more;
  }
  if (!readChunkSize()) return Outcome::garbage;
  state_ = bodyLeft_ == 0 ? State::trailerLine : State::chunkData;
  return Outcome::more;
}

// 1*HEXDIG [";" extension]: no sign, no 0x, no spaces, at most bytesMax.
bool ResponseParser::readChunkSize() {
  size_t digits = 0;
  uint64_t size = 0;
  for (; digits < line_.size(); digits++) {
    const int digit = hexDigit(line_[digits]);
    if (digit < 0) break;
    size = size * 16 + static_cast<uint64_t>(digit);
    if (size > bytesMax) return false;
  }
  if (digits == 0) return false;
  const std::string_view extension = line_.substr(digits);
  if (!extension.empty() && extension.front() != ';') return false;
  if (!hasOnly(extension, textByte)) return false;
  bodyLeft_ = size;
  return true;
}

ResponseParser::Outcome ResponseParser::stepBody(const char** at, const char* end,
                                                 ResponseSink& sink) {
  auto count = static_cast<uint64_t>(end - *at);
  if (state_ != State::closeBody) count = std::min(count, bodyLeft_);
  sink.onData(*at, static_cast<size_t>(count));
  *at += count;
  if (state_ == State::closeBody) return Outcome::more;
  bodyLeft_ -= count;
  if (bodyLeft_ != 0) return Outcome::more;
  if (state_ == State::lengthBody) return Outcome::done;
  state_ = State::chunkEndLine;
  return Outcome::more;
}

}  // namespace dualmap::upstream
