// XXH3 from the xxhash-addon package's copy of xxHash 0.8.3, compiled inline.
#pragma once

#define XXH_INLINE_ALL
// By memcpy, which costs nothing: what it does by default reads any memory as if it were words, and
// a compiler that inlines that may read a word of ours before it is written.
#define XXH_FORCE_MEMORY_ACCESS 0
#include "xxhash.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dualmap {

inline uint64_t xxh3(const void* data, size_t bytes, uint64_t seed = 0) noexcept {
  return XXH3_64bits_withSeed(data, bytes, seed);
}

inline uint64_t xxh3(std::string_view text, uint64_t seed = 0) noexcept {
  return xxh3(text.data(), text.size(), seed);
}

/// Hash of one 64-bit word, little endian.
inline uint64_t xxh3Word(uint64_t word, uint64_t seed) noexcept { return xxh3(&word, 8, seed); }

}  // namespace dualmap
