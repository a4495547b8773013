// The door between JavaScript and the upstream client of this thread. JavaScript validates, C++
// asserts. Functions of the request path use the bare N-API and carry their client as data; none of
// them calls back. The only call into JavaScript is one delivery a loop turn, from the loop.
//
// Lifetimes: the loop's handles, which close asynchronously, and the JavaScript object may end in
// either order; the binding goes with the last. When the environment ends (a worker terminates, the
// process exits) the async cleanup hook closes every handle first, and JavaScript is not called
// again.
#include "addon_upstream.h"

#include <memory>
#include <string>

#include "upstream/client.h"
#include "upstream/invariant.h"
#include "upstream/request_head.h"

namespace dualmap {
namespace {

using upstream::Client;
using upstream::require;

constexpr uint32_t eventsMax = 4096;
constexpr size_t arenaBytes = 262'144;

void check(napi_status status, const char* what) { require(status == napi_ok, what); }

class Binding final : public upstream::ClientOwner {
 public:
  explicit Binding(napi_env env) : env_(env) {}

  // Makes the client and the object through which JavaScript uses it.
  Napi::Object init(const Napi::Object& options, const Napi::Function& deliver);

  // The functions of that object, by their arguments.
  napi_value addOrigin(const napi_value* arguments);
  napi_value start(const napi_value* arguments);
  napi_value pause(const napi_value* arguments);
  napi_value resume(const napi_value* arguments);
  napi_value cancel(const napi_value* arguments);
  napi_value newFields(const napi_value* arguments);
  napi_value close(const napi_value* arguments);

  void deliver(uint32_t eventCount) override;
  void onClosed() override;

 private:
  napi_value newBuffer(size_t byteCount, void** bytes);
  void callBack(napi_ref function, size_t count, const napi_value* arguments);
  void deleteWhenUnused();

  napi_env const env_;
  std::unique_ptr<Client> client_;
  napi_async_cleanup_hook_handle cleanupHook_ = nullptr;
  napi_ref deliver_ = nullptr;
  napi_ref onClosed_ = nullptr;
  // The object that JavaScript uses; it holds the memory of the events.
  napi_ref face_ = nullptr;
  std::string head_;
  bool isEnvironmentEnding_ = false;
  bool isObjectGone_ = false;
};

// ---- request path

template <napi_value (Binding::*method)(const napi_value*), size_t count>
napi_value call(napi_env env, napi_callback_info info) {
  napi_value arguments[count];
  size_t given = count;
  void* data = nullptr;
  check(napi_get_cb_info(env, info, &given, arguments, nullptr, &data), "callback info");
  require(given == count, "number of arguments");
  return (static_cast<Binding*>(data)->*method)(arguments);
}

int32_t int32Of(napi_env env, napi_value value) {
  int32_t number = 0;
  check(napi_get_value_int32(env, value, &number), "not a number");
  return number;
}

bool boolOf(napi_env env, napi_value value) {
  bool flag = false;
  check(napi_get_value_bool(env, value, &flag), "not a boolean");
  return flag;
}

napi_value numberOf(napi_env env, int32_t number) {
  napi_value value;
  check(napi_create_int32(env, number, &value), "number");
  return value;
}

std::string_view bytesOf(napi_env env, napi_value value) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type), "type");
  if (type == napi_null) return {};
  void* data = nullptr;
  size_t byteCount = 0;
  check(napi_get_buffer_info(env, value, &data, &byteCount), "not a Uint8Array");
  return {static_cast<const char*>(data), byteCount};
}

// Reads a head as ASCII, or as latin1 if JavaScript has seen to it that every character fits. False
// if it may not be sent.
bool readHead(napi_env env, napi_value value, uint32_t fieldCount, bool isLatin1,
              std::string* head) {
  size_t length = 0;
  check(napi_get_value_string_utf16(env, value, nullptr, 0, &length), "not a string");
  head->resize(length + 1);
  size_t copied = 0;
  // As UTF-8, a character that is not ASCII shows as bytes above 0x7f; as latin1 it would be cut to
  // its low byte, which may be a line end.
  const auto read = isLatin1 ? napi_get_value_string_latin1 : napi_get_value_string_utf8;
  check(read(env, value, head->data(), length + 1, &copied), "not a string");
  head->resize(copied);
  return upstream::isRequestHead(*head, fieldCount, !isLatin1);
}

