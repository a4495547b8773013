// The door between JavaScript and the native core. JavaScript validates, C++ asserts: what arrives
// here is of the right type.
#include <napi.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "addon_core.h"
#include "addon_upstream.h"
#include "addon_values.h"
#include "core/bare_scan.h"
#include "core/fleet_state.h"
#include "core/prompt.h"
#include "core/usage.h"
#include "core/xxh3.h"

namespace dualmap {
namespace {

Capacities capacitiesOf(const Napi::Object& from) {
  const auto number = [&](const char* name) {
    return from.Get(name).As<Napi::Number>().Uint32Value();
  };
  Capacities capacities;
  capacities.instancesMax = number("instancesMax");
  capacities.threadsMax = number("threadsMax");
  capacities.ringPointsMax = number("ringPointsMax");
  capacities.indexBlocks = number("indexBlocks");
  capacities.hotnessRequestsMax = number("hotnessRequestsMax");
  capacities.waitingMax = number("waitingMax");
  return capacities;
}

Napi::Value stateBytes(const Napi::CallbackInfo& info) {
  const uint64_t bytes = FleetState::bytesFor(capacitiesOf(info[0].As<Napi::Object>()));
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

Napi::Value createState(const Napi::CallbackInfo& info) {
  const Pages pages = info[2].As<Napi::Boolean>() ? Pages::huge : Pages::ordinary;
  FleetState::create(bytesOf(info.Env(), info[0]).data, capacitiesOf(info[1].As<Napi::Object>()),
                     pages);
  return info.Env().Undefined();
}

// layoutOf(memory): offsets in bytes from the start of the memory, and sizes, for the typed views.
Napi::Value layoutOfState(const Napi::CallbackInfo& info) {
  const Bytes memory = bytesOf(info.Env(), info[0]);
  FleetState state;
  Napi::Object result = Napi::Object::New(info.Env());
  if (!state.attach(memory.data)) return info.Env().Null();
  const auto set = [&](const char* name, uint64_t value) {
    result.Set(name, static_cast<double>(value));
  };
  const uint64_t base = FleetState::alignmentOffset(memory.data);
  set("version", kLayoutVersion);
  set("instanceCount", base + offsetof(StateHeader, instanceCount));
  set("stats", base + state.layout().stats);
  set("statsBytes", kThreadStatsBytes);
  set("slots", base + state.layout().slots);
  set("slotBytes", sizeof(InstanceSlot));
  set("identity", offsetof(InstanceSlot, identity));
  set("state", offsetof(InstanceSlot, state));
  set("generation", offsetof(InstanceSlot, generation));
  set("capacityBlocks", offsetof(InstanceSlot, capacityBlocks));
  set("baseMs", offsetof(InstanceSlot, speed) + offsetof(SpeedCoefficients, baseMs));
  set("perTokenMs", offsetof(InstanceSlot, speed) + offsetof(SpeedCoefficients, perTokenMs));
  set("perTokenContextMs",
      offsetof(InstanceSlot, speed) + offsetof(SpeedCoefficients, perTokenContextMs));
  set("perRunningMs", offsetof(InstanceSlot, speed) + offsetof(SpeedCoefficients, perRunningMs));
  set("suspectUntilMs", offsetof(InstanceSlot, suspectUntilMs));
  set("failures", offsetof(InstanceSlot, failures));
  set("models", offsetof(InstanceSlot, models));
  set("queued", offsetof(InstanceSlot, queued));
  set("prefilling", offsetof(InstanceSlot, prefilling));
  set("decoding", offsetof(InstanceSlot, decoding));
  set("holds", offsetof(InstanceSlot, holds));
  set("requestsTotal", offsetof(InstanceSlot, requestsTotal));
  set("promptTokensTotal", offsetof(InstanceSlot, promptTokensTotal));
  set("cachedTokensTotal", offsetof(InstanceSlot, cachedTokensTotal));
  set("failuresTotal", offsetof(InstanceSlot, failuresTotal));
  set("coldClaimsTotal", offsetof(InstanceSlot, coldClaimsTotal));
  set("migrationsTotal", offsetof(InstanceSlot, migrationsTotal));
  set("standing", offsetof(InstanceSlot, standing));
  set("scrapedWaiting", offsetof(InstanceSlot, scrapedWaiting));
  set("scrapedRunning", offsetof(InstanceSlot, scrapedRunning));
  set("scrapedKvUse", offsetof(InstanceSlot, scrapedKvUse));
  set("scrapedAtMs", offsetof(InstanceSlot, scrapedAtMs));
  set("peersWaiting", offsetof(InstanceSlot, peersWaiting));
  set("peersWaitedAtMs", offsetof(InstanceSlot, peersWaitedAtMs));
  return result;
}

Napi::Value identityOf(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), xxh3(info[0].As<Napi::String>().Utf8Value()));
}

Napi::BigUint64Array arrayOf(Napi::Env env, const uint64_t* words, size_t count) {
  Napi::BigUint64Array array = Napi::BigUint64Array::New(env, count);
  if (count > 0) std::memcpy(array.Data(), words, count * sizeof(uint64_t));
  return array;
}

// scanPrompt(body, kind): what the scan reads of a body; tests and explain.
Napi::Value scanPrompt(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<char> scratch;
  const Bytes body = paddedBody(&scratch, bytesOf(env, info[0]));
  PromptScanner scanner;
  Prompt prompt;
  const auto kind = static_cast<PromptKind>(info[1].As<Napi::Number>().Uint32Value());
  const ScanFault fault = scanner.scan(body.data, body.length, body.capacity, kind, &prompt);
  Napi::Object result = Napi::Object::New(env);
  result.Set("fault", static_cast<double>(fault));
  if (fault != ScanFault::none) return result;
  result.Set("stream", prompt.stream);
  result.Set("priority", prompt.priority);
  result.Set("model", Napi::String::New(env, prompt.model.data(), prompt.model.size()));
  result.Set("promptBytes", static_cast<double>(prompt.promptBytes));
  result.Set("firstUserEnd", static_cast<double>(prompt.firstUserEnd));
  result.Set("blockHashes", arrayOf(env, prompt.blockHashes.data(), prompt.blockHashes.size()));
  result.Set("levelKeys", arrayOf(env, prompt.levels.keys.data(), prompt.levels.count));
  return result;
}

// bareScan(body): the yardstick of `bench decide`. The parser is kept from call to call, as a
// Core's is.
Napi::Value bareScan(const Napi::CallbackInfo& info) {
  static thread_local BareScan scanner;
  static thread_local std::vector<char> scratch;
  const Bytes body = paddedBody(&scratch, bytesOf(info.Env(), info[0]));
  const uint64_t result = scanner.scan(body.data, body.length, body.capacity);
  return Napi::Number::New(info.Env(), static_cast<double>(result >> 11));
}

// readUsage(answer, words): see UsageReader. The three counts of Usage go to `words`.
Napi::Value readUsage(const Napi::CallbackInfo& info) {
  static thread_local UsageReader reader;
  const Bytes answer = bytesOf(info.Env(), info[0]);
  Usage usage;
  const bool isSaid = reader.read({answer.data, answer.length}, &usage);
  auto* const words = reinterpret_cast<double*>(bytesOf(info.Env(), info[1]).data);
  words[0] = usage.promptTokens;
  words[1] = usage.completionTokens;
  words[2] = usage.cachedTokens;
  return Napi::Boolean::New(info.Env(), isSaid);
}

// exitNow(code): ends the process at once. A worker thread that unwinds with open uWebSockets.js
// sockets would abort it instead.
Napi::Value exitNow(const Napi::CallbackInfo& info) {
  std::_Exit(info[0].As<Napi::Number>().Int32Value());
}

bool isProcessorSupported() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
#else
  return true;
#endif
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  if (!isProcessorSupported()) {
    Napi::Error::New(env, "this build of dualmap needs a processor with AVX2 and BMI2")
        .ThrowAsJavaScriptException();
    return exports;
  }
  exports.Set("stateBytes", Napi::Function::New(env, stateBytes));
  exports.Set("createState", Napi::Function::New(env, createState));
  exports.Set("layoutOf", Napi::Function::New(env, layoutOfState));
  exports.Set("identityOf", Napi::Function::New(env, identityOf));
  exports.Set("scanPrompt", Napi::Function::New(env, scanPrompt));
  exports.Set("bareScan", Napi::Function::New(env, bareScan));
  exports.Set("readUsage", Napi::Function::New(env, readUsage));
  exports.Set("exitNow", Napi::Function::New(env, exitNow));
  registerCore(env, exports);
  registerUpstream(env, exports);
  return exports;
}

}  // namespace
}  // namespace dualmap

static Napi::Object initializeAddon(Napi::Env env, Napi::Object exports) {
  return dualmap::initialize(env, exports);
}

NODE_API_MODULE(dualmap_core, initializeAddon)
