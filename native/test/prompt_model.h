// What a scan must give, computed the slow and obvious way from canonical bytes that the test wrote
// down.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/prompt.h"
#include "scan_result.h"
#include "test.h"

namespace dualmap::test {

inline Scan scan(std::string_view body, PromptKind kind = PromptKind::chat) {
  Reader reader;
  return scanWith(reader, body, kind);
}

inline uint64_t chained(uint64_t previous, std::string_view bytes) {
  std::string input(8, '\0');
  for (int i = 0; i < 8; ++i) input[i] = static_cast<char>(previous >> (8 * i));
  return xxh3(input + std::string(bytes));
}

/// h[0..], one for each whole block of 512 bytes.
inline std::vector<uint64_t> blocksOf(std::string_view canonical) {
  std::vector<uint64_t> blocks;
  for (size_t at = 0; at + 512 <= canonical.size(); at += 512) {
    blocks.push_back(chained(blocks.empty() ? 0 : blocks.back(), canonical.substr(at, 512)));
  }
  return blocks;
}

/// Level l ends at min(512 << l, firstUserEnd) bytes; the last is the first that reaches it.
inline std::vector<uint64_t> levelsOf(std::string_view canonical, size_t firstUserEnd) {
  std::vector<uint64_t> levels;
  for (size_t end = 512; levels.size() < 17; end *= 2) {
    const std::string_view prefix = canonical.substr(0, std::min(end, firstUserEnd));
    const std::vector<uint64_t> blocks = blocksOf(prefix);
    const std::string_view rest = prefix.substr(blocks.size() * 512);
    const uint64_t last = blocks.empty() ? 0 : blocks.back();
    levels.push_back(rest.empty() && !blocks.empty() ? last : chained(last, rest));
    if (end >= firstUserEnd) break;
  }
  return levels;
}

/// The body's canonical bytes are these. Short prompts are told apart by their last level key only
/// as far as the first user message: tests of what follows one use another role or a long text.
inline void expectPrompt(std::string_view body, PromptKind kind, std::string_view canonical,
                         size_t firstUserEnd = std::string_view::npos) {
  const size_t end = std::min(firstUserEnd, canonical.size());
  const Scan got = scan(body, kind);
  CHECK_THAT(got.fault == ScanFault::none, body);
  CHECK_THAT(got.promptBytes == canonical.size(),
             std::string(body) + " has " + std::to_string(got.promptBytes));
  CHECK_THAT(got.firstUserEnd == end, body);
  CHECK_THAT(got.blocks == blocksOf(canonical), body);
  CHECK_THAT(got.levels == levelsOf(canonical, end), body);
}

inline void expectFault(std::string_view body, PromptKind kind, ScanFault fault,
                        std::string_view param) {
  const Scan got = scan(body, kind);
  CHECK_THAT(got.fault == fault, std::string(body.substr(0, 200)) + " gives " +
                                     std::to_string(static_cast<int>(got.fault)));
  CHECK_THAT(got.faultParam == param,
             std::string(body.substr(0, 200)) + " blames " + got.faultParam);
}

/// `FF x` and text.
inline std::string frame(char letter, std::string_view text) {
  return std::string("\xFF") + letter + std::string(text);
}

/// A string of canonical JSON.
inline std::string inQuotes(std::string_view text) { return "\xFE" + std::string(text) + "\xFE"; }

inline std::string repeated(std::string_view text, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace dualmap::test
