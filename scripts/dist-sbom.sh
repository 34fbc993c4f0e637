#!/usr/bin/env bash
# Writes ROOT/sbom/PROGRAM.cdx.json: the components of each program, as CycloneDX.
#
#   scripts/dist-sbom.sh ROOT TARGET
set -euo pipefail
root="$(cd "${1:?usage: scripts/dist-sbom.sh ROOT TARGET}" && pwd)"
target="${2:?usage: scripts/dist-sbom.sh ROOT TARGET}"
cd "$(dirname "$0")/.."
. scripts/dist-names.sh

if ! cargo cyclonedx --version >/dev/null 2>&1; then
  echo "skipped: the SBOM, because cargo-cyclonedx is missing (cargo install cargo-cyclonedx --locked)"
  exit 0
fi
# cargo-cyclonedx can only write beside each Cargo.toml of the workspace.
leftovers() { find bench bin crates examples tests xtask -name wombat-sbom.json -delete; }
trap leftovers EXIT
# Test and build dependencies are not part of the programs.
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --no-build-deps --override-filename wombat-sbom
mkdir -p "$root/sbom"
for program in "${PROGRAMS[@]}"; do
  # A component of our own is named by where it lies in the repository, not on this machine.
  sed "s#$PWD/#/wombat/#g; s#$PWD#/wombat#g" "bin/${program#wombat-}/wombat-sbom.json" >"$root/sbom/$program.cdx.json"
  built_from "$target" "$program" | scripts/sbom_prune.py "$root/sbom/$program.cdx.json"
done
