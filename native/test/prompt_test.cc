// The canonical prompt: every frame, what may change nothing, and where levels end
// (native/core/README.md, "Canonical prompt", "Blocks and keys").

#include <sys/mman.h>
#include <unistd.h>

#include "prompt_model.h"

namespace dualmap::test {
namespace {

constexpr PromptKind chat = PromptKind::chat;
constexpr PromptKind completion = PromptKind::completion;
constexpr PromptKind embedding = PromptKind::embedding;

const std::string noModel = frame('M', "");

/// A chat of one message that is not a user's, so that its key covers every byte.
void expectMessage(const std::string& fields, const std::string& canonical) {
  expectPrompt(R"({"messages":[{"role":"r",)" + fields + "}]}", chat,
               noModel + frame('m', "r") + canonical);
}

TEST(modelSaltAndTools) {
  const std::string message = R"("messages":[{"role":"r","content":"c"}])";
  const std::string tail = frame('m', "r") + frame('t', "c");
  const auto expect = [&](const std::string& fields, const std::string& canonical) {
    expectPrompt("{" + fields + message + "}", chat, canonical + tail);
  };
  expect(R"("model":"gpt",)", frame('M', "gpt"));
  expect(R"("model":null,)", noModel);
  expect(R"("model":"",)", noModel);
  expect(R"("cache_salt":"s",)", noModel + frame('S', "s"));
  expect(R"("cache_salt":"",)", noModel);
  expect(R"("cache_salt":null,)", noModel);
  expect(R"("tools":[{"b":1,"a":2}],)",
         noModel + frame('T', "[{" + inQuotes("a") + ":2," + inQuotes("b") + ":1}]"));
  expect(R"("tools":[],)", noModel);
  expect(R"("tools":null,)", noModel);
  // Always in this order, whatever the order in the body.
  expect(R"("tools":[1],"cache_salt":"s","model":"m",)",
         frame('M', "m") + frame('S', "s") + frame('T', "[1]"));
  CHECK_EQUAL(scan(R"({"model":"m\u0031","messages":[{"role":"r"}]})").model, "m1");
}

TEST(messages) {
  expectMessage(R"("content":"text")", frame('t', "text"));
  expectMessage(R"("content":"")", frame('t', ""));
  expectMessage(R"("content":null)", "");
  expectMessage(R"("name":"n")", "");
  expectMessage(R"("content":[])", "");
  expectMessage(
      R"("tool_calls":[{"b":1,"a":""}])",
      frame('c', "[{" + inQuotes("a") + ":" + inQuotes("") + "," + inQuotes("b") + ":1}]"));
  expectMessage(R"("tool_calls":[])", frame('c', "[]"));
  expectMessage(R"("tool_calls":null)", "");
  expectMessage(R"("tool_call_id":"id")", frame('i', "id"));
  expectMessage(R"("tool_call_id":"")", frame('i', ""));
  expectMessage(R"("tool_call_id":null)", "");
  expectMessage(R"("tool_call_id":"id","tool_calls":[1],"content":"t")",
                frame('t', "t") + frame('c', "[1]") + frame('i', "id"));
  expectPrompt(R"({"messages":[{"content":"one","role":"a"},{"role":"b","content":"two"}]})", chat,
               noModel + frame('m', "a") + frame('t', "one") + frame('m', "b") + frame('t', "two"));
}

TEST(parts) {
  expectMessage(R"("content":["one","two"])", frame('t', "one") + frame('t', "two"));
  expectMessage(R"("content":[{"type":"text","text":"one"},{"text":"two","type":"input_text"},)"
                R"({"type":"output_text","text":"three","annotations":[]}])",
                frame('t', "one") + frame('t', "two") + frame('t', "three"));
  const std::string part = "{" + inQuotes("image_url") + ":{" + inQuotes("url") + ":" +
                           inQuotes("d:x") + "}," + inQuotes("type") + ":" + inQuotes("image_url") +
                           "}";
  char digest[17];
  std::snprintf(digest, sizeof digest, "%016llx", static_cast<unsigned long long>(xxh3(part)));
  expectMessage(R"("content":["a",{"type":"image_url","image_url":{"url":"d:x"}},"b"])",
                frame('t', "a") + frame('b', repeated(digest, 256)) + frame('t', "b"));
  // An object that does not say that it is text is not.
  std::snprintf(
      digest, sizeof digest, "%016llx",
      static_cast<unsigned long long>(xxh3("{" + inQuotes("text") + ":" + inQuotes("t") + "}")));
  expectMessage(R"("content":[{"text":"t"}])", frame('b', repeated(digest, 256)));
}

TEST(promptAndInput) {
  expectPrompt(R"({"prompt":"text","input":1})", completion, noModel + frame('t', "text"));
  expectPrompt(R"({"input":"text","prompt":1})", embedding, noModel + frame('t', "text"));
  expectPrompt(R"({"prompt":[1,258,4294967295]})", completion,
               noModel + frame('k', std::string("\1\0\0\0\2\1\0\0\xFF\xFF\xFF\xFF", 12)));
  expectPrompt(R"({"prompt":["a","","b"]})", completion,
               noModel + frame('t', "a") + frame('t', "") + frame('t', "b"));
  expectPrompt(R"({"prompt":[[1],[],[2,3]]})", completion,
               noModel + frame('k', std::string("\1\0\0\0", 4)) + frame('k', "") +
                   frame('k', std::string("\2\0\0\0\3\0\0\0", 8)));
  expectPrompt(
      R"({"prompt":["a",[1],"b"]})", completion,
      noModel + frame('t', "a") + frame('k', std::string("\1\0\0\0", 4)) + frame('t', "b"));
  // The tools and messages of a completion are the engine's to judge.
  expectPrompt(R"({"prompt":"t","tools":[1],"messages":3})", completion, noModel + frame('t', "t"));
  expectPrompt(R"({"prompt":"t","cache_salt":"s"})", completion,
               noModel + frame('S', "s") + frame('t', "t"));
}

TEST(textIsUnescaped) {
  expectMessage(R"("content":"\u0041\n\"\\\/\u00e9é\ud83d\ude00")",
                frame('t', "A\n\"\\/\xC3\xA9\xC3\xA9\xF0\x9F\x98\x80"));
  // A lone surrogate is its three WTF-8 bytes, wherever it stands.
  expectMessage(R"("content":"a\ud800b")", frame('t',
                                                 "a\xED\xA0\x80"
                                                 "b"));
  expectMessage(R"("content":"\udc00\ud800")", frame('t', "\xED\xB0\x80\xED\xA0\x80"));
  expectMessage(R"("cont\u0065nt":"t","tool\u005fcall\u005fid":"i")",
                frame('t', "t") + frame('i', "i"));
  expectPrompt(R"({"m\u0065ssages":[{"rol\u0065":"\u0072"}]})", chat, noModel + frame('m', "r"));
}

TEST(theLastOfEqualKeysWins) {
  expectMessage(R"("content":"one","content":"two")", frame('t', "two"));
  expectMessage(R"("content":"one","cont\u0065nt":null)", "");
  expectMessage(R"("tool_calls":[1],"tool_calls":[2])", frame('c', "[2]"));
  expectMessage(R"("tool_call_id":"a","tool_call_id":null)", "");
  expectMessage(R"("content":[{"type":"x","type":"text","text":"a","text":"b"}])", frame('t', "b"));
  expectPrompt(
      R"({"messages":[{"role":"x"}],"model":"a","messages":[{"role":"a","role":"r"}],"model":"b"})",
      chat, frame('M', "b") + frame('m', "r"));
  expectPrompt(
      R"({"messages":[{"role":"r"}],"cache_salt":"s","cache_salt":null,"tools":[1],"tools":[]})",
      chat, noModel + frame('m', "r"));
  expectPrompt(R"({"prompt":"a","prompt":"b"})", completion, noModel + frame('t', "b"));
  CHECK(!scan(R"({"stream":true,"stream":null,"messages":[{"role":"r"}]})").stream);
  CHECK(scan(R"({"stream":false,"stream":true,"messages":[{"role":"r"}]})").stream);
}

TEST(whiteSpaceOrderAndSamplingChangeNothing) {
  const Scan plain = scan(R"({"model":"m","messages":[{"role":"user","content":"hello"}]})");
  CHECK(plain == scan(" {\n\t\"model\" : \"m\" ,\r\n \"messages\" : [ { \"role\" : \"user\" , "
                      "\"content\" : \"hello\" } ] } \n"));
  CHECK(plain == scan(R"({"messages":[{"content":"hello","role":"user"}],"model":"m"})"));
  CHECK(plain ==
        scan(R"({"temperature":0.5,"stop":["\ud800",{}],"model":"m","user":"u","n":1e999,)"
             R"("messages":[{"role":"user","content":"hello","name":"x"}],"stream":null})"));
  CHECK(plain != scan(R"({"model":"m","messages":[{"role":"user","content":"hellp"}]})"));
  // What is skipped is the engine's to reject.
  CHECK(plain ==
        scan(R"({"x":[1 2 tru],"model":"m","messages":[{"role":"user","content":"hello"}]})"));
  // A byte order mark is no JSON, but every parser behind us skips one.
  CHECK(plain == scan("\xEF\xBB\xBF"
                      R"({"model":"m","messages":[{"role":"user","content":"hello"}]})"));
}

TEST(levelsEndAtTheFirstUserMessage) {
  for (const size_t length :
       {0, 1, 400, 496, 505, 506, 507, 511, 512, 1017, 1018, 1019, 1530, 9000, 70'000}) {
    const std::string text(length, 'u');
    const std::string user = frame('m', "user") + frame('t', text);
    const std::string system = frame('m', "system") + frame('t', "be brief");
    const std::string canonical = noModel + system + user;
    const std::string opening = R"({"messages":[{"role":"system","content":"be brief"},)"
                                R"({"role":"user","content":")" +
                                text + R"("})";
    expectPrompt(opening + "]}", chat, canonical, canonical.size());
    const std::string answer(2000, 'a');
    const std::string turns =
        R"(,{"role":"assistant","content":")" + answer + R"("},{"role":"user","content":"more"})";
    expectPrompt(opening + turns + "]}", chat,
                 canonical + frame('m', "assistant") + frame('t', answer) + frame('m', "user") +
                     frame('t', "more"),
                 canonical.size());
    CHECK(scan(opening + "]}").levels == scan(opening + turns + "]}").levels);
    expectPrompt(R"({"prompt":")" + text + R"(x"})", completion, noModel + frame('t', text + "x"));
  }
}

