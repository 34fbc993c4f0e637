#!/usr/bin/env bash
# Packs the output of scripts/dist.sh as dist/wombat_VERSION_ARCHITECTURE.deb, with its checksum beside it. Same
# options; with --no-build it uses what scripts/dist.sh has already staged.
#
#   scripts/deb.sh [--no-build] [--target TARGET] [--profile PROFILE]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/dist-names.sh

target="$(uname -m)-unknown-linux-musl"
profile=release
build=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --target) target="${2:?--target needs a value}"; shift 2 ;;
    --profile) profile="${2:?--profile needs a value}"; shift 2 ;;
    --no-build) build=no; shift ;;
    *) echo "usage: scripts/deb.sh [--no-build] [--target TARGET] [--profile PROFILE]" >&2; exit 2 ;;
  esac
done
cargo deb --version >/dev/null 2>&1 || { echo "cargo-deb is missing: cargo install cargo-deb --locked" >&2; exit 1; }

[ "$build" = no ] || scripts/dist.sh --target "$target" --profile "$profile"
staged="dist/wombat-$(version)-$target"
[ -d "$staged" ] || { echo "$staged is not there: scripts/dist.sh --target $target" >&2; exit 1; }

# The tree as it will be installed.
tree=dist/deb
rm -rf "$tree"
units="$tree/usr/lib/systemd/system" doc="$tree/usr/share/doc/wombat"
mkdir -p "$tree/usr/bin" "$units" "$tree/usr/lib/sysusers.d" "$doc" "$tree/usr/share/wombat" "$tree/etc/wombat"
cp "$staged"/bin/* "$tree/usr/bin/"
cp "$staged"/packaging/systemd/*.service "$staged"/packaging/systemd/*.timer "$units/"
cp "$staged"/packaging/systemd/sysusers.d/wombat.conf "$tree/usr/lib/sysusers.d/"
cp "$staged"/packaging/debian/wombat.env "$tree/etc/wombat/"
cp -r "$staged"/{README.md,CHANGELOG.md,docs} "$doc/"
cp -r "$staged"/{workspace-example,ops} "$tree/usr/share/wombat/"
[ ! -d "$staged/sbom" ] || cp -r "$staged/sbom" "$doc/"
if [ -d "$staged/share" ]; then
  cp -r "$staged/share/man" "$staged/share/fish" "$staged/share/bash-completion" "$tree/usr/share/"
  # Debian's zsh looks there.
  mkdir -p "$tree/usr/share/zsh"
  cp -r "$staged/share/zsh/site-functions" "$tree/usr/share/zsh/vendor-completions"
fi

export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
rm -f dist/wombat_*.deb dist/wombat_*.deb.sha256
# A package for checks only need not be small.
options=()
[ "$profile" != dist-check ] || options=(--fast)
# dist.sh has built and stripped the programs for this target.
cargo deb "${options[@]}" --no-build --no-strip --quiet --package wombat-daemon --target "$target" --profile "$profile" --deb-revision 1 --output dist/ >/dev/null
for file in dist/wombat_*.deb; do
  (cd dist && sha256sum "${file#dist/}" >"${file#dist/}.sha256")
  echo "$file: $(stat --format=%s "$file") bytes"
done
