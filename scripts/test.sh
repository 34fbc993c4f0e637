#!/usr/bin/env bash
# Runs a test runner, and lists the skipped tests with their reasons after its summary. Exits with its exit code.
#
#   scripts/test.sh cargo nextest run --workspace
set -uo pipefail

WOMBAT_TEST_SKIPPED=$(mktemp)
export WOMBAT_TEST_SKIPPED
trap 'rm -f "$WOMBAT_TEST_SKIPPED"' EXIT

"$@"
code=$?

# Each test appends a line, "BINARY TEST: REASON" (crates/test-support/src/skip.rs).
skipped=$(sort -u "$WOMBAT_TEST_SKIPPED")
if [ -n "$skipped" ]; then
  printf '\n%d skipped:\n' "$(wc -l <<< "$skipped")"
  sed 's/^/  /' <<< "$skipped"
fi
exit "$code"
