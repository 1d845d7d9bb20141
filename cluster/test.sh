#!/bin/bash
# Runs every check of the project: formatting, warnings, the import check, all tests, and the thread sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
needs_browser=1
. cluster/setup.sh

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0

step() { printf '\n== %s\n' "$*"; }

# Fails on any warning.
build() {
  local status=0
  echo "building (some minutes)"
  swift build --build-tests --explicit-target-dependency-import-check error "$@" >"$log" 2>&1 || status=$?
  if [ $status != 0 ] || grep -qE '(warning|error):' "$log"; then
    grep -vE '^\[[0-9]+/[0-9]+\]' "$log"
    echo "the build failed, or had warnings"
    exit 1
  fi
}

# Runs tests and adds up what became of them.
tests() {
  local status=0
  timeout --foreground 900 swift test --skip-build "$@" >"$log" 2>&1 || status=$?
  grep -aE '^(✘|➜|↳)|Fatal error|ThreadSanitizer' "$log" | cut -c1-400 || true
  grep -aE 'Test run with' "$log" | tail -1 || true
  local wrong
  wrong=$(count '✘')
  passed=$((passed + $(count '✔'))) failed=$((failed + wrong)) skipped=$((skipped + $(count '➜')))
  if [ $status != 0 ] && [ "$wrong" = 0 ]; then
    tail -20 "$log"
    failed=$((failed + 1))
  fi
}

# Tests whose line begins with a mark; the last line, on the whole run, is none. The log is text, even if lines that were
# printed at the same time have broken a letter.
count() { grep -aE "^$1 Test " "$log" | grep -aE ' (passed|failed|skipped)' | grep -avc 'Test run with' || true; }

step "format"
swift format lint --strict --recursive --parallel Package.swift Sources Tests

step "build, without a warning"
build -c release

step "tests"
tests -c release

step "kernels, and all above them, as on a processor without AVX-512"
ONEDNN_MAX_CPU_ISA=AVX2 tests -c release --filter 'KernelsTests|LayersTests|ModelsTests|TrainingTests'

step "thread sanitizer on the in-process tests"
# Optimized code, because unoptimized kernels are a hundred times slower.
build -c release --sanitize=thread --scratch-path .build-tsan
in_process='CollectivesTests|LayersTests|TrainingTests'
TSAN_OPTIONS=halt_on_error=1 \
  tests -c release --sanitize=thread --scratch-path .build-tsan --filter "$in_process"

step "a planted race must be found"
LOCKSTEP_PLANTED_RACE=1 TSAN_OPTIONS=halt_on_error=1 timeout 120 \
  swift test --skip-build -c release --sanitize=thread --scratch-path .build-tsan --filter PlantedRace >"$log" 2>&1 || true
if grep -aq 'WARNING: ThreadSanitizer: .*race' "$log"; then
  echo "found"
  passed=$((passed + 1))
else
  echo "not found: the sanitizer sees nothing"
  failed=$((failed + 1))
fi

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
