// libFuzzer target: the laws of the prompt scan that hold for any bytes. The first byte picks what
// kind of prompt it is, the rest is the body. The body lies in an allocation of its own, of its
// size and 64 bytes of padding, so that ASan sees every read behind it.

#include <cstdlib>
#include <string>
#include <string_view>

#include "../test/scan_result.h"
#include "core/prompt.h"

namespace {

using namespace dualmap;
using test::Reader;
using test::Scan;
using test::scanWith;

void require(bool holds) {
  if (!holds) std::abort();
}

// With zeros behind the body, as the front ends have it.
Scan scan(Reader& reader, std::string_view body, PromptKind kind) {
  return scanWith(reader, body, kind, '\0');
}

// native/core/README.md, "Blocks and keys".
void checkLevels(const Scan& scan, PromptKind kind) {
  require(scan.blocks.size() == scan.promptBytes / kBlockBytes);
  require(scan.firstUserEnd > 0 && scan.firstUserEnd <= scan.promptBytes);
  require(kind == PromptKind::chat || scan.firstUserEnd == scan.promptBytes);
  require(!scan.levels.empty() && scan.levels.size() <= kLevelsMax);
  for (size_t level = 0; level < scan.levels.size(); ++level) {
    const uint64_t end = uint64_t{kBlockBytes} << level;
    const bool isLast = level + 1 == scan.levels.size();
    require(isLast == (end >= scan.firstUserEnd || level + 1 == kLevelsMax));
    if (end > scan.firstUserEnd) continue;
    require(scan.levels[level] == scan.blocks[(size_t{1} << level) - 1]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto kind = static_cast<PromptKind>(data[0] % 3);
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  // One reader for all inputs, as a thread has: what it remembers must change nothing.
  static Reader reused;
  Reader fresh;
  const Scan once = scan(reused, body, kind);
  require(once == scan(fresh, body, kind));
  if (once.fault != ScanFault::none) return 0;
  checkLevels(once, kind);
  for (const char* space : {" ", "\n\t\r "}) require(once == scan(fresh, body + space, kind));
  return 0;
}
