#!/usr/bin/env bash
# Runs every fuzz target for some seconds, starting from fuzz/seeds and the corpus of earlier runs. A finding ends it,
# and is kept in fuzz/artifacts.
#
#   scripts/fuzz.sh [SECONDS a target, 60] [TARGET ...]
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds="${1:-60}"
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(workspace openapi answers contract scripts)

command -v c++ >/dev/null || { echo "a C++ compiler is missing: apt-get install g++"; exit 1; }

# Coverage instrumentation as cargo-fuzz does it, on a stable compiler. No sanitizer: this workspace has no unsafe
# code.
export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
host="$(rustc -vV | sed -n 's/^host: //p')"
target="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
# With --target, build scripts and macros are built without these flags.
CARGO_TARGET_DIR="$target" cargo build --quiet --release --locked --target "$host" --bins

for name in "${targets[@]}"; do
  mkdir -p "corpus/$name" "artifacts/$name"
  log="$(mktemp)"
  if ! "$target/$host/release/$name" "corpus/$name" "seeds/$name" -max_total_time="$seconds" \
    -max_len=8192 ${CI:+-seed=1} -timeout=10 -rss_limit_mb=2048 -artifact_prefix="artifacts/$name/" >"$log" 2>&1; then
    tail -40 "$log"
    rm -f "$log"
    echo "fuzz: $name found something; it is in fuzz/artifacts/$name"
    exit 1
  fi
  echo "fuzz: $name: $(grep -o 'Done [0-9]* runs in [0-9]* second(s)' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -1), nothing found"
  rm -f "$log"
done