// start(origin, head, fieldCount, body, isHeadRequest, isLatin1): the call's number, -1 if the head
// may not be sent. The body is borrowed until the call's last event or its cancel: JavaScript holds
// it.
napi_value Binding::start(const napi_value* arguments) {
  upstream::Request request;
  request.origin = static_cast<uint32_t>(int32Of(env_, arguments[0]));
  const auto fieldCount = static_cast<uint32_t>(int32Of(env_, arguments[2]));
  if (!readHead(env_, arguments[1], fieldCount, boolOf(env_, arguments[5]), &head_)) {
    return numberOf(env_, -1);
  }
  request.head = &head_;
  request.body = bytesOf(env_, arguments[3]);
  request.isHeadRequest = boolOf(env_, arguments[4]);
  return numberOf(env_, client_->start(request));
}

napi_value Binding::pause(const napi_value* arguments) {
  client_->pause(int32Of(env_, arguments[0]));
  return nullptr;
}

napi_value Binding::resume(const napi_value* arguments) {
  client_->resume(int32Of(env_, arguments[0]));
  return nullptr;
}

napi_value Binding::cancel(const napi_value* arguments) {
  client_->cancel(int32Of(env_, arguments[0]));
  return nullptr;
}

// newFields(index): within a delivery, the text of its index-th head event with a new field list.
napi_value Binding::newFields(const napi_value* arguments) {
  const auto index = static_cast<size_t>(int32Of(env_, arguments[0]));
  require(index < client_->newFields().size(), "index of a new field list");
  const std::string& text = client_->newFields()[index];
  napi_value value;
  check(napi_create_string_latin1(env_, text.data(), text.size(), &value), "string");
  return value;
}

void Binding::deliver(uint32_t eventCount) {
  if (isEnvironmentEnding_) return;
  napi_handle_scope scope;
  check(napi_open_handle_scope(env_, &scope), "scope");
  const napi_value count = numberOf(env_, static_cast<int32_t>(eventCount));
  callBack(deliver_, 1, &count);
  check(napi_close_handle_scope(env_, scope), "scope");
}

// Calls JavaScript from the loop. What it throws is uncaught; if it cannot run any more (the thread
// is being terminated) the environment ends soon, and nobody is left to tell.
void Binding::callBack(napi_ref reference, size_t count, const napi_value* arguments) {
  napi_value function;
  napi_value global;
  check(napi_get_reference_value(env_, reference, &function), "function");
  check(napi_get_global(env_, &global), "global");
  const napi_status status =
      napi_make_callback(env_, nullptr, global, function, count, arguments, nullptr);
  if (status != napi_pending_exception) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
}

// ---- beginning and end

// addOrigin(host, port): its number, or -1 if the path of a Unix socket (port -1) is too long.
napi_value Binding::addOrigin(const napi_value* arguments) {
  const std::string host = Napi::String(env_, arguments[0]).Utf8Value();
  return numberOf(env_, client_->addOrigin(host, int32Of(env_, arguments[1])));
}

// close(onClosed): cancels everything; onClosed is called when every handle is closed. No other
// function may be called from here on.
napi_value Binding::close(const napi_value* arguments) {
  check(napi_create_reference(env_, arguments[0], 1, &onClosed_), "reference");
  client_->close();
  return nullptr;
}

// The client's last word: it is deleted within.
void Binding::onClosed() {
  client_.reset();
  if (!isEnvironmentEnding_) {
    napi_handle_scope scope;
    check(napi_open_handle_scope(env_, &scope), "scope");
    napi_delete_reference(env_, face_);
    napi_delete_reference(env_, deliver_);
    callBack(onClosed_, 0, nullptr);
    napi_delete_reference(env_, onClosed_);
    check(napi_close_handle_scope(env_, scope), "scope");
  }
  napi_remove_async_cleanup_hook(cleanupHook_);
  deleteWhenUnused();
}

