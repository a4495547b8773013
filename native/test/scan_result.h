// Everything a scan says, so that two of them can be compared, and a scan that notices every byte
// read beyond its padding. For tests and fuzz targets.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/prompt.h"

namespace dualmap::test {

constexpr size_t kPaddingBytes = simdjson::SIMDJSON_PADDING;

struct Scan {
  ScanFault fault = ScanFault::none;
  std::string faultParam;
  std::string model;
  bool stream = false;
  int32_t priority = 0;
  uint64_t promptBytes = 0;
  uint64_t firstUserEnd = 0;
  std::vector<uint64_t> blocks;
  std::vector<uint64_t> levels;

  bool operator==(const Scan&) const = default;
};

/// A scanner and what it writes to, both used again and again, as in a core.
struct Reader {
  PromptScanner scanner;
  Prompt prompt;
};

/// Scans a copy that ends, padding included, where its allocation ends.
inline Scan scanWith(Reader& reader, std::string_view body, PromptKind kind, char padding = '"') {
  Prompt& prompt = reader.prompt;
  const size_t capacity = body.size() + kPaddingBytes;
  auto* copy = static_cast<char*>(std::malloc(capacity));
  if (!body.empty()) std::memcpy(copy, body.data(), body.size());
  std::memset(copy + body.size(), padding, kPaddingBytes);
  Scan scan;
  scan.fault = reader.scanner.scan(copy, body.size(), capacity, kind, &prompt);
  scan.faultParam = prompt.faultParam;
  scan.stream = prompt.stream;
  scan.priority = prompt.priority;
  if (scan.fault == ScanFault::none) {
    scan.model = prompt.model;
    scan.promptBytes = prompt.promptBytes;
    scan.firstUserEnd = prompt.firstUserEnd;
    scan.blocks = prompt.blockHashes;
    const auto levels = prompt.levels.keys.begin();
    scan.levels.assign(levels, levels + prompt.levels.count);
  }
  std::free(copy);
  return scan;
}

}  // namespace dualmap::test
