#include "usage.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dualmap {

namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::string_view kName = "\"usage\"";
constexpr size_t kSpaceMax = 64;
constexpr double kCountMax = 9007199254740991;

size_t afterSpace(std::string_view text, size_t at) {
  const size_t end = std::min(text.size(), at + kSpaceMax);
  while (at < end && std::string_view(" \t\r\n").find(text[at]) != std::string_view::npos) ++at;
  return at;
}

// Where the object begins that a name at `at` is followed by; npos if it is by something else.
size_t objectAfter(std::string_view text, size_t at) {
  at = afterSpace(text, at + kName.size());
  if (at >= text.size() || text[at] != ':') return std::string_view::npos;
  at = afterSpace(text, at + 1);
  return at < text.size() && text[at] == '{' ? at : std::string_view::npos;
}

// The object that begins at `at`; empty if it does not end.
std::string_view objectAt(std::string_view text, size_t at) {
  size_t depth = 0;
  bool isInString = false;
  for (size_t index = at; index < text.size(); ++index) {
    const char byte = text[index];
    if (isInString) {
      if (byte == '\\') ++index;
      if (byte == '"') isInString = false;
    } else if (byte == '"') {
      isInString = true;
    } else if (byte == '{') {
      ++depth;
    } else if (byte == '}' && --depth == 0) {
      return text.substr(at, index + 1 - at);
    }
  }
  return {};
}

double countOf(ondemand::value value) {
  double number = 0;
  if (value.get_double().get(number)) return -1;
  return number >= 0 && number <= kCountMax && number == std::floor(number) ? number : -1;
}

bool cachedOf(ondemand::value value, double* cached) {
  ondemand::json_type type;
  if (value.type().get(type)) return false;
  *cached = -1;
  if (type != ondemand::json_type::object) return true;
  ondemand::object details;
  if (value.get_object().get(details)) return false;
  for (auto entry : details) {
    ondemand::field field;
    std::string_view key;
    if (std::move(entry).get(field) || field.unescaped_key(true).get(key)) return false;
    if (key == "cached_tokens") *cached = countOf(field.value());
  }
  return true;
}

}  // namespace

// `"usage"` with bare quotes is never inside a JSON string, where they are escaped, so what a model
// wrote cannot be taken for it. The last one that is an object counts: others are null.
bool UsageReader::read(std::string_view answer, Usage* usage) {
  if (answer.size() > tailBytesMax) answer.remove_prefix(answer.size() - tailBytesMax);
  size_t at = answer.rfind(kName);
  while (at != std::string_view::npos) {
    const size_t begin = objectAfter(answer, at);
    if (begin != std::string_view::npos) return parse(objectAt(answer, begin), usage);
    if (at == 0) return false;
    at = answer.rfind(kName, at - 1);
  }
  return false;
}

bool UsageReader::parse(std::string_view object, Usage* usage) {
  padded_.assign(object);
  padded_.resize(object.size() + simdjson::SIMDJSON_PADDING);
  ondemand::document document;
  ondemand::object fields;
  if (parser_.iterate(padded_.data(), object.size(), padded_.size()).get(document)) return false;
  if (document.get_object().get(fields)) return false;
  *usage = {};
  for (auto entry : fields) {
    ondemand::field field;
    std::string_view key;
    if (std::move(entry).get(field) || field.unescaped_key(true).get(key)) return false;
    if (key == "prompt_tokens") usage->promptTokens = countOf(field.value());
    if (key == "completion_tokens") usage->completionTokens = countOf(field.value());
    if (key == "prompt_tokens_details" && !cachedOf(field.value(), &usage->cachedTokens)) {
      return false;
    }
  }
  return usage->promptTokens >= 0;
}

}  // namespace dualmap
