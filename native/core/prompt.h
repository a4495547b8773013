// Reads a request body once and gives what placing needs: chained block hashes and level keys of
// the canonical prompt (native/core/README.md; algorithm.md section 2). One scanner per thread.
// Never validates what it skips: that is the engine's to reject.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "canonical_json.h"
#include "chain.h"
#include "simdjson.h"

namespace dualmap {

enum class PromptKind : uint8_t { chat, completion, embedding };

/// Keys of growing depth: level l ends at min(512 << l, firstUserEnd) bytes.
inline constexpr uint32_t kLevelsMax = 17;

struct LevelKeys {
  std::array<uint64_t, kLevelsMax> keys;
  uint32_t count = 0;
};

struct Prompt {
  std::vector<uint64_t> blockHashes;
  LevelKeys levels;
  uint64_t promptBytes = 0;   // canonical bytes
  uint64_t firstUserEnd = 0;  // canonical bytes up to the end of the first user message
  std::string_view model;     // borrowed from the scanner until its next scan
  bool stream = false;
  const char* faultParam = "";  // the field at fault, a literal
};

/// Level keys of a prompt given as ready block hashes (traces, benchmarks): everything is first
/// user.
void levelKeysOfChain(const uint64_t* blockHashes, size_t count, LevelKeys* out) noexcept;

class PromptScanner {
 public:
  /// `capacity` is the number of bytes readable at `body`, at least `bytes` + 64.
  [[nodiscard]] ScanFault scan(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                               Prompt* out) noexcept;

  /// Key of the whole prompt of the last scan: the chained hash of all its bytes.
  [[nodiscard]] uint64_t wholeKey() noexcept { return chain_.keyHere(); }

 private:
  // The top-level fields that are read; `input` is `prompt` or `input`.
  enum Field : uint32_t {
    kModel,
    kCacheSalt,
    kStream,
    kTools,
    kMessages,
    kInput,
    kFields,
    kSkipped
  };

  // Nodes of the tree; 0: absent. Judged after reading, as of duplicate keys only the last counts.
  struct Message {
    uint32_t role = 0;
    uint32_t content = 0;
    uint32_t toolCalls = 0;
    uint32_t toolCallId = 0;
  };

  ScanFault readBody(PromptKind kind, Prompt* out) noexcept;
  ScanFault readField(Field field, simdjson::ondemand::value& value, Prompt* out) noexcept;
  [[nodiscard]] static Field fieldOf(std::string_view key, PromptKind kind) noexcept;
  ScanFault readStream(simdjson::ondemand::value& value, bool* out) noexcept;
  ScanFault readMessages(simdjson::ondemand::value& value) noexcept;
  ScanFault readMessage(simdjson::ondemand::value value, Message* out) noexcept;
  ScanFault readText(simdjson::ondemand::value& value, bool* present,
                     std::string_view* out) noexcept;
  ScanFault readNode(simdjson::ondemand::value& value, JsonTree::Type wanted,
                     uint32_t* out) noexcept;
  ScanFault emitChat(Prompt* out) noexcept;
  ScanFault emitMessage(const Message& message) noexcept;
  ScanFault emitContent(uint32_t content) noexcept;
  ScanFault emitPart(uint32_t part) noexcept;
  ScanFault emitInput(uint32_t input, bool nested) noexcept;
  ScanFault emitTokenIds(uint32_t array) noexcept;
  void emitText(char frame, std::string_view text) noexcept;
  void emitTree(char frame, uint32_t index) noexcept;
  void finish(Prompt* out) noexcept;

  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
  JsonTree tree_;
  BlockChain chain_;
  std::vector<Message> messages_;
  std::string_view cacheSalt_;
  uint32_t tools_ = 0;
  uint32_t input_ = 0;
  uint64_t firstUserKey_ = 0;
};

}  // namespace dualmap