void Binding::deleteWhenUnused() {
  if (client_ == nullptr && isObjectGone_) delete this;
}

napi_value Binding::newBuffer(size_t byteCount, void** bytes) {
  napi_value buffer;
  check(napi_create_arraybuffer(env_, byteCount, bytes, &buffer), "ArrayBuffer");
  return buffer;
}

Napi::Object Binding::init(const Napi::Object& options, const Napi::Function& deliver) {
  const auto number = [&](const char* name) {
    return options.Get(name).As<Napi::Number>().DoubleValue();
  };
  const auto milliseconds = [&](const char* name) {
    const double limit = number(name);
    return limit < 0 ? upstream::Deadlines::off : static_cast<uint64_t>(limit);
  };
  upstream::ClientOptions limits;
  limits.connectTimeoutMs = milliseconds("connectTimeoutMs");
  limits.firstByteTimeoutMs = milliseconds("firstByteTimeoutMs");
  limits.idleTimeoutMs = milliseconds("idleTimeoutMs");
  limits.pooledMs = milliseconds("pooledMs");
  limits.addressTtlMs = milliseconds("addressTtlMs");
  limits.connectionsPerInstanceMax = static_cast<uint32_t>(number("connectionsPerInstanceMax"));
  limits.parserLimits.headBytesMax = static_cast<size_t>(number("headBytesMax"));

  void* events = nullptr;
  void* arena = nullptr;
  Napi::Object face = Napi::Object::New(env_);
  face.Set("events", Napi::Value(env_, newBuffer(eventsMax * sizeof(upstream::Event), &events)));
  face.Set("arena", Napi::Value(env_, newBuffer(arenaBytes, &arena)));
  uv_loop_t* loop = nullptr;
  check(napi_get_uv_event_loop(env_, &loop), "loop");
  client_ = std::make_unique<Client>(
      loop, limits,
      upstream::EventBatch(static_cast<upstream::Event*>(events), eventsMax,
                           static_cast<char*>(arena), arenaBytes),
      *this);
  check(napi_create_reference(env_, deliver, 1, &deliver_), "reference");
  check(napi_add_async_cleanup_hook(
            env_,
            [](napi_async_cleanup_hook_handle, void* data) {
              auto* const self = static_cast<Binding*>(data);
              self->isEnvironmentEnding_ = true;
              self->client_->close();
            },
            this, &cleanupHook_),
        "cleanup hook");

  const struct {
    const char* name;
    napi_callback function;
  } methods[] = {
      {"addOrigin", call<&Binding::addOrigin, 2>}, {"start", call<&Binding::start, 6>},
      {"pause", call<&Binding::pause, 1>},         {"resume", call<&Binding::resume, 1>},
      {"cancel", call<&Binding::cancel, 1>},       {"newFields", call<&Binding::newFields, 1>},
      {"close", call<&Binding::close, 1>}};
  for (const auto& method : methods) {
    napi_value function;
    const auto [name, native] = method;
    check(napi_create_function(env_, name, NAPI_AUTO_LENGTH, native, this, &function), "function");
    face.Set(method.name, Napi::Value(env_, function));
  }
  check(napi_wrap(
            env_, face, this,
            [](napi_env, void* data, void*) {
              auto* const self = static_cast<Binding*>(data);
              self->isObjectGone_ = true;
              self->deleteWhenUnused();
            },
            nullptr, nullptr),
        "wrap");
  check(napi_create_reference(env_, face, 1, &face_), "reference");
  return face;
}

Napi::Value createUpstream(const Napi::CallbackInfo& info) {
  auto* const binding = new Binding(info.Env());
  return binding->init(info[0].As<Napi::Object>(), info[1].As<Napi::Function>());
}

}  // namespace

void registerUpstream(Napi::Env env, Napi::Object exports) {
  exports.Set("createUpstream", Napi::Function::New(env, createUpstream));
}

}  // namespace dualmap