TEST(thereAreSeventeenLevelsAtMost) {
  const std::string text((512u << 16) + 4096, 'z');
  const std::string canonical = noModel + frame('t', text);
  const Scan got = scan(R"({"prompt":")" + text + R"("})", completion);
  CHECK_EQUAL(got.levels.size(), 17u);
  CHECK(got.levels == levelsOf(canonical, canonical.size()));
  CHECK_EQUAL(got.blocks.size(), canonical.size() / 512);
}

TEST(aScannerForgetsTheLastBody) {
  const std::vector<std::pair<std::string, PromptKind>> bodies = {
      {R"({"model":"m","cache_salt":"s","tools":[{"a":1}],"stream":true,"messages":[)"
       R"({"role":"user","content":[{"type":"i"}],"tool_calls":[1],"tool_call_id":"x"}]})",
       chat},
      {R"({"messages":[{"role":"r"}]})", chat},
      {R"({"messages":[]})", chat},
      {R"({})", chat},
      {R"({"messages":3})", chat},
      {R"({"prompt":")" + std::string(5'000'000, 'p') + R"("})", completion},
      {R"({"prompt":[1,2]})", completion},
      {R"({})", completion},
      {R"({"input":"text"})", embedding},
      {R"({"input":)", embedding},
  };
  Reader reused;
  Random random(1);
  for (int i = 0; i < 60; ++i) {
    const auto& [body, kind] = bodies[random.below(bodies.size())];
    CHECK_THAT(scanWith(reused, body, kind) == scan(body, kind), body.substr(0, 100));
  }
}

