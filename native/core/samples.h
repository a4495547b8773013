// First-token times on their way from the decision core to JavaScript: a block of doubles that one
// thread's JavaScript owns, fills with nothing and empties now and then, and that the core on the
// same thread appends to. Full, it drops what comes: a second of this thread is a sample already.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dualmap {

/// What was known of a request when it was sent, and when its first token came.
struct Sample {
  uint32_t slot;
  uint32_t generation;
  uint64_t aheadTokens;  // uncached, of others, sent before it and without a first token then
  uint64_t uncachedTokens;
  uint64_t promptTokens;
  uint32_t running;  // requests that decoded there
  double ttftMs;     // measured, from sending
  double estimateMs;
};

class Samples {
 public:
  /// src/core/samples.ts mirrors both: a count, then rows in the order of `Sample`.
  static constexpr size_t kHeadWords = 1;
  static constexpr size_t kRowWords = 8;

  /// Borrowed: the words outlive this, as the core's handle holds their array.
  void writeTo(double* words, size_t count) noexcept {
    words_ = words;
    rowsMax_ = (count - kHeadWords) / kRowWords;
  }

  void add(const Sample& sample) noexcept {
    if (words_ == nullptr) return;
    const auto rows = static_cast<size_t>(words_[0]);
    if (rows >= rowsMax_) return;
    double* row = words_ + kHeadWords + rows * kRowWords;
    row[0] = sample.slot;
    row[1] = sample.generation;
    row[2] = static_cast<double>(sample.aheadTokens);
    row[3] = static_cast<double>(sample.uncachedTokens);
    row[4] = static_cast<double>(sample.promptTokens);
    row[5] = sample.running;
    row[6] = sample.ttftMs;
    row[7] = sample.estimateMs;
    words_[0] = static_cast<double>(rows + 1);
  }

 private:
  double* words_ = nullptr;
  size_t rowsMax_ = 0;
};

}  // namespace dualmap
