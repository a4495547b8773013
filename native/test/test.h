// A test framework of one header: TEST registers, CHECK records and goes on, CHECK_DIES runs in a
// child process. test_main.cc runs what is registered and prints the seed of the random tests.
#pragma once

#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace dualmap::test {

struct Test {
  const char* name;
  void (*run)();
};

/// All tests of this program, in the order of their definition.
std::vector<Test>& tests();

/// Starts every random test; printed by `main`, given again by DUALMAP_TEST_SEED.
uint64_t seed();

void fail(const char* file, int line, const std::string& what);

/// How the child that ran `action` ended: its standard error if it aborted, else why it did not.
std::string lastWordsOf(const std::function<void()>& action);

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

/// splitmix64: small, and the same on every machine, unlike the distributions of <random>.
class Random {
 public:
  /// `salt` keeps the tests of one program apart.
  explicit Random(uint64_t salt) : state_(seed() * 1'000'003 + salt) {}

  uint64_t next() {
    uint64_t word = state_ += 0x9E37'79B9'7F4A'7C15;
    word = (word ^ (word >> 30)) * 0xBF58'476D'1CE4'E5B9;
    word = (word ^ (word >> 27)) * 0x94D0'49BB'1331'11EB;
    return word ^ (word >> 31);
  }
  /// 0 .. limit - 1.
  uint64_t below(uint64_t limit) { return next() % limit; }
  /// 0 <= fraction < 1.
  double fraction() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  bool chance(double probability) { return fraction() < probability; }

 private:
  uint64_t state_;
};

template <typename Value>
void print(std::ostream& out, const Value& value) {
  if constexpr (requires { out << value; }) {
    out << value;
  } else if constexpr (std::is_enum_v<Value>) {
    out << static_cast<int64_t>(value);
  } else if constexpr (requires { value.begin(); }) {
    out << "[";
    for (const auto& element : value) print(out, element), out << " ";
    out << "]";
  } else {
    out << "?";
  }
}

void failEqual(const char* file, int line, const char* text, const std::function<void()>& show);

template <typename Left, typename Right>
void checkEqual(const char* file, int line, const char* text, const Left& got, const Right& want) {
  if (got == want) return;
  failEqual(file, line, text, [&] {
    std::cout << "  got ";
    print(std::cout, got);
    std::cout << "\n  want ";
    print(std::cout, want);
    std::cout << "\n";
  });
}

}  // namespace dualmap::test

#define TEST(name)                                                          \
  static void name();                                                       \
  static const dualmap::test::Registration registered_##name(#name, &name); \
  static void name()

#define CHECK(condition) \
  ((condition) ? (void)0 : dualmap::test::fail(__FILE__, __LINE__, #condition))

/// `CHECK` that also says which case of a table or a loop it was.
#define CHECK_THAT(condition, which)                     \
  ((condition) ? (void)0                                 \
               : dualmap::test::fail(__FILE__, __LINE__, \
                                     std::string(#condition ": ") + std::string(which)))

#define CHECK_EQUAL(got, want) \
  dualmap::test::checkEqual(__FILE__, __LINE__, #got " == " #want, got, want)

/// The statement ends the process by abort and says `text` on the way.
#define CHECK_DIES(statement, text)                                             \
  do {                                                                          \
    const std::string words = dualmap::test::lastWordsOf([&] { statement; });   \
    CHECK_THAT(words.find(text) != std::string::npos, #statement ": " + words); \
  } while (0)
