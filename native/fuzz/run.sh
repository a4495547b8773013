#!/usr/bin/env bash
# Builds every libFuzzer target of this folder and runs each for the given number of seconds (60)
# from its corpus. What it learns goes to build/fuzz, never into the repository; so does what it
# finds. Ends with the line `N passed, N failed`; exits non-zero on a finding.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
build=build/fuzz
if ! command -v clang++ >/dev/null; then
  echo 'skipped: native/fuzz needs clang++ (libFuzzer comes with it)'
  exit 0
fi

make --no-print-directory -s -j "$(nproc)" -f native/fuzz/Makefile BUILD="$build" CXX=clang++ \
  SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'

passed=0
failed=0
for source in native/fuzz/*.cc; do
  name=$(basename "$source" .cc)
  learnt=$build/corpus/$name
  mkdir -p "$learnt" "native/fuzz/corpus/$name"
  if output=$("$build/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$build/$name-" "$learnt" "native/fuzz/corpus/$name" \
    2>&1); then
    passed=$((passed + 1))
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' <<<"$output") inputs in ${seconds} s"
  else
    failed=$((failed + 1))
    tail -n 60 <<<"$output"
    echo "$name: a finding, kept as $build/$name-*"
  fi
done

echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
