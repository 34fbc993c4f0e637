#!/usr/bin/env bash
# Builds the five programs as static binaries and packs them, with documentation, units and examples, as
# dist/wombat-VERSION-TARGET.tar.gz. The same commit produces the same archive. Beside it are its checksum and the
# SBOM of each program.
#
#   scripts/dist.sh [--target TARGET] [--profile PROFILE]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/dist-names.sh

target="$(uname -m)-unknown-linux-musl"
profile=release
while [ $# -gt 0 ]; do
  case "$1" in
    --target) target="${2:?--target needs a value}"; shift 2 ;;
    --profile) profile="${2:?--profile needs a value}"; shift 2 ;;
    *) echo "usage: scripts/dist.sh [--target TARGET] [--profile PROFILE]" >&2; exit 2 ;;
  esac
done
case "$target" in
  x86_64-unknown-linux-musl | aarch64-unknown-linux-musl) ;;
  *) echo "$target is not packed: x86_64-unknown-linux-musl and aarch64-unknown-linux-musl are" >&2; exit 2 ;;
esac

# Reports missing tools before anything is built, with the command that installs them.
need() { echo "$1" >&2; exit 1; }
[ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] ||
  need "Rust's standard library for $target is missing: rustup target add $target"
build=(cargo build)
if [ "$target" = "$(uname -m)-unknown-linux-musl" ]; then
  command -v musl-gcc >/dev/null || need "a C compiler for musl is missing: apt-get install musl-tools"
  export "CC_${target//-/_}=musl-gcc"
else
  cargo zigbuild --help >/dev/null 2>&1 ||
    need "a C compiler for $target is missing: pip install cargo-zigbuild (it brings Zig, which compiles the C parts)"
  build=(cargo zigbuild)
fi

packages=()
for program in "${PROGRAMS[@]}"; do packages+=(-p "$program"); done
# Keeps paths of the build machine out of the programs; paths of this repository are relative anyway.
sources="${CARGO_HOME:-$HOME/.cargo}"
export "CFLAGS_${target//-/_}=-ffile-prefix-map=$sources=/cargo"
"${build[@]}" --locked --target "$target" --profile "$profile" \
  --config "target.$target.rustflags=[\"--remap-path-prefix=$sources=/cargo\"]" \
  "${packages[@]}"
case "$profile" in dev | test) folder=debug ;; *) folder="$profile" ;; esac
built="$(target_dir)/$target/$folder"

version="$(version)"
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
name="wombat-$version-$target"
root="dist/$name"
rm -rf "$root" "$root.tar.gz" "$root.tar.gz.sha256"
mkdir -p "$root/bin"

for program in "${PROGRAMS[@]}"; do install -m 755 "$built/$program" "$root/bin/$program"; done
for file in "${SHIPPED[@]}"; do
  [ -e "$file" ] || continue
  git ls-files -z -- "$file" | xargs -0 -r cp --parents -t "$root"
done
scripts/dist-manuals.sh "$root"
scripts/dist-sbom.sh "$root" "$target"

# Checksums of the staged files, for whoever unpacks them: sha256sum -c SHA256SUMS.
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -exec chmod u=rwX,go=rX {} +
(cd "$root" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)

# An archive for checks only need not be small.
level=--best
[ "$profile" != dist-check ] || level=--fast
tar --create --directory dist --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --format=gnu "$name" | gzip --no-name $level >"$root.tar.gz"
(cd dist && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
rm -f dist/*-"$version-$target.cdx.json"
if [ -d "$root/sbom" ]; then
  for program in "${PROGRAMS[@]}"; do cp "$root/sbom/$program.cdx.json" "dist/$program-$version-$target.cdx.json"; done
fi
echo "dist/$name.tar.gz: $(stat --format=%s "$root.tar.gz") bytes, profile $profile, $(cut -c1-16 "$root.tar.gz.sha256")…"
