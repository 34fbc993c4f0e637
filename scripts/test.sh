#!/usr/bin/env bash
# Runs a test runner, and lists the skipped tests after its summary: each with its reason, and last how often each
# reason occurred, with the command that installs what is missing. Exits with the runner's exit code.
#
#   scripts/test.sh cargo nextest run --workspace
set -uo pipefail

# What scripts/extras.sh has installed is used.
extras="$(dirname "$0")/extras.sh"
eval "$("$extras" --env)"
# Tests wait more than they compute: for programs to start, timeouts to come, leases to end. Where none may be
# skipped, there are servers and browsers besides, which compute.
[ -n "${WOMBAT_TEST_ALL:-}" ] && per_core=2 || per_core=4
threads=$((per_core * $(getconf _NPROCESSORS_ONLN)))
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$threads}" NEXTEST_TEST_THREADS="${NEXTEST_TEST_THREADS:-$threads}"
WOMBAT_TEST_SKIPPED=$(mktemp)
export WOMBAT_TEST_SKIPPED
trap 'rm -f "$WOMBAT_TEST_SKIPPED"' EXIT

"$@"
code=$?
case " $* " in
*' --test it '*)
  echo 'wombat-mission-control::postgres all: PostgreSQL is not installed: apt-get install postgresql' >> "$WOMBAT_TEST_SKIPPED"
  ;;
esac

# Each test appends a line, "BINARY TEST: REASON" (crates/test-support/src/skip.rs). A reason may end with ": COMMAND".
skipped=$(sort -u "$WOMBAT_TEST_SKIPPED")
[ -n "$skipped" ] || exit "$code"
printf '\nSkipped tests:\n'
sed 's/^/  /' <<< "$skipped"
tests=$(sed -E 's/^([^ ]+ [^ ]+): .*/\1/' <<< "$skipped" | sort -u | wc -l)
[ "$tests" = 1 ] && were='test was' || were='tests were'
printf '\n%d %s skipped:\n' "$tests" "$were"
# Where one reason has several commands, or one command several reasons, each pair is a line.
sed -E 's/^[^ ]+ [^ ]+: //' <<< "$skipped" | sort | uniq -c | sort -rn | while read -r count reason; do
  printf '  %4d  %s\n' "$count" "$reason"
done
if grep -qE ': (scripts/extras\.sh|apt-get install) [^:]*$' <<< "$skipped"; then
  printf 'One command installs everything that is missing: scripts/extras.sh\n'
fi
exit "$code"
