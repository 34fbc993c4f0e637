#!/usr/bin/env bash
# Runs the README's lines under "Install" as somebody would paste them, against a server that has the files of dist:
# the archive is unpacked and its programs run, apt-get is asked whether it would install the package. Docker and
# Cargo are stand-ins, which check what they are given.
#
#   scripts/install-check.sh dist/wombat-VERSION-TARGET.tar.gz [dist/wombat_VERSION_ARCHITECTURE.deb]
set -euo pipefail
archive="$(realpath "${1:?usage: scripts/install-check.sh ARCHIVE [PACKAGE]}")"
package="${2:+$(realpath "$2")}"
cd "$(dirname "$0")/.."
. scripts/check-lib.sh
. scripts/dist-names.sh

command -v curl >/dev/null || { skip "install lines" "curl is missing: apt-get install curl"; summary; }
work="$(mktemp -d)"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

# What a release has, where a release has it.
version="$(version)"
files="$work/site/releases/download/v$version"
mkdir -p "$files" "$work/bin"
cp "$archive" "$archive.sha256" "$files/"
[ -z "$package" ] || cp "$package" "$package.sha256" "$files/"
image="wombat-$version-image-$(uname -m).tar.gz"
gzip --no-name </dev/null >"$files/$image"
(cd "$files" && sha256sum "$image" >"$image.sha256")
python3 -u -m http.server --bind 127.0.0.1 --directory "$work/site" 0 >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do grep -q 'port [0-9]' "$work/server.log" && break; sleep 0.1; done
address="http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$work/server.log")"

# Nothing of this machine changes.
cat >"$work/bin/sudo" <<'STUB'
#!/bin/sh
[ "$1 $2" = "apt-get install" ] || { echo "sudo $*: not done here" >&2; exit 1; }
exec apt-get install --simulate "$3"
STUB
cat >"$work/bin/docker" <<'STUB'
#!/bin/sh
case "$1" in
  load) [ "$2" = --input ] && gzip --test "$3" && echo "would load $3" ;;
  run) echo "would run $*" ;;
  *) echo "docker $*: not done here" >&2; exit 1 ;;
esac
STUB
cat >"$work/bin/cargo" <<'STUB'
#!/bin/sh
echo "would run cargo $*"
STUB
chmod +x "$work"/bin/*

# block TEXT: the block under "Install" that has this text, with the server's address.
repository="$(scripts/repository.sh)"
block() {
  awk -v text="$1" '
    /^## / {inside = $0 == "## Install"}
    !inside {next}
    /^```/ {if (open && index(lines, text)) {printf "%s", lines; found = 1} open = !open; lines = ""; next}
    open {lines = lines $0 "\n"}
    END {exit !found}' README.md | sed "s#$repository#$address#g"
}
# pasted NAME TEXT [MORE]: runs a block, and MORE after it.
pasted() {
  local lines
  lines="$(block "$2")" || { verdict 1 "README.md has lines for the $1 under Install"; return 1; }
  mkdir -p "$work/$1"
  (cd "$work/$1" && PATH="$work/bin:$PATH" bash -c "$lines
${3:-}") >"$work/$1.log" 2>&1
  local code=$?
  verdict $code "the lines for the $1 work as they stand"
  [ $code = 0 ] || sed 's/^/  /' "$work/$1.log"
  return $code
}

pasted archive linux-musl "[ \"\$(command -v wombat-daemon)\" = \"\$PWD/\$archive/bin/wombat-daemon\" ] && wombat-daemon --version"
if [ -z "$package" ]; then
  skip "the lines for the package" "there is none"
elif ! command -v apt-get >/dev/null; then
  skip "the lines for the package" "apt-get is missing: this is no Debian"
else
  pasted package .deb && grep -q '^Inst wombat ' "$work/package.log"
  verdict $? "apt-get would install it"
fi
pasted image docker && grep -q "^would run run .* wombat:$version wombat-daemon --version\$" "$work/image.log"
verdict $? "the image is loaded, and run by the name that it has"
pasted cargo "cargo install" && grep -q "^would run cargo install --locked --git $address.git ${PROGRAMS[*]}\$" "$work/cargo.log"
verdict $? "cargo install names the repository and the five programs"

# A file that is not the right one is not unpacked.
echo more >>"$files/$(basename "$archive")"
lines="$(block linux-musl)"
mkdir "$work/changed"
(cd "$work/changed" && bash -c "$lines") >"$work/changed.log" 2>&1
[ -z "$(find "$work/changed" -mindepth 1 -type d)" ] && grep -q 'FAILED' "$work/changed.log"
verdict $? "an archive that was changed is not unpacked"
summary
