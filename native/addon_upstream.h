// The door between JavaScript and the upstream client: what native/addon.cc exports of it.
#pragma once

#include <napi.h>

namespace dualmap {

// Adds `createUpstream(options, deliver)` to the exports; src/dispatch/native.ts is its only
// caller.
void registerUpstream(Napi::Env env, Napi::Object exports);

}  // namespace dualmap
