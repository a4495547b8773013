// `explain` of a core as a JavaScript object: what a request's way would be. Off the path of requests.
#pragma once

#include <napi.h>

#include "addon_values.h"
#include "core/core.h"

namespace dualmap {

/// `body` has 64 readable bytes behind it. `status` of the object is a PlaceStatus; of the other
/// fields only `faultParam` is there unless it is `placed`.
[[nodiscard]] Napi::Object explainTo(Napi::Env env, const Core& core, const Bytes& body,
                                     PromptKind kind, double nowMs);

}  // namespace dualmap
