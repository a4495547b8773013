// libFuzzer target: the law of the response parser. The first byte says whether the request was
// HEAD and how the second reading is cut; the rest is the answer. Both readings must agree.

#include <cstdint>
#include <cstdlib>

#include "../test/upstream_transcript.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dualmap::upstream::transcribe;
  if (size == 0) return 0;
  const bool isHeadRequest = (data[0] & 1) != 0;
  uint32_t seed = data[0] >> 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Small enough that the fuzzer meets the limits too.
  const dualmap::upstream::ParserLimits limits{.headBytesMax = 300, .fieldCountMax = 8};

  const auto whole =
      transcribe(bytes, isHeadRequest, limits, [](size_t left) { return left; });
  const auto bytewise =
      transcribe(bytes, isHeadRequest, limits, [](size_t) { return size_t{1}; });
  const auto pieces = transcribe(bytes, isHeadRequest, limits, [&](size_t left) {
    seed = seed * 1664525 + 1013904223;
    return 1 + (seed >> 8) % left;
  });
  if (whole == "broken" || whole != bytewise || whole != pieces) std::abort();
  return 0;
}
