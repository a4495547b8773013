#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <random>

#include "test.h"

namespace dualmap::test {

namespace {

// A test that is wrong is wrong a thousand times: the first few say it all.
constexpr int kFailuresShown = 5;
std::atomic<int> failures = 0;  // threads of a test may fail at once

}  // namespace

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

uint64_t seed() {
  static const uint64_t value = [] {
    const char* given = std::getenv("DUALMAP_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  }();
  return value;
}

void fail(const char* file, int line, const std::string& what) {
  if (++failures <= kFailuresShown) std::cout << file << ":" << line << ": " << what << "\n";
}

void failEqual(const char* file, int line, const char* text, const std::function<void()>& show) {
  fail(file, line, text);
  if (failures <= kFailuresShown) show();
}

std::string lastWordsOf(const std::function<void()>& action) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  std::cout.flush();
  const pid_t child = fork();
  if (child < 0) return "no child";
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    action();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof buffer)) != 0;) {
    if (count > 0) words.append(buffer, static_cast<size_t>(count));
    if (count < 0 && errno != EINTR) break;
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? words : "it did not abort";
}

}  // namespace dualmap::test

int main() {
  using namespace dualmap::test;
  std::cout << "DUALMAP_TEST_SEED=" << seed() << "\n";
  int passed = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    failures = 0;
    test.run();
    ++(failures == 0 ? passed : failed);
    if (failures > 0) std::cout << "FAILED " << test.name << ", " << failures << " checks\n";
  }
  std::cout << passed << " passed, " << failed << " failed\n";
  return failed == 0 && passed > 0 ? 0 : 1;
}