// The law of padding: 64 readable bytes behind the body are enough, and what they hold is nothing.
TEST(paddingIsNeverRead) {
  const std::vector<std::string> bodies = {
      R"({"messages":[{"role":"user","content":"h"}]})",
      R"({"messages":[{"role":"user","content":"\ud83d\ude00\u00e9"}],"x":"a\\"})",
      R"({"messages":[{"role":"user","content":"cut of)",
      R"({"messages":[{"role":"user","content":"cut of\)",
      R"({"messages":[{"role":"user","content":12)",
      R"({"tools":[1,2)",
      R"({"messages":[{"ro\u0065)",
      "{",
      "",
      " ",
      "\"",
      "1",
      R"({"messages":[{"role":"u","content":")" + std::string(3000, 'x') + R"("}]})",
  };
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t mapped = 2 * page;
  auto* memory = static_cast<char*>(
      mmap(nullptr, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(memory != MAP_FAILED);
  CHECK(mprotect(memory + mapped, page, PROT_NONE) == 0);
  for (const std::string& body : bodies) {
    const Scan want = scan(body);
    for (const char padding : {'\0', ' ', '"', '\\', '}', ']', '7', '\xFF'}) {
      Reader reader;
      CHECK_THAT(scanWith(reader, body, chat, padding) == want, body);
      // The last byte of the padding is the last byte of the page.
      const size_t capacity = body.size() + kPaddingBytes;
      char* at = memory + mapped - capacity;
      std::memcpy(at, body.data(), body.size());
      std::memset(at + body.size(), padding, kPaddingBytes);
      const ScanFault fault = reader.scanner.scan(at, body.size(), capacity, chat, &reader.prompt);
      CHECK_THAT(fault == want.fault, body);
      const bool hasBlocks = fault == ScanFault::none;
      CHECK_THAT(!hasBlocks || reader.prompt.blockHashes == want.blocks, body);
    }
  }
  munmap(memory, mapped + page);
}

TEST(tooLittlePaddingIsRefused) {
  const std::string body = R"({"messages":[{"role":"user","content":"h"}]})";
  const std::vector<char> copy(body.begin(), body.end());
  PromptScanner scanner;
  Prompt prompt;
  CHECK(scanner.scan(copy.data(), copy.size(), copy.size(), chat, &prompt) != ScanFault::none);
}

}  // namespace
}  // namespace dualmap::test
