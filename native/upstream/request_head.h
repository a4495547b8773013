// The last check of a request head before it is sent: pure, any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "bytes.h"

namespace dualmap::upstream {

// True if the text is a request line, then `fieldCount` fields, then an empty line, and nothing
// else. JavaScript puts it together from parts that others wrote; a line end hidden in one of them
// would let a client forge a request to the instance. `onlyAscii`: no byte above 0x7f either.
[[nodiscard]] inline bool isRequestHead(std::string_view head, uint32_t fieldCount,
                                        bool onlyAscii) {
  const uint8_t wanted = onlyAscii ? textByte | asciiByte : textByte;
  for (uint32_t line = 0; line <= fieldCount; line++) {
    const size_t end = head.find('\r');
    if (end == std::string_view::npos || head.substr(end, 2) != "\r\n") return false;
    const std::string_view text = head.substr(0, end);
    head.remove_prefix(end + 2);
    if (!hasOnly(text, wanted)) return false;
    // METHOD SP target SP version: a space in the target would be read as the end of it.
    const size_t nameEnd = text.find(line == 0 ? ' ' : ':');
    if (nameEnd == std::string_view::npos || !isToken(text.substr(0, nameEnd))) return false;
    if (line > 0) continue;
    const std::string_view rest = text.substr(nameEnd + 1);
    if (std::count(rest.begin(), rest.end(), ' ') != 1 || rest.front() == ' ') return false;
  }
  return head == "\r\n";
}

}  // namespace dualmap::upstream
