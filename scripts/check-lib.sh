# Counting and reporting for the scripts that check packages; sourced by them.
# shellcheck shell=bash

# A failed check is counted and does not end the script.
set +e

passed=0 failed=0 skipped=0

# verdict CODE WHAT: reports the result of a check.
verdict() {
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok: $2"
  else
    failed=$((failed + 1))
    echo "FAIL: $2"
  fi
}
# skip WHAT WHY: reports a check that cannot be made here; a failure when WOMBAT_TEST_ALL is set.
skip() {
  if [ -n "${WOMBAT_TEST_ALL:-}" ]; then
    failed=$((failed + 1))
    echo "FAIL: $1: not checked though WOMBAT_TEST_ALL is set: $2"
  else
    skipped=$((skipped + 1))
    echo "skipped: $1: $2"
  fi
}

# Prints the last line and exits.
summary() {
  echo "$(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
  exit
}

# is_static FILE: whether an ELF file needs no dynamic loader.
is_static() {
  python3 - "$1" <<'PY'
import struct, sys

with open(sys.argv[1], "rb") as file:
    data = file.read(4096)
assert data[:4] == b"\x7fELF" and data[4] == 2, "not a 64-bit ELF file"
offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
kinds = [struct.unpack_from("<I", data, offset + size * i)[0] for i in range(count)]
sys.exit(3 in kinds)  # PT_INTERP: the loader of libraries
PY
}
