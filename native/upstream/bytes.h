// Which bytes HTTP/1.1 allows where (RFC 9110, section 5): pure functions for both directions.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace dualmap::upstream {

enum ByteClass : uint8_t {
  tokenByte = 1,  // names and methods
  textByte = 2,   // field values, reasons, chunk extensions: no control bytes but HTAB
  asciiByte = 4,
};

inline constexpr std::array<uint8_t, 256> byteClasses = [] {
  std::array<uint8_t, 256> classes{};
  for (unsigned byte = 0; byte < 256; byte++) {
    if ((byte >= 0x20 && byte != 0x7f) || byte == '\t') classes[byte] |= textByte;
    if (byte < 0x80) classes[byte] |= asciiByte;
    const bool isAlphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                                (byte >= 'a' && byte <= 'z');
    const bool isMark = byte < 0x80 && byte != 0 &&
                        std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) !=
                            std::string_view::npos;
    if (isAlphanumeric || isMark) classes[byte] |= tokenByte;
  }
  return classes;
}();

[[nodiscard]] inline bool hasOnly(std::string_view text, uint8_t wanted) {
  uint8_t common = wanted;
  for (const char c : text) common &= byteClasses[static_cast<uint8_t>(c)];
  return common == wanted;
}

[[nodiscard]] inline bool isToken(std::string_view text) {
  return !text.empty() && hasOnly(text, tokenByte);
}

}  // namespace dualmap::upstream
