#!/usr/bin/env bash
# Checks an archive of scripts/dist.sh the way a user would use it: unpacks it, examines every program, and does a run
# with the reference backend and the daemon. It uses free ports and leaves no process and no file behind.
#
#   scripts/dist-check.sh dist/wombat-VERSION-TARGET.tar.gz
set -euo pipefail
archive="$(realpath "${1:?usage: scripts/dist-check.sh ARCHIVE}")"
cd "$(dirname "$0")/.."
. scripts/check-lib.sh
. scripts/dist-names.sh

work="$(mktemp -d)"
. scripts/run-check.sh
trap 'stop_programs; rm -rf "$work"' EXIT

(cd "$(dirname "$archive")" && sha256sum --quiet -c "$(basename "$archive").sha256") >/dev/null 2>&1
verdict $? "the archive has the checksum that lies beside it"

tar -xzf "$archive" -C "$work"
root="$work/$(basename "$archive" .tar.gz)"
[ -d "$root/bin" ] || { verdict 1 "the archive holds one folder named like it, with bin/"; summary; }

tar -tvzf "$archive" --numeric-owner | awk '$2 != "0/0" {wrong = 1} END {exit wrong}'
verdict $? "everything in it belongs to root"
(cd "$root" && sha256sum --quiet -c SHA256SUMS && [ "$(find . -type f ! -name SHA256SUMS | wc -l)" = "$(wc -l <SHA256SUMS)" ])
verdict $? "SHA256SUMS holds for all $(wc -l <"$root/SHA256SUMS") files"
for file in LICENSE README.md CHANGELOG.md docs/DEPLOY.md docs/QUICKSTART.md .env.example workspace-example/workspace/AGENTS.md packaging/systemd/wombat-daemon.service packaging/systemd/sysusers.d/wombat.conf packaging/debian/wombat.env; do
  [ -s "$root/$file" ] || { verdict 1 "$file is in it"; }
done

version="$(version)"
target="$(basename "$archive" .tar.gz)"
target="${target#wombat-"$version"-}"
for program in "${PROGRAMS[@]}"; do
  binary="$root/bin/$program"
  is_static "$binary"
  verdict $? "$program is static, $(( ($(stat --format=%s "$binary") + 524288) / 1048576 )) MiB"
  ! grep -qaF -e "$HOME/" -e "$PWD/" "$binary"
  verdict $? "$program names no folder of whoever built it"
  if runs_here "$binary"; then
    [ "$("$binary" --version)" = "$program $version" ]
    verdict $? "$program --version says $version"
  else
    skip "$program --version" "it is for another architecture than $(uname -m)"
  fi
done

if [ -d "$root/sbom" ]; then
  for program in "${PROGRAMS[@]}"; do
    built_from "$target" "$program" | python3 scripts/sbom_check.py "$root/sbom/$program.cdx.json" "$program" "$version"
    verdict $? "the SBOM of $program parses and names just the packages of it"
    cmp -s "$root/sbom/$program.cdx.json" "$(dirname "$archive")/$program-$version-${target}.cdx.json"
    verdict $? "the same SBOM lies beside the archive"
  done
else
  skip "SBOM" "the archive has none: cargo install cargo-cyclonedx --locked"
fi
if [ -d "$root/share/man/man1" ]; then
  for program in "${PROGRAMS[@]}"; do
    [ -s "$root/share/man/man1/$program.1" ] && [ -s "$root/share/bash-completion/completions/$program" ] &&
      bash -n "$root/share/bash-completion/completions/$program"
    verdict $? "$program has a man page and completions, and bash reads them"
  done
else
  skip "man pages and completions" "the programs have no commands \`man\` and \`completions\`"
fi

if runs_here "$root/bin/wombat-daemon"; then
  one_run "$root/bin" "$root/workspace-example"
else
  skip "a run" "the programs are for another architecture than $(uname -m)"
fi
summary
