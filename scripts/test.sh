#!/usr/bin/env bash
# Runs a command that runs tests; after its summary come the skipped tests, each with its reason.
# usage: scripts/test.sh cargo nextest run --workspace
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
