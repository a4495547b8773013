// Every fault of a body, and the field that it is blamed on (native/core/README.md, "Faults").

#include "prompt_model.h"

namespace dualmap::test {
namespace {

constexpr PromptKind chat = PromptKind::chat;
constexpr PromptKind completion = PromptKind::completion;
constexpr PromptKind embedding = PromptKind::embedding;

constexpr ScanFault invalidJson = ScanFault::invalidJson;
constexpr ScanFault invalidType = ScanFault::invalidType;
constexpr ScanFault emptyPrompt = ScanFault::emptyPrompt;
constexpr ScanFault tooDeep = ScanFault::tooDeep;

TEST(notJson) {
  for (const char* body :
       {"", " ", "x", "nul", "null", "[]", "1", "\"a\"", "{", "}", "{]", "{\"a\"",
        "{\"a\":", "{\"a\":1", "{\"a\":1,", "{,}", "{\"a\" 1}", "{a:1}", "{'a':1}"}) {
    expectFault(body, chat, invalidJson, "");
  }
  const std::string good = R"({"messages":[{"role":"r"}]})";
  for (const char* tail : {"x", "{}", "1", "]", "}", ",", "\"", "\x01"}) {
    CHECK_THAT(scan(good + tail).fault == invalidJson, tail);
  }
  CHECK_EQUAL(scan(good + std::string(1, '\0')).fault, invalidJson);
}

TEST(notUtf8) {
  for (const char* bytes :
       {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80"}) {
    const std::string text = bytes;
    CHECK_THAT(
        scan(R"({"messages":[{"role":"r","content":")" + text + R"("}]})").fault == invalidJson,
        text);
    CHECK_THAT(
        scan(R"({"skipped":")" + text + R"(","messages":[{"role":"r"}]})").fault == invalidJson,
        text);
    CHECK_THAT(scan("{\"messages\":[{\"role\":\"r\"}]}" + text).fault == invalidJson, text);
  }
}

TEST(malformedWhereWeRead) {
  for (const char* text :
       {R"("\x")", R"("\u12g4")", R"("\u12)", "\"a\nb\"", "\"a\x01\"", "\"open"}) {
    CHECK_THAT(scan(R"({"messages":[{"role":"r","content":)" + std::string(text) + "}]}").fault ==
                   invalidJson,
               text);
    CHECK_THAT(scan(R"({"messages":[{"role":)" + std::string(text) + "}]}").fault == invalidJson,
               text);
    CHECK_THAT(scan(R"({"model":)" + std::string(text) + "}").fault == invalidJson, text);
  }
  for (const char* value : {"tru",         "nul",        "falsey",
                            "01",          "1.",         "-",
                            "+1",          ".5",         "1e",
                            "0x1",         "NaN",        "1a",
                            "[1 2]",       "[1,]",       "[,1]",
                            "[1",          "{\"a\"}",    "{\"a\":}",
                            "{\"a\":1,}",  "{1:2}",      "{\"a\":1 \"b\":2}",
                            "\"\\u12g4\"", "{\"\\x\":1}"}) {
    CHECK_THAT(scan(R"({"messages":[{"role":"r"}],"tools":[)" + std::string(value) + "]}").fault ==
                   invalidJson,
               value);
  }
  for (const char* value : {"nul", "tru", "truely"}) {
    CHECK_THAT(scan(R"({"messages":[{"role":"r"}],"stream":)" + std::string(value) + "}").fault !=
                   ScanFault::none,
               value);
    CHECK_THAT(scan(R"({"messages":[{"role":"r"}],"model":)" + std::string(value) + "}").fault !=
                   ScanFault::none,
               value);
  }
}

TEST(wrongTypes) {
  const std::string message = R"("messages":[{"role":"r"}])";
  for (const char* value : {"1", "true", "[]", "{}"}) {
    for (const char* field : {"model", "cache_salt"}) {
      expectFault("{" + message + ",\"" + field + "\":" + value + "}", chat, invalidType, field);
      expectFault("{\"prompt\":\"p\",\"" + std::string(field) + "\":" + value + "}", completion,
                  invalidType, field);
    }
    expectFault(R"({"messages":[{"role":)" + std::string(value) + "}]}", chat, invalidType,
                "messages");
    expectFault(R"({"messages":[{"role":"r","tool_call_id":)" + std::string(value) + "}]}", chat,
                invalidType, "messages");
    expectFault(R"({"messages":[{"role":"r","content":[{"type":"text","text":)" +
                    std::string(value) + "}]}]}",
                chat, invalidType, "messages");
  }
  for (const char* value : {"1", "true", "\"s\"", "{}"}) {
    expectFault("{" + message + ",\"tools\":" + value + "}", chat, invalidType, "tools");
    expectFault(R"({"messages":)" + std::string(value) + "}", chat, invalidType, "messages");
    expectFault(R"({"messages":[{"role":"r","tool_calls":)" + std::string(value) + "}]}", chat,
                invalidType, "messages");
  }
  for (const char* value : {"1", "\"true\"", "[]", "{}"}) {
    expectFault("{" + message + ",\"stream\":" + value + "}", chat, invalidType, "stream");
  }
  for (const char* element :
       {"1", "null", "\"s\"", "[]", "true", "{}", R"({"content":"x"})", R"({"role":null})"}) {
    expectFault(R"({"messages":[)" + std::string(element) + "]}", chat, invalidType, "messages");
  }
  for (const char* content : {"1", "true", "{}", "[1]", "[null]", "[[]]", "[true]",
                              R"([{"type":"text"}])", R"([{"type":"text","text":null}])"}) {
    expectFault(R"({"messages":[{"role":"r","content":)" + std::string(content) + "}]}", chat,
                invalidType, "messages");
  }
}

TEST(wrongInputs) {
  for (const char* value :
       {"1", "true", "{}", "[true]", "[null]", "[{}]", "[1,\"a\"]", "[\"a\",1]", "[[\"a\"]]",
        "[[1],null]", "[[[1]]]", "[-1]", "[1.0]", "[1e2]", "[4294967296]", "[10000000000]",
        "[99999999999999999999]", "[[1],[-1]]"}) {
    expectFault(R"({"prompt":)" + std::string(value) + "}", completion, invalidType, "prompt");
    expectFault(R"({"input":)" + std::string(value) + "}", embedding, invalidType, "input");
  }
}

// Of duplicate keys the last wins: what the others hold is no fault, unless it is not JSON.
TEST(onlyTheLastOfEqualKeysIsJudged) {
  for (const char* body : {R"({"model":1,"messages":[{"role":"r"}],"model":"m"})",
                           R"({"stream":"x","messages":[{"role":"r"}],"stream":null})",
                           R"({"tools":3,"messages":[{"role":"r"}],"tools":[]})",
                           R"({"cache_salt":[],"messages":[{"role":"r"}],"cache_salt":"s"})",
                           R"({"messages":[{"role":1}],"messages":[{"role":"r"}]})",
                           R"({"messages":[1,{"role":"x"}],"messages":[{"role":"r"}]})",
                           R"({"messages":[{"role":1,"role":"r","content":2,"content":"c"}]})",
                           R"({"messages":[{"role":"r","tool_calls":1,"tool_calls":[]}]})",
                           R"({"messages":[{"role":"r","tool_call_id":1,"tool_call_id":"i"}]})"}) {
    CHECK_THAT(scan(body).fault == ScanFault::none, body);
  }
  CHECK(scan(R"({"messages":[{"role":"x"},1],"messages":[{"role":"r"}]})") ==
        scan(R"({"messages":[{"role":"r"}]})"));
  expectFault(R"({"messages":[{"role":"r"}],"model":"m","model":1})", chat, invalidType, "model");
  expectFault(R"({"messages":[{"role":"r"}],"messages":1})", chat, invalidType, "messages");
  expectFault(R"({"messages":[{"role":"r","role":1}]})", chat, invalidType, "messages");
  CHECK_EQUAL(scan(R"({"model":"\u12g4","messages":[{"role":"r"}],"model":"m"})").fault,
              invalidJson);
  CHECK_EQUAL(scan(R"({"prompt":1,"prompt":"p"})", completion).fault, ScanFault::none);
}

TEST(emptyPrompts) {
  for (const char* body :
       {"{}", R"({"messages":null})", R"({"messages":[]})", R"({"prompt":"p"})"}) {
    expectFault(body, chat, emptyPrompt, "messages");
  }
  for (const char* body : {"{}", R"({"prompt":null})", R"({"prompt":[]})", R"({"prompt":""})",
                           R"({"messages":[{"role":"r"}],"input":"i"})"}) {
    expectFault(body, completion, emptyPrompt, "prompt");
  }
  for (const char* body : {"{}", R"({"input":null})", R"({"input":[]})", R"({"input":""})"}) {
    expectFault(body, embedding, emptyPrompt, "input");
  }
  // Arrays of only empty elements are the engine's to judge.
  for (const char* value : {"[\"\"]", "[[]]", "[[],[]]"}) {
    CHECK_THAT(
        scan(R"({"prompt":)" + std::string(value) + "}", completion).fault == ScanFault::none,
        value);
  }
}

TEST(tooDeepNests) {
  const auto nest = [](int depth, const std::string& inside) {
    return repeated("[", depth) + inside + repeated("]", depth);
  };
  for (const char* inside : {"[]", "{}", "1", "\"s\"", "null", "true"}) {
    CHECK_EQUAL(scan(R"({"messages":[{"role":"r"}],"tools":)" + nest(63, inside) + "}").fault,
                ScanFault::none);
    expectFault(R"({"messages":[{"role":"r"}],"tools":)" + nest(64, inside) + "}", chat, tooDeep,
                "tools");
  }
  const std::string objects = repeated("{\"a\":", 63) + "{}" + repeated("}", 63);
  CHECK_EQUAL(scan(R"({"messages":[{"role":"r","content":[)" +
                   objects.substr(5, objects.size() - 6) + "]}]}")
                  .fault,
              ScanFault::none);
  expectFault(R"({"messages":[{"role":"r","content":[)" + objects + "]}]}", chat, tooDeep,
              "messages");
  expectFault(R"({"prompt":)" + nest(65, "") + "}", completion, tooDeep, "prompt");
  // What is skipped may nest as the engine likes, and nothing may exhaust the stack.
  CHECK_EQUAL(scan(R"({"x":)" + nest(900, "") + R"(,"messages":[{"role":"r"}]})").fault,
              ScanFault::none);
  CHECK(scan(R"({"messages":)" + repeated("[", 1'000'000)).fault != ScanFault::none);
  CHECK(scan(R"({"tools":)" + repeated("{\"a\":", 200'000)).fault != ScanFault::none);
  CHECK(scan(repeated("{", 1'000'000)).fault != ScanFault::none);
}

// Every prefix of a body is a fault, and none is a crash.
TEST(bodiesThatAreCutOff) {
  const std::string body =
      R"({"model":"m","tools":[{"a":[1,2.5e3,"\u00e9"],"b":{}}],"stream":true,"messages":)"
      R"([{"role":"user","content":[{"type":"text","text":"\ud800x"},{"type":"i","d":null}],)"
      R"("tool_calls":[{}],"tool_call_id":"i"}]})";
  Reader reader;
  for (size_t length = 0; length < body.size(); ++length) {
    CHECK_THAT(
        scanWith(reader, std::string_view(body).substr(0, length), chat).fault == invalidJson,
        std::to_string(length));
  }
  CHECK_EQUAL(scanWith(reader, body, chat).fault, ScanFault::none);
}

// Random bytes in random places: no crash, and the same answer twice. (What is malformed where it
// is skipped may be taken or refused, by what the padding holds: it is the engine's to reject.)
TEST(bodiesThatAreDamaged) {
  const std::string body =
      R"({"model":"m","tools":[{"a":[1,2.5e3,"\u00e9"],"b":{}}],"messages":[{"role":"user",)"
      R"("content":[{"type":"text","text":"\ud800x"},{"type":"i"}],"tool_calls":[{}]}]})";
  const std::string bytes = "\"\\{}[],:u0e-. \n\xC3\xFF";
  Random random(2);
  Reader reader;
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = body;
    for (uint64_t n = 1 + random.below(4); n > 0; --n) {
      damaged[random.below(damaged.size())] = bytes[random.below(bytes.size())];
    }
    const Scan once = scanWith(reader, damaged, chat);
    CHECK_THAT(once == scanWith(reader, damaged, chat), damaged);
  }
}

}  // namespace
}  // namespace dualmap::test
