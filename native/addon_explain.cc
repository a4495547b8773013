#include "addon_explain.h"

namespace dualmap {
namespace {

Napi::Object candidateTo(Napi::Env env, const Candidate& candidate) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("slot", static_cast<double>(candidate.slot));
  object.Set("cachedTokens", static_cast<double>(candidate.cachedTokens));
  object.Set("uncachedTokens", static_cast<double>(candidate.uncachedTokens));
  object.Set("pendingTokens", static_cast<double>(candidate.pendingTokens));
  object.Set("ttftEstimateMs", candidate.ttftEstimateMs);
  return object;
}

/// Blocks of a trace are of 512 tokens, at 4 bytes each.
constexpr uint64_t kTraceBlocks = 2048 / kBlockBytes;

}  // namespace

Napi::Object lastPromptTo(Napi::Env env, Core& core) {
  const Prompt& prompt = core.lastPrompt();
  const size_t whole = prompt.blockHashes.size() / kTraceBlocks;
  const bool hasRest = prompt.promptBytes > whole * kTraceBlocks * kBlockBytes;
  Napi::BigUint64Array ids = Napi::BigUint64Array::New(env, whole + (hasRest ? 1 : 0));
  for (size_t i = 0; i < whole; ++i) ids[i] = prompt.blockHashes[(i + 1) * kTraceBlocks - 1];
  if (hasRest) ids[whole] = core.lastPromptKey();
  Napi::Object object = Napi::Object::New(env);
  object.Set("model", Napi::String::New(env, prompt.model.data(), prompt.model.size()));
  object.Set("promptBytes", static_cast<double>(prompt.promptBytes));
  object.Set("traceIds", ids);
  return object;
}

Napi::Object explainTo(Napi::Env env, const Core& core, const Bytes& body, PromptKind kind,
                       double nowMs) {
  Placement placement;
  uint64_t key = 0;
  const PlaceStatus status =
      core.explain(body.data, body.length, body.capacity, kind, nowMs, &placement, &key);
  Napi::Object object = Napi::Object::New(env);
  object.Set("status", static_cast<double>(status));
  object.Set("faultParam", placement.faultParam);
  if (status != PlaceStatus::placed) return object;
  const Decision& decision = placement.decision;
  object.Set("promptBytes", static_cast<double>(placement.promptBytes));
  object.Set("promptTokens", static_cast<double>(placement.promptTokens));
  object.Set("blocks", placement.blocks);
  object.Set("level", decision.level);
  object.Set("key", Napi::BigInt::New(env, key));
  object.Set("reason", static_cast<double>(decision.reason));
  object.Set("chosen", candidateTo(env, decision.chosen));
  const bool isPair = decision.other.slot != kNone;
  object.Set("other", isPair ? candidateTo(env, decision.other) : env.Null());
  return object;
}

}  // namespace dualmap
