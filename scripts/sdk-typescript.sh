#!/usr/bin/env bash
# Builds the TypeScript library (sdk/typescript) in a folder of its own and tests it: types, clients, the packed package
# in a fresh folder, and our conformance suite on SQLite and PostgreSQL.
#
#   scripts/sdk-typescript.sh [TEST …]     such as client, conformance
#
# Uses the packages that scripts/extras.sh sdk_typescript has installed. The conformance suite is that of
# target/debug/wombat-mission-control, or of WOMBAT_MISSION_CONTROL.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/extras.sh --env)"

packages="${WOMBAT_TEST_SDK_TYPESCRIPT:-}"
if [ -z "$packages" ]; then
  why='the packages of sdk/typescript are not installed: scripts/extras.sh sdk_typescript'
  [ -z "${WOMBAT_TEST_ALL:-}" ] || { echo "FAIL: $why" >&2; exit 1; }
  echo "skipped: $why"
  exit 0
fi
program="${WOMBAT_MISSION_CONTROL:-${CARGO_TARGET_DIR:-target}/debug/wombat-mission-control}"
[ ! -x "$program" ] || WOMBAT_MISSION_CONTROL=$(realpath "$program")
[ -z "${WOMBAT_MISSION_CONTROL:-}" ] || export WOMBAT_MISSION_CONTROL

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r sdk/typescript/{package.json,package-lock.json,.npmrc,tsconfig.json,README.md,src,test} "$work"
ln -s "$packages/node_modules" "$work/node_modules"
cd "$work"
# Node's oldest version that the library is for; the tests start servers on the newest, too.
node="$packages/node_modules/node-oldest/bin/node"
export PATH="$packages/node_modules/node-oldest/bin:$PATH"
"$node" node_modules/typescript/bin/tsc
"$node" node_modules/typescript/bin/tsc -p test
tests=(test/*.test.mjs)
if [ $# -gt 0 ]; then
  tests=("${@/#/test/}")
  tests=("${tests[@]/%/.test.mjs}")
fi
"$node" --test --test-reporter=spec "${tests[@]}"
