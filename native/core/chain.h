// Cuts canonical prompt bytes in blocks and chains XXH3 over them (algorithm.md section 2).
// One per scanner, used by one thread; never allocates except to grow the list of hashes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "xxh3.h"

namespace dualmap {

/// Bytes of one block: 128 tokens at 4 bytes a token.
inline constexpr size_t kBlockBytes = 512;

class BlockChain {
 public:
  /// Starts a new prompt; its hashes are appended to `hashes`, which is owned by the caller.
  void reset(std::vector<uint64_t>* hashes) noexcept {
    hashes_ = hashes;
    hashes_->clear();
    previous_ = 0;
    filled_ = 0;
  }

  [[nodiscard]] uint64_t bytes() const noexcept { return hashes_->size() * kBlockBytes + filled_; }

  void append(std::string_view bytes) noexcept {
    const char* data = bytes.data();
    size_t rest = bytes.size();
    while (rest > 0) {
      const size_t taken = stage(data, rest);
      data += taken;
      rest -= taken;
    }
  }

  /// Appends text that lies in scratch memory and is not needed afterwards: whole blocks are hashed
  /// where they are, with the chain value written over the eight bytes before them, which belong to
  /// a block of the same text that is already hashed.
  void appendScratch(std::string_view text) noexcept {
    char* data = const_cast<char*>(text.data());
    size_t rest = text.size();
    if (rest >= 2 * kBlockBytes) {
      const size_t taken = stage(data, rest);
      data += taken;
      rest -= taken;
      if (taken < sizeof previous_) {
        const size_t more = stage(data, rest);
        data += more;
        rest -= more;
      }
      for (; rest >= kBlockBytes; data += kBlockBytes, rest -= kBlockBytes) {
        std::memcpy(data - sizeof previous_, &previous_, sizeof previous_);
        push(xxh3(data - sizeof previous_, sizeof previous_ + kBlockBytes));
      }
    }
    append({data, rest});
  }

  /// Key of everything appended so far: the last block hash, or the chained hash of what follows
  /// it.
  [[nodiscard]] uint64_t keyHere() noexcept {
    if (filled_ == 0 && !hashes_->empty()) return previous_;
    std::memcpy(staging_, &previous_, sizeof previous_);
    return xxh3(staging_, sizeof previous_ + filled_);
  }

 private:
  // Copies at most to the end of the current block; returns the number of bytes taken.
  size_t stage(const char* data, size_t bytes) noexcept {
    const size_t taken = std::min(bytes, kBlockBytes - filled_);
    std::memcpy(staging_ + sizeof previous_ + filled_, data, taken);
    filled_ += taken;
    if (filled_ == kBlockBytes) {
      std::memcpy(staging_, &previous_, sizeof previous_);
      filled_ = 0;
      push(xxh3(staging_, sizeof staging_));
    }
    return taken;
  }

  void push(uint64_t hash) noexcept {
    previous_ = hash;
    hashes_->push_back(hash);
  }

  std::vector<uint64_t>* hashes_ = nullptr;
  uint64_t previous_ = 0;  // h[i-1]; 0 before the first block
  size_t filled_ = 0;
  alignas(64) char staging_[sizeof(uint64_t) + kBlockBytes];
};

}  // namespace dualmap
