# Shared by the packaging scripts; sourced by them, in the repository's folder.
# shellcheck shell=bash disable=SC2034

PROGRAMS=(wombat-daemon wombat-dispatcher wombat-heartbeat wombat-standup wombat-mission-control)

# What an archive contains beside the programs, as far as it exists.
SHIPPED=(LICENSE README.md CHANGELOG.md docs workspace-example .env.example ops packaging/systemd packaging/debian/wombat.env)

# The version of the workspace.
version() {
  local id
  id="$(cargo pkgid --offline -p wombat-daemon 2>/dev/null || cargo pkgid -p wombat-daemon)"
  echo "${id##*[@#]}"
}

# built_from TARGET PROGRAM: the packages that a program is made of, "NAME vVERSION" a line. One command builds all
# programs, so that what one of them turns on is in the others' packages, too.
built_from() {
  local packages=() one
  for one in "${PROGRAMS[@]}"; do packages+=(-p "$one"); done
  cargo tree --locked --offline --target "$1" --edges normal --prefix depth --format ' {p}' --no-dedupe "${packages[@]}" |
    awk -v program="$2" '/^0 / {inside = $2 == program} inside {sub(/^[0-9]+ /, ""); print $1, $2}' | sort -u
}

target_dir() {
  cargo metadata --format-version 1 --no-deps --locked | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# Whether a program of another architecture can run here (with qemu's binfmt).
runs_here() {
  "$1" --version >/dev/null 2>&1
}
