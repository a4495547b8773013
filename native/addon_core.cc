// One thread's decision core as a JavaScript object. Its functions use the bare N-API and carry the
// core as data: they are called for every request.
#include "addon_core.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "addon_explain.h"
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
  kResultCount,
};

/// A Core with what it borrows from JavaScript; lives as long as its JavaScript object.
struct CoreHandle {
  ~CoreHandle() { stopWaking(this); }
  static void stopWaking(void* data) noexcept;

  FleetState state;
  std::unique_ptr<Core> core;
  std::unique_ptr<Rings> rings;
  std::unique_ptr<Hotness> hotness;
  Napi::Reference<Napi::TypedArray> memory;
  Napi::Reference<Napi::TypedArray> resultArray;
  double* result = nullptr;
  napi_env env = nullptr;
  Napi::ThreadSafeFunction wake;  // empty: nobody waits for it
  std::vector<char> padded;       // copy of a body without slack behind it
  const char* faultParam = "";    // of the last placing: a literal
  uint32_t thread = 0;
};

// Others may call it as long as it lives: they are told before it goes.
void CoreHandle::stopWaking(void* data) noexcept {
  auto& handle = *static_cast<CoreHandle*>(data);
  if (!handle.wake) return;
  handle.core->setWake(nullptr, nullptr);
  handle.wake.Release();
  handle.wake = Napi::ThreadSafeFunction();
  napi_remove_env_cleanup_hook(handle.env, stopWaking, data);
}

template <size_t Count>
CoreHandle& argumentsOf(napi_env env, napi_callback_info info,
                        napi_value (&arguments)[Count]) noexcept {
  size_t count = Count;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  DUALMAP_ASSERT(count == Count, "wrong number of arguments");
  return *static_cast<CoreHandle*>(data);
}

double slotNumber(uint32_t slot) noexcept {
  return slot == kNone ? -1.0 : static_cast<double>(slot);
}

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

// place(body: Uint8Array, kind: number, nowMs: number): PlaceStatus
napi_value place(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Bytes body = paddedBody(&handle.padded, bytesOf(env, arguments[0]));
  const auto kind = static_cast<PromptKind>(numberOf(env, arguments[1]));
  Placement placement;
  const PlaceStatus status = handle.core->place(body.data, body.length, body.capacity, kind,
                                                numberOf(env, arguments[2]), &placement);
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

// suspect, firstToken, answered, end(ticket: number, nowMs: number)
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

uint64_t modelHashOf(const Napi::Value& name) { return xxh3(name.As<Napi::String>().Utf8Value()); }

// buildRings(members: {slot, weight, url, models: string[]}[], ringSeed: bigint): BuildResult
napi_value buildRings(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  bool lossless = true;
  const uint64_t seed = Napi::BigInt(env, arguments[1]).Uint64Value(&lossless);
  std::vector<RingMember> members;
  const Napi::Array list(env, arguments[0]);
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Object row = list.Get(i).As<Napi::Object>();
    RingMember& member = members.emplace_back();
    member.slot = row.Get("slot").As<Napi::Number>().Uint32Value();
    member.weight = row.Get("weight").As<Napi::Number>().DoubleValue();
    member.identity = xxh3(row.Get("url").As<Napi::String>().Utf8Value());
    const Napi::Array models = row.Get("models").As<Napi::Array>();
    for (uint32_t j = 0; j < models.Length(); ++j)
      member.models.push_back(modelHashOf(models.Get(j)));
  }
  const Rings::BuildResult result = handle.rings->build(members, seed);
  if (result == Rings::BuildResult::built) {
    handle.hotness->resize(static_cast<uint32_t>(members.size()));
  }
  return numberTo(env, static_cast<double>(result));
}

