#include "bare_scan.h"

#include "xxh3.h"

namespace dualmap {

namespace {

namespace ondemand = simdjson::ondemand;

// Sum of the lengths of all strings; -1 on a fault.
int64_t readAll(ondemand::value value) noexcept {
  int64_t total = 0;
  ondemand::json_type type;
  if (value.type().get(type)) return -1;
  if (type == ondemand::json_type::string) {
    std::string_view text;
    return value.get_wobbly_string().get(text) ? -1 : static_cast<int64_t>(text.size());
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (value.get_array().get(array)) return -1;
    for (auto element : array) {
      ondemand::value item;
      if (std::move(element).get(item)) return -1;
      total += readAll(item);
    }
  } else if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (value.get_object().get(object)) return -1;
    for (auto entry : object) {
      ondemand::field field;
      if (std::move(entry).get(field)) return -1;
      total += static_cast<int64_t>(field.escaped_key().size()) + readAll(field.value());
    }
  } else {
    total += static_cast<int64_t>(value.raw_json_token().size());
  }
  return total;
}

}  // namespace

uint64_t BareScan::scan(const char* body, size_t bytes, size_t capacity) noexcept {
  ondemand::document document;
  ondemand::value root;
  if (parser_.iterate(body, bytes, capacity).get(document)) return 0;
  if (document.get_value().get(root)) return 0;
  const int64_t total = readAll(root);
  return total < 0 ? 0 : xxh3(body, bytes) ^ static_cast<uint64_t>(total);
}

}  // namespace dualmap
