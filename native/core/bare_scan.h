// The yardstick of `bench decide`: what simdjson and XXH3 cost on a body when nothing is done with
// what they read. Reads every value of the document, unescapes every string, hashes the body once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simdjson.h"

namespace dualmap {

class BareScan {
 public:
  /// `capacity` >= `bytes` + 64. 0 if the body is not JSON.
  [[nodiscard]] uint64_t scan(const char* body, size_t bytes, size_t capacity) noexcept;

 private:
  simdjson::ondemand::parser parser_;
};

}  // namespace dualmap
