// The functions of a core's JavaScript object that the control plane and the tests call: rings,
// prefix index, hotness. None is on the path of a request.
#include <bit>
#include <cstring>
#include <string>

#include "addon_handle.h"
#include "addon_values.h"

namespace dualmap {
namespace {

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
    // In powers of two: a new size forgets which keys are hot, and with them their pairs.
    handle.hotness->resize(std::bit_ceil(static_cast<uint32_t>(members.size())));
  }
  return numberTo(env, static_cast<double>(result));
}

// ringsVersion(): number; isReadBefore(version: number): boolean. See rings.h.
napi_value ringsVersion(napi_env env, napi_callback_info info) {
  size_t count = 0;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  return numberTo(env, static_cast<double>(static_cast<CoreHandle*>(data)->rings->version()));
}

napi_value isReadBefore(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  const CoreHandle& handle = argumentsOf(env, info, arguments);
  const auto version = static_cast<uint64_t>(numberOf(env, arguments[0]));
  napi_value value;
  napi_get_boolean(env, handle.rings->isReadBefore(version), &value);
  return value;
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
  const auto asTold = [=](uint64_t) { return isLoaded; };
  return numberTo(env, handle.hotness->levelOf(levels, instances, asTold).index);
}

}  // namespace

void addFleetFunctions(napi_env env, Napi::Object object, CoreHandle* handle) {
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, handle, &function);
    object.Set(name, Napi::Value(env, function));
  };
  add("buildRings", buildRings);
  add("ringsVersion", ringsVersion);
  add("isReadBefore", isReadBefore);
  add("pairOf", pairOf);
  add("hitBlocks", hitBlocks);
  add("insertBlocks", insertBlocks);
  add("hotLevel", hotLevel);
}

}  // namespace dualmap
