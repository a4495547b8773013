// `priority` of a body: read for all kinds, never part of the key.

#include "prompt_model.h"

namespace dualmap::test {
namespace {

std::string bodyWith(const std::string& fields) {
  return "{" + fields + R"("messages":[{"role":"user","content":"hi"}]})";
}

TEST(aPriorityIsAnInteger) {
  const std::pair<const char*, int32_t> rows[] = {
      {"0", 0},
      {"-0", 0},
      {"7", 7},
      {"-3", -3},
      {"2147483647", INT32_MAX},
      {"-2147483648", INT32_MIN},
      {"null", 0},
  };
  for (const auto& [text, expected] : rows) {
    const Scan got = scan(bodyWith(R"("priority":)" + std::string(text) + ","));
    CHECK_THAT(got.fault == ScanFault::none, text);
    CHECK_THAT(got.priority == expected, text);
  }
  CHECK_EQUAL(scan(bodyWith("")).priority, 0);
}

TEST(whatIsNoIntegerIsBlamed) {
  for (const char* text : {"1.5", "1.0", "1e2", "2147483648", "-2147483649",
                           "123456789012345678901234567890", "\"1\"", "true", "[]", "{}"}) {
    const std::string fields = R"("priority":)" + std::string(text) + ",";
    expectFault(bodyWith(fields), PromptKind::chat, ScanFault::invalidType, "priority");
  }
  for (const char* text : {"01", "1x", "-", "+1"}) {
    const std::string fields = R"("priority":)" + std::string(text) + ",";
    expectFault(bodyWith(fields), PromptKind::chat, ScanFault::invalidJson, "");
  }
}

TEST(ofTwoPrioritiesTheLastWins) {
  CHECK_EQUAL(scan(bodyWith(R"("priority":4,"priority":2,)")).priority, 2);
  CHECK_EQUAL(scan(bodyWith(R"("priority":4,"priority":null,)")).priority, 0);
  CHECK_EQUAL(scan(bodyWith(R"("priority":"x","priority":5,)")).priority, 5);
  CHECK_EQUAL(scan(bodyWith(R"("prior\u0069ty":6,)")).priority, 6);
}

TEST(aPriorityOutlivesNoBody) {
  Reader reader;
  CHECK_EQUAL(scanWith(reader, bodyWith(R"("priority":4,)"), PromptKind::chat).priority, 4);
  CHECK_EQUAL(scanWith(reader, bodyWith(""), PromptKind::chat).priority, 0);
}

TEST(aPriorityIsNoPartOfTheKey) {
  for (const char* input : {R"("messages":[{"role":"user","content":"hi"}]})",
                            R"("prompt":"some text"})", R"("input":"some text"})"}) {
    const PromptKind kind = input[1] == 'm'   ? PromptKind::chat
                            : input[1] == 'p' ? PromptKind::completion
                                              : PromptKind::embedding;
    const Scan plain = scan(std::string("{") + input, kind);
    Scan urgent = scan(R"({"priority":-9,)" + std::string(input), kind);
    CHECK_EQUAL(urgent.priority, -9);
    urgent.priority = 0;
    CHECK(urgent == plain);
  }
}

}  // namespace
}  // namespace dualmap::test
