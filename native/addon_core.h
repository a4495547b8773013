// The door between JavaScript and one thread's decision core: what native/addon.cc exports of it.
#pragma once

#include <napi.h>

namespace dualmap {

/// Adds `createCore(memory, thread, options, result)` to the exports.
void registerCore(Napi::Env env, Napi::Object exports);

}  // namespace dualmap
