#include "canonical_json.h"

#include <algorithm>

namespace dualmap {

namespace ondemand = simdjson::ondemand;

namespace {

std::string_view trimmed(std::string_view token) noexcept {
  const size_t last = token.find_last_not_of(" \t\r\n");
  return token.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

size_t digitsFrom(std::string_view token, size_t at) noexcept {
  while (at < token.size() && token[at] >= '0' && token[at] <= '9') ++at;
  return at;
}

// RFC 8259, section 6. The text is kept as it is, so that no number is too large or too exact.
bool isNumber(std::string_view token) noexcept {
  const size_t start = token.starts_with('-') ? 1 : 0;
  size_t at = digitsFrom(token, start);
  if (at == start || (token[start] == '0' && at > start + 1)) return false;
  if (at < token.size() && token[at] == '.') {
    const size_t fraction = at + 1;
    at = digitsFrom(token, fraction);
    if (at == fraction) return false;
  }
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    size_t exponent = at + 1;
    if (exponent < token.size() && (token[exponent] == '+' || token[exponent] == '-')) ++exponent;
    at = digitsFrom(token, exponent);
    if (at == exponent) return false;
  }
  return at == token.size();
}

}  // namespace

void JsonTree::clear() noexcept {
  nodes_.clear();
  nodes_.emplace_back();
  pending_.clear();
  escapedKeys_.clear();
}

uint32_t JsonTree::add(Type type) noexcept {
  nodes_.emplace_back().type = type;
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t JsonTree::child(uint32_t object, std::string_view key) const noexcept {
  for (uint32_t at = nodes_[object].firstChild; at != 0; at = nodes_[at].next) {
    if (nodes_[at].key == key) return at;
  }
  return 0;
}

ScanFault JsonTree::read(ondemand::parser& parser, ondemand::value value, uint32_t* out) noexcept {
  return readValue(parser, value, 1, out);
}

ScanFault JsonTree::keyOf(ondemand::parser& parser, ondemand::field& field,
                          std::string_view* out) noexcept {
  const std::string_view escaped = field.escaped_key();
  if (escaped.find('\\') == std::string_view::npos) {
    *out = escaped;
    return ScanFault::none;
  }
  // Unescaping never makes text longer; the parser writes in whole vectors, hence the slack.
  std::string& text = escapedKeys_.emplace_back(escaped.size() + simdjson::SIMDJSON_PADDING, '\0');
  auto* destination = reinterpret_cast<uint8_t*>(text.data());
  if (parser.unescape_wobbly(field.key(), destination).get(*out)) return ScanFault::invalidJson;
  return ScanFault::none;
}

ScanFault JsonTree::readValue(ondemand::parser& parser, ondemand::value& value, int depth,
                              uint32_t* out) noexcept {
  if (depth > kDepthMax) return ScanFault::tooDeep;
  ondemand::json_type type;
  if (value.type().get(type)) return ScanFault::invalidJson;
  switch (type) {
    case ondemand::json_type::null: {
      bool isNull = false;
      if (value.is_null().get(isNull) || !isNull) return ScanFault::invalidJson;
      *out = add(Type::null);
      return ScanFault::none;
    }
    case ondemand::json_type::boolean: {
      bool flag = false;
      if (value.get_bool().get(flag)) return ScanFault::invalidJson;
      *out = add(Type::literal);
      nodes_[*out].text = flag ? "true" : "false";
      return ScanFault::none;
    }
    case ondemand::json_type::number: {
      const std::string_view token = trimmed(value.raw_json_token());
      if (!isNumber(token)) return ScanFault::invalidJson;
      *out = add(Type::number);
      nodes_[*out].text = token;
      return ScanFault::none;
    }
    case ondemand::json_type::string: {
      *out = add(Type::string);
      if (value.get_wobbly_string().get(nodes_[*out].text)) return ScanFault::invalidJson;
      return ScanFault::none;
    }
    case ondemand::json_type::array:
      *out = add(Type::array);
      return readArray(parser, value, depth, *out);
    case ondemand::json_type::object:
      *out = add(Type::object);
      return readObject(parser, value, depth, *out);
  }
  return ScanFault::invalidJson;
}

ScanFault JsonTree::readArray(ondemand::parser& parser, ondemand::value& value, int depth,
                              uint32_t parent) noexcept {
  ondemand::array array;
  if (value.get_array().get(array)) return ScanFault::invalidJson;
  uint32_t last = 0;
  for (auto element : array) {
    ondemand::value item;
    if (std::move(element).get(item)) return ScanFault::invalidJson;
    uint32_t index = 0;
    const ScanFault fault = readValue(parser, item, depth + 1, &index);
    if (fault != ScanFault::none) return fault;
    (last == 0 ? nodes_[parent].firstChild : nodes_[last].next) = index;
    last = index;
  }
  return ScanFault::none;
}

ScanFault JsonTree::readObject(ondemand::parser& parser, ondemand::value& value, int depth,
                               uint32_t parent) noexcept {
  ondemand::object object;
  if (value.get_object().get(object)) return ScanFault::invalidJson;
  const size_t pendingFrom = pending_.size();
  for (auto entry : object) {
    ondemand::field field;
    if (std::move(entry).get(field)) return ScanFault::invalidJson;
    std::string_view key;
    ScanFault fault = keyOf(parser, field, &key);
    if (fault != ScanFault::none) return fault;
    uint32_t index = 0;
    fault = readValue(parser, field.value(), depth + 1, &index);
    if (fault != ScanFault::none) return fault;
    nodes_[index].key = key;
    pending_.push_back(index);
  }
  linkSorted(parent, pendingFrom);
  pending_.resize(pendingFrom);
  return ScanFault::none;
}

// Links the children read since `pendingFrom` in the order of their keys; of equal keys the last
// stays.
void JsonTree::linkSorted(uint32_t parent, size_t pendingFrom) noexcept {
  const auto begin = pending_.begin() + static_cast<std::ptrdiff_t>(pendingFrom);
  const auto byKey = [this](uint32_t a, uint32_t b) { return nodes_[a].key < nodes_[b].key; };
  if (!std::is_sorted(begin, pending_.end(), byKey)) std::stable_sort(begin, pending_.end(), byKey);
  uint32_t last = 0;
  for (auto at = begin; at != pending_.end(); ++at) {
    if (at + 1 != pending_.end() && nodes_[*at].key == nodes_[*(at + 1)].key) continue;
    (last == 0 ? nodes_[parent].firstChild : nodes_[last].next) = *at;
    last = *at;
  }
}

}  // namespace dualmap
