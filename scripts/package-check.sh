#!/usr/bin/env bash
# Builds archive and Debian package with a fast profile (dist-check) and checks them, and the systemd units. Checks
# that need a missing tool are skipped with the reason; when WOMBAT_TEST_ALL is set that is a failure.
#
#   scripts/package-check.sh [--target TARGET]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/dist-names.sh
. scripts/check-lib.sh

target="$(uname -m)-unknown-linux-musl"
[ "${1:-}" != --target ] || target="${2:?--target needs a value}"

# part WHAT COMMAND…: runs a check, shows its output, and adds its counts.
part() {
  local what="$1" log
  shift
  log="$(mktemp)"
  "$@" 2>&1 | tee "$log"
  local code="${PIPESTATUS[0]}"
  passed=$((passed + $(grep -c '^ok: ' "$log")))
  skipped=$((skipped + $(grep -c '^skipped: ' "$log")))
  local wrong
  wrong="$(grep -c '^FAIL: ' "$log")"
  # One that ends badly without a word of it counts, too.
  [ "$code" = 0 ] || [ "$wrong" != 0 ] || { wrong=1; echo "FAIL: $what ended with $code"; }
  failed=$((failed + wrong))
  rm -f "$log"
  return "$code"
}

if command -v systemd-analyze >/dev/null; then
  part "systemd units" scripts/systemd-check.sh
else
  skip "systemd units" "systemd-analyze is missing: apt-get install systemd"
fi

archive="dist/wombat-$(version)-$target.tar.gz"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! scripts/dist.sh --target "$target" --profile dist-check 2>&1 | tee "$log"; then
  if grep -q ' is missing: ' "$log"; then
    skip "archive and package" "$(grep ' is missing: ' "$log" | tail -1)"
  else
    verdict 1 "scripts/dist.sh packs $archive"
  fi
  summary
fi
verdict 0 "scripts/dist.sh packs $archive"
part "archive" scripts/dist-check.sh "$archive"

first="$(sha256sum <"$archive")"
scripts/dist.sh --target "$target" --profile dist-check >/dev/null 2>&1 && [ "$first" = "$(sha256sum <"$archive")" ]
verdict $? "packed once more, the archive is the same"

if ! cargo deb --version >/dev/null 2>&1; then
  skip "Debian package" "cargo-deb is missing: cargo install cargo-deb --locked"
elif ! command -v dpkg-deb >/dev/null; then
  skip "Debian package" "dpkg-deb is missing: this is no Debian"
else
  scripts/deb.sh --no-build --target "$target" --profile dist-check && deb="$(ls dist/wombat_*.deb)"
  verdict $? "scripts/deb.sh packs ${deb:-a package}"
  [ -z "${deb:-}" ] || part "Debian package" scripts/deb-check.sh "$deb"
fi
part "install lines" scripts/install-check.sh "$archive" ${deb:+"$deb"}
summary
