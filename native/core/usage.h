// What an answer says of its tokens: its last `usage` object (OpenAI's API), unary or streamed.
// Whatever cannot be read counts as not said: an answer never fails over it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "simdjson.h"

namespace dualmap {

struct Usage {
  // Counts up to 2^53; -1: not said.
  double promptTokens = -1;
  double completionTokens = -1;
  double cachedTokens = -1;
};

// Keeps its memory from answer to answer; one thread.
class UsageReader {
 public:
  // Behind `usage` come a few short fields and `[DONE]`, and the object is 100 to 500 bytes with
  // all its details: it is looked for in so many last bytes.
  static constexpr size_t tailBytesMax = 4096;

  // `answer`: at least its last tailBytesMax bytes, or all of it. False if it says nothing of its
  // prompt's tokens.
  bool read(std::string_view answer, Usage* usage);

 private:
  bool parse(std::string_view object, Usage* usage);

  simdjson::ondemand::parser parser_;
  // With room for what simdjson reads behind the text.
  std::string padded_;
};

}  // namespace dualmap
