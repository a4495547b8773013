// A broken invariant of the client ends the process: going on would corrupt an answer. In release
// builds too.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace dualmap::upstream {

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "dualmap: broken invariant of the upstream client: %s\n", what);
  std::abort();
}

}  // namespace dualmap::upstream
