// One thread's decision core as a JavaScript object. Its functions use the bare N-API and carry the
// core as data: they are called for every request.
#include "addon_core.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "addon_explain.h"
#include "addon_handle.h"
#include "addon_values.h"
#include "core/core.h"

namespace dualmap {
namespace {

// Indexes of the preallocated result array; src/core/native.ts mirrors them.
enum Result : size_t {
  kTicket,
  kChosen,
  kOther,
  kFirst,
  kSecond,
  kReason,
  kLevel,
  kStream,
  kPromptTokens,
  kCachedTokens,
  kTtftEstimateMs,
  kOtherCachedTokens,
  kOtherTtftEstimateMs,
  kPromptBytes,
  kBlocks,
  kIsWaiting,
  kQueuedMs,
  kHasClaims,
  kNextLookMs,
  kPriority,
  kSloTtftMs,
  kResultCount,
};

void writeResult(const CoreHandle& handle, const Placement& placement) noexcept {
  double* out = handle.result;
  const Decision& decision = placement.decision;
  out[kTicket] = static_cast<double>(placement.ticket);
  out[kChosen] = slotNumber(decision.chosen.slot);
  out[kOther] = slotNumber(decision.other.slot);
  out[kFirst] = slotNumber(decision.first);
  out[kSecond] = slotNumber(decision.second);
  out[kReason] = static_cast<double>(decision.reason);
  out[kLevel] = decision.level;
  out[kStream] = placement.stream ? 1 : 0;
  out[kPromptTokens] = static_cast<double>(placement.promptTokens);
  out[kCachedTokens] = static_cast<double>(decision.chosen.cachedTokens);
  out[kTtftEstimateMs] = decision.chosen.ttftEstimateMs;
  out[kOtherCachedTokens] = static_cast<double>(decision.other.cachedTokens);
  out[kOtherTtftEstimateMs] = decision.other.ttftEstimateMs;
  out[kPromptBytes] = static_cast<double>(placement.promptBytes);
  out[kBlocks] = placement.blocks;
  out[kIsWaiting] = placement.isWaiting ? 1 : 0;
  out[kQueuedMs] = placement.queuedMs;
  out[kPriority] = placement.priority;
  out[kSloTtftMs] = placement.sloTtftMs;
}

// What the thread must do next; written by every call that may change it.
void writeSignals(const CoreHandle& handle) noexcept {
  handle.result[kHasClaims] = handle.core->hasClaims() ? 1 : 0;
  handle.result[kNextLookMs] = handle.core->nextLookMs();
}

napi_value finishPlacing(napi_env env, CoreHandle& handle, PlaceStatus status,
                         const Placement& placement) noexcept {
  if (status == PlaceStatus::placed) writeResult(handle, placement);
  handle.faultParam = placement.faultParam;
  writeSignals(handle);
  return numberTo(env, static_cast<double>(status));
}

// place(body: Uint8Array, kind: number, nowMs: number, sloTtftMs: number, priority: number):
// PlaceStatus
napi_value place(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Bytes body = paddedBody(&handle.padded, bytesOf(env, arguments[0]));
  const auto kind = static_cast<PromptKind>(numberOf(env, arguments[1]));
  Placement placement;
  const PlaceStatus status =
      handle.core->place(body.data, body.length, body.capacity, kind, numberOf(env, arguments[2]),
                         {numberOf(env, arguments[3]), numberOf(env, arguments[4])}, &placement);
  return finishPlacing(env, handle, status, placement);
}

// explain(body: Uint8Array, kind: number, nowMs: number): see addon_explain.h
napi_value explain(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Bytes body = paddedBody(&handle.padded, bytesOf(env, arguments[0]));
  const auto kind = static_cast<PromptKind>(numberOf(env, arguments[1]));
  return explainTo(env, *handle.core, body, kind, numberOf(env, arguments[2]));
}

// lastPrompt(): see addon_explain.h
napi_value lastPrompt(napi_env env, napi_callback_info info) {
  size_t count = 0;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  return lastPromptTo(env, *static_cast<CoreHandle*>(data)->core);
}

// placeChain(chain: BigUint64Array, blocks: number, promptTokens: number, nowMs: number):
// PlaceStatus
napi_value placeChain(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Words chain = wordsOf(env, arguments[0]);
  const auto blocks = static_cast<uint32_t>(numberOf(env, arguments[1]));
  Placement placement;
  const PlaceStatus status = handle.core->placeChain(
      chain.data, blocks, static_cast<uint64_t>(numberOf(env, arguments[2])), 0,
      numberOf(env, arguments[3]), &placement);
  return finishPlacing(env, handle, status, placement);
}

// placeBare(model: string, nowMs: number): PlaceStatus
napi_value placeBare(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const std::string model = Napi::String(env, arguments[0]).Utf8Value();
  Placement placement;
  const PlaceStatus status = handle.core->placeBare(model, numberOf(env, arguments[1]), &placement);
  return finishPlacing(env, handle, status, placement);
}

// faultParam(): the field at which the last placing failed; empty if it was none
napi_value faultParam(napi_env env, napi_callback_info info) {
  size_t count = 0;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  return Napi::String::New(env, static_cast<CoreHandle*>(data)->faultParam);
}

// retry(ticket: number, nowMs: number): boolean
napi_value retry(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  Placement placement;
  const auto ticket = static_cast<uint64_t>(numberOf(env, arguments[0]));
  const bool isPlaced = handle.core->retry(ticket, numberOf(env, arguments[1]), &placement);
  if (isPlaced) writeResult(handle, placement);
  writeSignals(handle);
  napi_value value;
  napi_get_boolean(env, isPlaced, &value);
  return value;
}

// suspect, answered, stopWaiting(ticket: number, nowMs: number)
template <void (Core::*Method)(uint64_t, double) noexcept>
napi_value onTicket(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  (handle.core.get()->*Method)(static_cast<uint64_t>(numberOf(env, arguments[0])),
                               numberOf(env, arguments[1]));
  writeSignals(handle);
  return nullptr;
}

// look, fleetChanged(nowMs: number)
template <void (Core::*Method)(double) noexcept>
napi_value onTime(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  (handle.core.get()->*Method)(numberOf(env, arguments[0]));
  writeSignals(handle);
  return nullptr;
}

// snapshotQueue(slot: number, rows: Float64Array): number of WaitingRows written
napi_value snapshotQueue(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  const CoreHandle& handle = argumentsOf(env, info, arguments);
  const Bytes rows = bytesOf(env, arguments[1]);
  const auto slot = static_cast<uint32_t>(numberOf(env, arguments[0]));
  const auto rowsMax = static_cast<uint32_t>(rows.length / sizeof(WaitingRow));
  auto* const first = reinterpret_cast<WaitingRow*>(rows.data);
  return numberTo(env, handle.core->snapshotQueue(slot, first, rowsMax));
}

// migrate(place: number, sequence: number, from: number, to: number, nowMs: number): boolean
napi_value migrate(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const auto integer = [&](size_t index) {
    return static_cast<uint64_t>(numberOf(env, arguments[index]));
  };
  const Move planned{static_cast<uint32_t>(integer(0)), integer(1),
                     static_cast<uint32_t>(integer(2)), static_cast<uint32_t>(integer(3))};
  const bool isMoved = handle.core->migrate(planned, numberOf(env, arguments[4]));
  writeSignals(handle);
  napi_value value;
  napi_get_boolean(env, isMoved, &value);
  return value;
}

// nextClaim(): Waited
napi_value nextClaim(napi_env env, napi_callback_info info) {
  size_t count = 0;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  CoreHandle& handle = *static_cast<CoreHandle*>(data);
  Placement placement;
  const Waited waited = handle.core->nextClaim(&placement);
  if (waited != Waited::none) writeResult(handle, placement);
  writeSignals(handle);
  return numberTo(env, static_cast<double>(waited));
}

// firstToken(ticket: number, nowMs: number, ttftMs: number)
napi_value firstToken(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  handle.core->firstToken(static_cast<uint64_t>(numberOf(env, arguments[0])),
                          numberOf(env, arguments[1]), numberOf(env, arguments[2]));
  writeSignals(handle);
  return nullptr;
}

// end(ticket: number, nowMs: number, promptTokens: number)
napi_value endTicket(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  handle.core->end(static_cast<uint64_t>(numberOf(env, arguments[0])), numberOf(env, arguments[1]),
                   static_cast<uint64_t>(numberOf(env, arguments[2])));
  writeSignals(handle);
  return nullptr;
}

// tokensPerByte(model: string): number; /metrics.
napi_value tokensPerByte(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const std::string model = Napi::String(env, arguments[0]).Utf8Value();
  return numberTo(env, handle.core->tokensPerByte(model));
}

// onWake(callback: () => void): called when another thread has placed a request of this one.
Napi::Value onWake(const Napi::CallbackInfo& info) {
  auto& handle = *static_cast<CoreHandle*>(info.Data());
  handle.wake = Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(),
                                              "dualmap claims", 0, 1);
  // It keeps no loop alive, and none of its calls is lost: what is claimed stays in the mail.
  handle.wake.Unref(info.Env());
  handle.core->setWake(
      [](void* data) { static_cast<Napi::ThreadSafeFunction*>(data)->NonBlockingCall(); },
      &handle.wake);
  handle.env = info.Env();
  napi_add_env_cleanup_hook(handle.env, CoreHandle::stopWaking, &handle);
  return info.Env().Undefined();
}

napi_value ticketsInUse(napi_env env, napi_callback_info info) {
  size_t count = 0;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  return numberTo(env, static_cast<CoreHandle*>(data)->core->ticketsInUse());
}

CoreOptions optionsOf(const Napi::Object& from) {
  const auto number = [&](const char* name) {
    return from.Get(name).As<Napi::Number>().DoubleValue();
  };
  CoreOptions options;
  options.policy = static_cast<PolicyName>(number("policy"));
  options.placing.sloTtftMs = number("sloTtftMs");
  options.placing.sloTtftMsPerToken = number("sloTtftMsPerToken");
  options.placing.sloFraction = number("sloFraction");
  options.placing.tokensPerByte = number("tokensPerByte");
  const double keyLevel = number("keyLevel");
  options.placing.keyLevel = keyLevel < 0 ? kNone : static_cast<uint32_t>(keyLevel);
  options.placing.hotRequestsMin = static_cast<uint32_t>(number("hotRequestsMin"));
  options.suspicion.backoffMs = number("suspectBackoffMs");
  options.suspicion.backoffMaxMs = number("suspectBackoffMaxMs");
  QueueOptions& queue = options.queue;
  queue.isOn = number("queues") != 0;
  queue.bindsLate = number("bindsLate") != 0;
  queue.isFleetWide = number("fleetWide") != 0;
  queue.order = static_cast<QueueOrder>(number("queueOrder"));
  queue.latePolicy = static_cast<LatePolicy>(number("latePolicy"));
  queue.prefillWindowTokens = static_cast<uint64_t>(number("prefillWindowTokens"));
  queue.tokensPerBlock = options.placing.tokensPerByte * kBlockBytes;
  queue.coldClaimPrice = number("coldClaimPrice");
  queue.hasPeers = number("hasPeers") != 0;
  return options;
}

// createCore(memory: Uint8Array, thread: number, options: object, result: Float64Array,
// samples: Float64Array): object
Napi::Value createCore(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* handle = new CoreHandle;
  const Bytes memory = bytesOf(env, info[0]);
  DUALMAP_ASSERT(handle->state.attach(memory.data),
                 "the memory holds no fleet state of this version");
  handle->thread = info[1].As<Napi::Number>().Uint32Value();
  DUALMAP_ASSERT(handle->thread < handle->state.capacities().threadsMax,
                 "more threads than announced");
  handle->memory = Napi::Persistent(info[0].As<Napi::TypedArray>());
  handle->resultArray = Napi::Persistent(info[3].As<Napi::TypedArray>());
  const Bytes result = bytesOf(env, info[3]);
  DUALMAP_ASSERT(result.length >= kResultCount * sizeof(double), "the result array is too short");
  handle->result = reinterpret_cast<double*>(result.data);
  handle->core =
      std::make_unique<Core>(handle->state, handle->thread, optionsOf(info[2].As<Napi::Object>()));
  handle->samplesArray = Napi::Persistent(info[4].As<Napi::TypedArray>());
  const Bytes samples = bytesOf(env, info[4]);
  handle->core->samples().writeTo(reinterpret_cast<double*>(samples.data),
                                  samples.length / sizeof(double));
  handle->rings = std::make_unique<Rings>(handle->state, handle->thread);
  handle->hotness = std::make_unique<Hotness>(handle->state);

  Napi::Object object = Napi::Object::New(env);
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, handle, &function);
    object.Set(name, Napi::Value(env, function));
  };
  add("place", place);
  add("placeChain", placeChain);
  add("placeBare", placeBare);
  add("explain", explain);
  add("lastPrompt", lastPrompt);
  add("faultParam", faultParam);
  add("retry", retry);
  add("suspect", onTicket<&Core::suspect>);
  add("firstToken", firstToken);
  add("answered", onTicket<&Core::answered>);
  add("end", endTicket);
  add("tokensPerByte", tokensPerByte);
  add("nextClaim", nextClaim);
  add("stopWaiting", onTicket<&Core::stopWaiting>);
  add("snapshotQueue", snapshotQueue);
  add("migrate", migrate);
  add("look", onTime<&Core::look>);
  add("fleetChanged", onTime<&Core::fleetChanged>);
  object.Set("onWake", Napi::Function::New(env, onWake, "onWake", handle));
  add("ticketsInUse", ticketsInUse);
  addFleetFunctions(env, object, handle);
  object.AddFinalizer([](Napi::Env, CoreHandle* data) { delete data; }, handle);
  return object;
}

}  // namespace

void CoreHandle::stopWaking(void* data) noexcept {
  auto& handle = *static_cast<CoreHandle*>(data);
  if (!handle.wake) return;
  handle.core->setWake(nullptr, nullptr);
  handle.wake.Release();
  handle.wake = Napi::ThreadSafeFunction();
  napi_remove_env_cleanup_hook(handle.env, stopWaking, data);
}

void registerCore(Napi::Env env, Napi::Object exports) {
  exports.Set("createCore", Napi::Function::New(env, createCore));
}

}  // namespace dualmap
