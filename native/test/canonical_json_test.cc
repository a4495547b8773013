// Canonical JSON: sorted keys, no white space, text unescaped (native/core/README.md).

#include <map>

#include "core/canonical_json.h"
#include "prompt_model.h"

namespace dualmap::test {
namespace {

/// The canonical form of the only value of `tools` of a chat.
void expectTools(const std::string& json, const std::string& canonical) {
  expectPrompt(R"({"messages":[{"role":"r"}],"tools":)" + json + "}", PromptKind::chat,
               frame('M', "") + frame('T', canonical) + frame('m', "r"));
}

TEST(scalars) {
  expectTools(R"([true,false,null,"",0,-0,1,1.50,1E+3,-2e-7,0.1e1])",
              "[true,false,null," + inQuotes("") + ",0,-0,1,1.50,1E+3,-2e-7,0.1e1]");
  expectTools("[ 12 , 1.5\n, true\t, null ]", "[12,1.5,true,null]");
  // Numbers too large for a double or an integer are text like the others.
  expectTools("[123456789012345678901234567890,18446744073709551615,-9223372036854775809]",
              "[123456789012345678901234567890,18446744073709551615,-9223372036854775809]");
}

TEST(keysAreSortedByTheBytesOfTheirText) {
  expectTools(R"([{"b":1,"a":2,"ab":3,"":4}])", "[{" + inQuotes("") + ":4," + inQuotes("a") +
                                                    ":2," + inQuotes("ab") + ":3," + inQuotes("b") +
                                                    ":1}]");
  // By bytes, unescaped: é and U+FFFF come after z, and before U+10000.
  expectTools(R"([{"\ud800\udc00":1,"\uffff":2,"\u00e9":3,"z":4,"\u0061":5}])",
              "[{" + inQuotes("a") + ":5," + inQuotes("z") + ":4," + inQuotes("\xC3\xA9") + ":3," +
                  inQuotes("\xEF\xBF\xBF") + ":2," + inQuotes("\xF0\x90\x80\x80") + ":1}]");
}

TEST(theLastOfEqualKeysStays) {
  expectTools(R"([{"a":1,"b":2,"a":3}])", "[{" + inQuotes("a") + ":3," + inQuotes("b") + ":2}]");
  expectTools(R"([{"a":1,"\u0061":{"x":1},"a":[]}])", "[{" + inQuotes("a") + ":[]}]");
  expectTools(R"([{"k":{"a":1},"k":{"b":2}}])",
              "[{" + inQuotes("k") + ":{" + inQuotes("b") + ":2}}]");
}

TEST(nests) {
  expectTools(R"([{"a":[{"c":[],"b":{}}]},[[]]])", "[{" + inQuotes("a") + ":[{" + inQuotes("b") +
                                                       ":{}," + inQuotes("c") + ":[]}]},[[]]]");
  const std::string deep = repeated("[", 64) + repeated("]", 64);
  expectTools(deep, deep);
}

/// A random value, written twice: as some JSON, and as the only canonical form of it.
class Writer {
 public:
  explicit Writer(Random& random) : random_(random) {}

  void value(int depth) {
    switch (random_.below(depth > 0 ? 6 : 4)) {
      case 0:
        both(random_.chance(0.5) ? "true" : "null");
        break;
      case 1:
        both(std::to_string(random_.below(1000)));
        break;
      case 2:
      case 3: {
        const std::string text(random_.below(40), static_cast<char>('a' + random_.below(26)));
        json += '"' + text + '"';
        canonical += inQuotes(text);
        break;
      }
      case 4:
        array(depth);
        break;
      default:
        object(depth);
    }
    space();
  }

  std::string json;
  std::string canonical;

 private:
  void both(const std::string& text) {
    json += text;
    canonical += text;
  }

  void space() {
    for (; random_.chance(0.2); json += " \t\r\n"[random_.below(4)]) {
    }
  }

  void array(int depth) {
    both("[");
    space();
    for (uint64_t left = random_.below(5); left > 0; --left) {
      value(depth - 1);
      if (left > 1) both(",");
    }
    both("]");
  }

  void object(int depth) {
    std::map<std::string, std::string> fields;
    json += '{';
    space();
    for (uint64_t left = random_.below(6); left > 0; --left) {
      const char letter = static_cast<char>('a' + random_.below(4));
      const std::string key(1 + random_.below(2), letter);
      std::string before;
      std::swap(before, canonical);
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", letter);
      json += '"' + (random_.chance(0.3) ? escaped + key.substr(1) : key) + "\":";
      value(depth - 1);
      fields[key] = canonical;
      std::swap(before, canonical);
      if (left > 1) json += ',';
    }
    json += '}';
    canonical += '{';
    for (auto at = fields.begin(); at != fields.end(); ++at) {
      canonical += (at == fields.begin() ? "" : ",") + inQuotes(at->first) + ":" + at->second;
    }
    canonical += '}';
  }

  Random& random_;
};

TEST(randomValues) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    Writer writer(random);
    writer.value(6);
    expectTools("[" + writer.json + "]", "[" + writer.canonical + "]");
  }
}

}  // namespace
}  // namespace dualmap::test
