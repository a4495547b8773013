// Values between JavaScript and C++, for the files of the addon. Every borrowed pointer into a
// JavaScript buffer dies with the call.
#pragma once

#include <napi.h>

#include <vector>

#include "core/fleet_state.h"
#include "simdjson.h"

namespace dualmap {

struct Bytes {
  char* data = nullptr;
  size_t length = 0;
  size_t capacity = 0;  // readable from data to the end of the ArrayBuffer
};

/// A Uint8Array, or any typed array: `length` in bytes. Works on SharedArrayBuffers too.
inline Bytes bytesOf(napi_env env, napi_value value) noexcept {
  napi_typedarray_type type;
  size_t length = 0;
  size_t offset = 0;
  void* data = nullptr;
  napi_value buffer;
  const napi_status status =
      napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, &offset);
  DUALMAP_ASSERT(status == napi_ok, "not a typed array");
  if (type == napi_float64_array) length *= 8;
  Bytes bytes{static_cast<char*>(data), length, length};
  void* start = nullptr;
  size_t total = 0;
  // Fails on a SharedArrayBuffer, which has no slack to tell of.
  if (napi_get_arraybuffer_info(env, buffer, &start, &total) == napi_ok)
    bytes.capacity = total - offset;
  return bytes;
}

struct Words {
  uint64_t* data = nullptr;
  size_t count = 0;
};

/// A BigUint64Array. Asks for nothing else: this is on the path of a decision.
inline Words wordsOf(napi_env env, napi_value value) noexcept {
  Words words;
  void* data = nullptr;
  const napi_status status =
      napi_get_typedarray_info(env, value, nullptr, &words.count, &data, nullptr, nullptr);
  DUALMAP_ASSERT(status == napi_ok, "not a typed array");
  words.data = static_cast<uint64_t*>(data);
  return words;
}

inline double numberOf(napi_env env, napi_value value) noexcept {
  double number = 0;
  const napi_status status = napi_get_value_double(env, value, &number);
  DUALMAP_ASSERT(status == napi_ok, "not a number");
  return number;
}

inline napi_value numberTo(napi_env env, double number) noexcept {
  napi_value value;
  napi_create_double(env, number, &value);
  return value;
}

/// A body with 64 readable bytes behind it: the buffer itself, or a copy if it has no slack.
inline Bytes paddedBody(std::vector<char>* scratch, const Bytes& body) {
  if (body.capacity >= body.length + simdjson::SIMDJSON_PADDING) return body;
  scratch->assign(body.data, body.data + body.length);
  scratch->resize(body.length + simdjson::SIMDJSON_PADDING);
  return {scratch->data(), body.length, scratch->size()};
}

}  // namespace dualmap
