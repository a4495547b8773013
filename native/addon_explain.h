// What a core tells beside its decisions, as JavaScript objects: what a request's way would be, and
// the prompt of the last one. Off the path of requests, but for the journal.
#pragma once

#include <napi.h>

#include "addon_values.h"
#include "core/core.h"

namespace dualmap {

/// `body` has 64 readable bytes behind it. `status` of the object is a PlaceStatus; of the other
/// fields only `faultParam` is there unless it is `placed`.
[[nodiscard]] Napi::Object explainTo(Napi::Env env, const Core& core, const Bytes& body,
                                     PromptKind kind, double nowMs);

/// Model, bytes and block ids in the way of traces (src/core/scan.ts).
[[nodiscard]] Napi::Object lastPromptTo(Napi::Env env, Core& core);

}  // namespace dualmap
