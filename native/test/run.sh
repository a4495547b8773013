#!/usr/bin/env bash
# Builds and runs native/test/*_test.cc: all of them under ASan and UBSan, those with threads
# (*_threads_test.cc) under TSan as well. Incremental, in build/native-test.
# Ends with the line `N passed, N failed`; exits non-zero on any failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=build/native-test
export CXX=${CXX:-g++}
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# TSan wants its addresses where it expects them: no randomization, where it may be turned off.
fixed_addresses=()
if setarch -R true 2>/dev/null; then fixed_addresses=(setarch -R); fi

passed=0
failed=0

build() { # build NAME PATTERN SANITIZE [SANITIZE_SIMDJSON]
  make --no-print-directory -s -j "$(nproc)" -f native/test/Makefile \
    BUILD="$build/$1" PATTERN="$2" SANITIZE="$3" SANITIZE_SIMDJSON="${4-$3}"
}

run_suite() { # run_suite NAME PROGRAM [PREFIX...]
  local name=$1 program=$2 status=0 output summary
  shift 2
  output=$(timeout 240 "$@" "$program" 2>&1) || status=$?
  summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' <<<"$output" | tail -n 1) || summary=''
  if [[ ! $summary =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    # A program with a main of its own, or one that died before its summary: one test.
    if [[ $status -eq 0 ]]; then summary='1 passed, 0 failed'; else summary='0 passed, 1 failed'; fi
    [[ $summary =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]
  fi
  passed=$((passed + BASH_REMATCH[1]))
  failed=$((failed + BASH_REMATCH[2]))
  if [[ $status -ne 0 && ${BASH_REMATCH[2]} -eq 0 ]]; then failed=$((failed + 1)); fi
  if [[ $status -ne 0 ]]; then printf '%s\n(exit %d)\n' "$output" "$status"; fi
  echo "$name, $(basename "$program"): $summary"
}

run_all() { # run_all NAME FILES... ; what runs them comes from `prefix`
  local name=$1 file
  shift
  for file in "$@"; do
    run_suite "$name" "$build/$name/$(basename "$file" .cc)" "${prefix[@]}"
  done
}

tests=(native/test/*_test.cc)
threaded=(native/test/*_threads_test.cc)

build asan "${tests[*]}" '-fsanitize=address,undefined -fno-sanitize-recover=all'
# A parser belongs to one thread: simdjson is left out of what TSan watches.
build tsan "${threaded[*]}" '-fsanitize=thread' ' '

prefix=()
run_all asan "${tests[@]}"
prefix=("${fixed_addresses[@]}")
run_all tsan "${threaded[@]}"

echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