// pairOf(key: bigint): [first, second] of the ring over all instances, whatever their state; tests.
napi_value pairOf(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  bool lossless = true;
  const uint64_t key = Napi::BigInt(env, arguments[0]).Uint64Value(&lossless);
  const Rings::Reading rings(*handle.rings);
  Napi::Array pair = Napi::Array::New(env, 2);
  uint32_t first = kNone;
  uint32_t second = kNone;
  if (const uint32_t index = rings.groupOf(0); index != kNone) {
    const RingGroup& group = rings.group(index);
    const auto any = [](uint32_t) { return true; };
    first = rings.walk(group, 0, rings.start(group, 0, key), any);
    const auto distinct = [first](uint32_t slot) { return slot != first; };
    second = rings.walk(group, 1, rings.start(group, 1, key), distinct);
  }
  pair.Set(0u, slotNumber(first));
  pair.Set(1u, slotNumber(second));
  return pair;
}

// hitBlocks(chain: BigUint64Array, slot: number): number; and insert(chain, slot, nowMs): tests.
napi_value hitBlocks(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Words chain = wordsOf(env, arguments[0]);
  const PrefixIndex index(handle.state);
  const auto slot = static_cast<uint32_t>(numberOf(env, arguments[1]));
  const auto blocks = static_cast<uint32_t>(chain.count);
  return numberTo(env, index.hits(chain.data, blocks, slot, kNone).first);
}

napi_value insertBlocks(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Words chain = wordsOf(env, arguments[0]);
  PrefixIndex index(handle.state);
  index.insert(chain.data, static_cast<uint32_t>(chain.count),
               static_cast<uint32_t>(numberOf(env, arguments[1])), numberOf(env, arguments[2]));
  return nullptr;
}

// hotLevel(keys: BigUint64Array, instances: number, isLoaded: boolean): level; counts a request;
// tests.
napi_value hotLevel(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  CoreHandle& handle = argumentsOf(env, info, arguments);
  const Words keys = wordsOf(env, arguments[0]);
  LevelKeys levels;
  levels.count = static_cast<uint32_t>(std::min<size_t>(keys.count, kLevelsMax));
  std::memcpy(levels.keys.data(), keys.data, levels.count * 8);
  bool isLoaded = false;
  napi_get_value_bool(env, arguments[2], &isLoaded);
  const auto instances = static_cast<uint32_t>(numberOf(env, arguments[1]));
  return numberTo(env,
                  handle.hotness->levelOf(levels, instances, [=](uint64_t) { return isLoaded; }));
}

CoreOptions optionsOf(const Napi::Object& from) {
  const auto number = [&](const char* name) {
    return from.Get(name).As<Napi::Number>().DoubleValue();
  };
  CoreOptions options;
  options.policy = static_cast<PolicyName>(number("policy"));
  options.placing.sloTtftMs = number("sloTtftMs");
  options.placing.sloFraction = number("sloFraction");
  options.placing.tokensPerByte = number("tokensPerByte");
  options.suspicion.backoffMs = number("suspectBackoffMs");
  options.suspicion.backoffMaxMs = number("suspectBackoffMaxMs");
  QueueOptions& queue = options.queue;
  queue.isOn = number("queues") != 0;
  queue.bindsLate = number("bindsLate") != 0;
  queue.order = static_cast<QueueOrder>(number("queueOrder"));
  queue.latePolicy = static_cast<LatePolicy>(number("latePolicy"));
  queue.prefillWindowTokens = static_cast<uint64_t>(number("prefillWindowTokens"));
  queue.warmthPatience = number("warmthPatience");
  return options;
}

// createCore(memory: Uint8Array, thread: number, options: object, result: Float64Array): object
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
  add("firstToken", onTicket<&Core::firstToken>);
  add("answered", onTicket<&Core::answered>);
  add("end", onTicket<&Core::end>);
  add("nextClaim", nextClaim);
  add("look", onTime<&Core::look>);
  add("fleetChanged", onTime<&Core::fleetChanged>);
  object.Set("onWake", Napi::Function::New(env, onWake, "onWake", handle));
  add("ticketsInUse", ticketsInUse);
  add("buildRings", buildRings);
  add("pairOf", pairOf);
  add("hitBlocks", hitBlocks);
  add("insertBlocks", insertBlocks);
  add("hotLevel", hotLevel);
  object.AddFinalizer([](Napi::Env, CoreHandle* data) { delete data; }, handle);
  return object;
}

}  // namespace

void registerCore(Napi::Env env, Napi::Object exports) {
  exports.Set("createCore", Napi::Function::New(env, createCore));
}

}  // namespace dualmap
