// What stands behind the JavaScript object of a decision core, and how its functions reach it.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "core/core.h"

namespace dualmap {

/// A Core with what it borrows from JavaScript; lives as long as its JavaScript object.
struct CoreHandle {
  ~CoreHandle() { stopWaking(this); }
  /// Others may wake this thread as long as the handle lives: they are told before it goes.
  static void stopWaking(void* data) noexcept;

  FleetState state;
  std::unique_ptr<Core> core;
  std::unique_ptr<Rings> rings;
  std::unique_ptr<Hotness> hotness;
  Napi::Reference<Napi::TypedArray> memory;
  Napi::Reference<Napi::TypedArray> resultArray;
  Napi::Reference<Napi::TypedArray> samplesArray;
  double* result = nullptr;
  napi_env env = nullptr;
  Napi::ThreadSafeFunction wake;  // empty: nobody waits for it
  std::vector<char> padded;       // copy of a body without slack behind it
  const char* faultParam = "";    // of the last placing: a literal
  uint32_t thread = 0;
};

template <size_t Count>
CoreHandle& argumentsOf(napi_env env, napi_callback_info info,
                        napi_value (&arguments)[Count]) noexcept {
  size_t count = Count;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  DUALMAP_ASSERT(count == Count, "wrong number of arguments");
  return *static_cast<CoreHandle*>(data);
}

inline double slotNumber(uint32_t slot) noexcept {
  return slot == kNone ? -1.0 : static_cast<double>(slot);
}

/// Adds the functions of the control plane and of tests: rings, index, hotness.
void addFleetFunctions(napi_env env, Napi::Object object, CoreHandle* handle);

}  // namespace dualmap
