// Remembers the field lists of recent response heads, so that JavaScript keeps one list of strings
// for heads that are equal byte for byte: engines answer with few different ones. Direct mapped,
// fixed size. One client, one thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace dualmap::upstream {

class FieldCache {
 public:
  // JavaScript holds as many lists, at the same numbers, and follows every change in order.
  static constexpr uint32_t listsMax = 64;

  // The number of this list; `isNew` if it has just taken that number over from another.
  int32_t find(std::string_view fields, bool* isNew) {
    const size_t number = std::hash<std::string_view>{}(fields) % listsMax;
    Entry& entry = entries_[number];
    *isNew = !entry.used || entry.fields != fields;
    if (*isNew) {
      entry.fields.assign(fields);
      entry.used = true;
    }
    return static_cast<int32_t>(number);
  }

 private:
  struct Entry {
    std::string fields;
    bool used = false;
  };
  std::array<Entry, listsMax> entries_;
};

}  // namespace dualmap::upstream
