#include "prompt.h"

#include <charconv>
#include <cstdio>

namespace dualmap {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;

namespace {

// A parser keeps memory in proportion to the largest body it has seen: larger ones give it back.
constexpr size_t kParserKeptBytes = 4u << 20;
// A binary part counts as this many bytes of prompt: 1,024 tokens at 4 bytes a token.
constexpr int kDigestRepeats = 256;

const char* inputName(PromptKind kind) noexcept {
  return kind == PromptKind::completion ? "prompt" : "input";
}

ScanFault parseFault(simdjson::error_code error) noexcept {
  return error == simdjson::DEPTH_ERROR ? ScanFault::tooDeep : ScanFault::invalidJson;
}

}  // namespace

ScanFault PromptScanner::scan(const char* body, size_t bytes, size_t capacity, PromptKind kind,
                              Prompt* out) noexcept {
  if (parser_.capacity() > kParserKeptBytes && bytes <= kParserKeptBytes)
    parser_ = ondemand::parser();
  chain_.reset(&out->blockHashes);
  tree_.clear();
  messages_.clear();
  cacheSalt_ = {};
  tools_ = input_ = 0;
  out->model = {};
  out->stream = false;
  out->priority = 0;
  out->faultParam = "";

  if (auto error = parser_.iterate(body, bytes, capacity).get(document_)) return parseFault(error);
  if (const ScanFault fault = readBody(kind, out); fault != ScanFault::none) return fault;

  emitText('M', out->model);
  if (!cacheSalt_.empty()) emitText('S', cacheSalt_);
  const bool isChat = kind == PromptKind::chat;
  out->faultParam = isChat ? "messages" : inputName(kind);
  const ScanFault fault = isChat ? emitChat(out) : emitInput(input_, false);
  if (fault != ScanFault::none) return fault;
  if (!isChat) out->firstUserEnd = 0;
  finish(out);
  return ScanFault::none;
}

ScanFault PromptScanner::readBody(PromptKind kind, Prompt* out) noexcept {
  static constexpr const char* kNames[kFields] = {"model", "cache_salt", "stream", "priority",
                                                  "tools", "messages",   ""};
  ondemand::object object;
  if (auto error = document_.get_object().get(object)) return parseFault(error);
  // Of duplicate keys the last wins: only its fault counts.
  std::array<ScanFault, kFields> faults{};
  for (auto entry : object) {
    ondemand::field field;
    if (auto error = std::move(entry).get(field)) return parseFault(error);
    std::string_view key;
    if (const ScanFault fault = tree_.keyOf(parser_, field, &key); fault != ScanFault::none) {
      return fault;
    }
    const Field name = fieldOf(key, kind);
    // Others are skipped: sampling parameters and the like never enter the key.
    if (name == kSkipped) continue;
    faults[name] = readField(name, field.value(), out);
    if (faults[name] == ScanFault::invalidJson) return ScanFault::invalidJson;
  }
  if (!document_.at_end()) return ScanFault::invalidJson;
  for (uint32_t name = 0; name < kFields; ++name) {
    if (faults[name] == ScanFault::none) continue;
    out->faultParam = name == kInput ? inputName(kind) : kNames[name];
    return faults[name];
  }
  return ScanFault::none;
}

PromptScanner::Field PromptScanner::fieldOf(std::string_view key, PromptKind kind) noexcept {
  if (key == "model") return kModel;
  if (key == "cache_salt") return kCacheSalt;
  if (key == "stream") return kStream;
  if (key == "priority") return kPriority;
  if (kind != PromptKind::chat) return key == inputName(kind) ? kInput : kSkipped;
  if (key == "messages") return kMessages;
  return key == "tools" ? kTools : kSkipped;
}

ScanFault PromptScanner::readField(Field field, ondemand::value& value, Prompt* out) noexcept {
  bool present = false;
  switch (field) {
    case kModel:
      return readText(value, &present, &out->model);
    case kCacheSalt:
      return readText(value, &present, &cacheSalt_);
    case kStream:
      return readStream(value, &out->stream);
    case kPriority:
      return readPriority(value, &out->priority);
    case kTools:
      return readNode(value, JsonTree::Type::array, &tools_);
    case kMessages:
      return readMessages(value);
    default:
      return tree_.read(parser_, value, &input_);
  }
}

ScanFault PromptScanner::readStream(ondemand::value& value, bool* out) noexcept {
  *out = false;
  json_type type;
  if (auto error = value.type().get(type)) return parseFault(error);
  if (type == json_type::null) {
    return value.is_null().error() ? ScanFault::invalidJson : ScanFault::none;
  }
  if (type != json_type::boolean) return ScanFault::invalidType;
  return value.get_bool().get(*out) ? ScanFault::invalidJson : ScanFault::none;
}

// An integer of 32 bits, in digits; null counts as absent.
ScanFault PromptScanner::readPriority(ondemand::value& value, int32_t* out) noexcept {
  *out = 0;
  uint32_t at = 0;
  const ScanFault fault = readNode(value, JsonTree::Type::number, &at);
  if (fault != ScanFault::none || at == 0) return fault;
  const std::string_view text = tree_.node(at).text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  const bool isWhole = error == std::errc() && end == text.data() + text.size();
  if (!isWhole) *out = 0;
  return isWhole ? ScanFault::none : ScanFault::invalidType;
}

// A string; null counts as absent.
ScanFault PromptScanner::readText(ondemand::value& value, bool* present,
                                  std::string_view* out) noexcept {
  json_type type;
  if (auto error = value.type().get(type)) return parseFault(error);
  *present = false;
  *out = {};
  if (type == json_type::null)
    return value.is_null().error() ? ScanFault::invalidJson : ScanFault::none;
  if (type != json_type::string) return ScanFault::invalidType;
  *present = true;
  return value.get_wobbly_string().get(*out) ? ScanFault::invalidJson : ScanFault::none;
}

// A tree of the wanted type; null counts as absent.
ScanFault PromptScanner::readNode(ondemand::value& value, JsonTree::Type wanted,
                                  uint32_t* out) noexcept {
  const ScanFault fault = tree_.read(parser_, value, out);
  if (fault != ScanFault::none) return fault;
  const JsonTree::Type type = tree_.node(*out).type;
  if (type == JsonTree::Type::null) *out = 0;
  return type == JsonTree::Type::null || type == wanted ? ScanFault::none : ScanFault::invalidType;
}

ScanFault PromptScanner::readMessages(ondemand::value& value) noexcept {
  messages_.clear();
  json_type type;
  if (auto error = value.type().get(type)) return parseFault(error);
  if (type == json_type::null)
    return value.is_null().error() ? ScanFault::invalidJson : ScanFault::none;
  if (type != json_type::array) return ScanFault::invalidType;
  ondemand::array array;
  if (auto error = value.get_array().get(array)) return parseFault(error);
  for (auto element : array) {
    ondemand::value item;
    if (auto error = std::move(element).get(item)) return parseFault(error);
    const ScanFault fault = readMessage(item, &messages_.emplace_back());
    if (fault != ScanFault::none) return fault;
  }
  return ScanFault::none;
}

ScanFault PromptScanner::readMessage(ondemand::value value, Message* out) noexcept {
  json_type type;
  if (auto error = value.type().get(type)) return parseFault(error);
  if (type != json_type::object) return ScanFault::invalidType;
  ondemand::object object;
  if (auto error = value.get_object().get(object)) return parseFault(error);
  for (auto entry : object) {
    ondemand::field field;
    if (auto error = std::move(entry).get(field)) return parseFault(error);
    std::string_view key;
    ScanFault fault = tree_.keyOf(parser_, field, &key);
    if (fault != ScanFault::none) return fault;
    uint32_t* node = key == "role"           ? &out->role
                     : key == "content"      ? &out->content
                     : key == "tool_calls"   ? &out->toolCalls
                     : key == "tool_call_id" ? &out->toolCallId
                                             : nullptr;
    if (node == nullptr) continue;
    fault = tree_.read(parser_, field.value(), node);
    if (fault != ScanFault::none) return fault;
  }
  return ScanFault::none;
}

ScanFault PromptScanner::emitChat(Prompt* out) noexcept {
  if (messages_.empty()) return ScanFault::emptyPrompt;
  if (tools_ != 0 && tree_.node(tools_).firstChild != 0) emitTree('T', tools_);
  out->firstUserEnd = 0;
  for (const Message& message : messages_) {
    const ScanFault fault = emitMessage(message);
    if (fault != ScanFault::none) return fault;
    if (out->firstUserEnd == 0 && tree_.node(message.role).text == "user") {
      out->firstUserEnd = chain_.bytes();
      firstUserKey_ = chain_.keyHere();
    }
  }
  return ScanFault::none;
}

ScanFault PromptScanner::emitMessage(const Message& message) noexcept {
  using Type = JsonTree::Type;
  const JsonTree::Node& role = tree_.node(message.role);
  const JsonTree::Node& toolCalls = tree_.node(message.toolCalls);
  const JsonTree::Node& toolCallId = tree_.node(message.toolCallId);
  if (role.type != Type::string) return ScanFault::invalidType;
  emitText('m', role.text);
  if (const ScanFault fault = emitContent(message.content); fault != ScanFault::none) return fault;
  if (toolCalls.type == Type::array) {
    emitTree('c', message.toolCalls);
  } else if (toolCalls.type != Type::null) {
    return ScanFault::invalidType;
  }
  if (toolCallId.type == Type::string) {
    emitText('i', toolCallId.text);
  } else if (toolCallId.type != Type::null) {
    return ScanFault::invalidType;
  }
  return ScanFault::none;
}

ScanFault PromptScanner::emitContent(uint32_t content) noexcept {
  const JsonTree::Node& node = tree_.node(content);
  switch (node.type) {
    case JsonTree::Type::null:  // also the sentinel: absent
      return ScanFault::none;
    case JsonTree::Type::string:
      emitText('t', node.text);
      return ScanFault::none;
    case JsonTree::Type::array:
      for (uint32_t part = node.firstChild; part != 0; part = tree_.node(part).next) {
        if (const ScanFault fault = emitPart(part); fault != ScanFault::none) return fault;
      }
      return ScanFault::none;
    default:
      return ScanFault::invalidType;
  }
}

ScanFault PromptScanner::emitPart(uint32_t part) noexcept {
  const JsonTree::Node& node = tree_.node(part);
  if (node.type == JsonTree::Type::string) {
    emitText('t', node.text);
    return ScanFault::none;
  }
  if (node.type != JsonTree::Type::object) return ScanFault::invalidType;
  const JsonTree::Node& type = tree_.node(tree_.child(part, "type"));
  const bool isText =
      type.type == JsonTree::Type::string &&
      (type.text == "text" || type.text == "input_text" || type.text == "output_text");
  if (isText) {
    const JsonTree::Node& text = tree_.node(tree_.child(part, "text"));
    if (text.type != JsonTree::Type::string) return ScanFault::invalidType;
    emitText('t', text.text);
    return ScanFault::none;
  }
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  tree_.write(part, [&state](std::string_view piece) {
    XXH3_64bits_update(&state, piece.data(), piece.size());
  });
  char digest[17];
  std::snprintf(digest, sizeof digest, "%016llx",
                static_cast<unsigned long long>(XXH3_64bits_digest(&state)));
  chain_.append(
      {"\xFF"
       "b",
       2});
  for (int i = 0; i < kDigestRepeats; ++i) chain_.append({digest, 16});
  return ScanFault::none;
}

// `prompt` or `input`: text, token ids, or an array of either.
ScanFault PromptScanner::emitInput(uint32_t input, bool nested) noexcept {
  const JsonTree::Node& node = tree_.node(input);
  if (node.type == JsonTree::Type::string) {
    if (node.text.empty() && !nested) return ScanFault::emptyPrompt;
    emitText('t', node.text);
    return ScanFault::none;
  }
  if (node.type == JsonTree::Type::null)
    return nested ? ScanFault::invalidType : ScanFault::emptyPrompt;
  if (node.type != JsonTree::Type::array) return ScanFault::invalidType;
  if (node.firstChild == 0 && !nested) return ScanFault::emptyPrompt;
  if (nested || tree_.node(node.firstChild).type == JsonTree::Type::number)
    return emitTokenIds(input);
  for (uint32_t element = node.firstChild; element != 0; element = tree_.node(element).next) {
    if (const ScanFault fault = emitInput(element, true); fault != ScanFault::none) return fault;
  }
  return ScanFault::none;
}

ScanFault PromptScanner::emitTokenIds(uint32_t array) noexcept {
  chain_.append(
      {"\xFF"
       "k",
       2});
  for (uint32_t at = tree_.node(array).firstChild; at != 0; at = tree_.node(at).next) {
    const JsonTree::Node& node = tree_.node(at);
    if (node.type != JsonTree::Type::number || node.text.size() > 10) return ScanFault::invalidType;
    uint64_t id = 0;
    for (const char digit : node.text) {
      if (digit < '0' || digit > '9') return ScanFault::invalidType;
      id = id * 10 + static_cast<uint64_t>(digit - '0');
    }
    if (id > UINT32_MAX) return ScanFault::invalidType;
    const auto word = static_cast<uint32_t>(id);
    chain_.append({reinterpret_cast<const char*>(&word), sizeof word});
  }
  return ScanFault::none;
}

void PromptScanner::emitText(char frame, std::string_view text) noexcept {
  const char mark[2] = {'\xFF', frame};
  chain_.append({mark, 2});
  // The model name is looked up after the scan, so it must stay whole; it is short.
  if (frame == 'M') {
    chain_.append(text);
  } else {
    chain_.appendScratch(text);
  }
}

void PromptScanner::emitTree(char frame, uint32_t index) noexcept {
  const char mark[2] = {'\xFF', frame};
  chain_.append({mark, 2});
  tree_.write(index, [this](std::string_view piece) { chain_.append(piece); });
}

void PromptScanner::finish(Prompt* out) noexcept {
  out->promptBytes = chain_.bytes();
  if (out->firstUserEnd == 0) {
    out->firstUserEnd = out->promptBytes;
    firstUserKey_ = chain_.keyHere();
  }
  LevelKeys& levels = out->levels;
  levels.count = 0;
  for (uint32_t level = 0; level < kLevelsMax; ++level) {
    const uint64_t end = static_cast<uint64_t>(kBlockBytes) << level;
    const bool whole = end <= out->firstUserEnd;
    levels.keys[levels.count++] =
        whole ? out->blockHashes[(size_t{1} << level) - 1] : firstUserKey_;
    if (end >= out->firstUserEnd) break;
  }
}

void levelKeysOfChain(const uint64_t* blockHashes, size_t count, LevelKeys* out) noexcept {
  out->count = 0;
  if (count == 0) {
    out->keys[out->count++] = 0;
    return;
  }
  for (uint32_t level = 0; level < kLevelsMax; ++level) {
    const size_t blocks = size_t{1} << level;
    out->keys[out->count++] = blockHashes[(blocks <= count ? blocks : count) - 1];
    if (blocks >= count) break;
  }
}

}  // namespace dualmap
