#!/usr/bin/env bash
# Checks the units of packaging/systemd with systemd-analyze: whether they are valid, and how exposed they are.
#
#   scripts/systemd-check.sh [FOLDER with units] [LIMIT of exposure, 2.0]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/dist-names.sh
units="${1:-packaging/systemd}"
limit="${2:-2.0}"

# The programs need not be installed here: a separate root holds the units and stand-ins for the programs.
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/usr/bin" "$root/etc/wombat" "$root/etc/systemd/system" "$root/usr/lib/systemd/system" "$root/usr/share/doc/wombat/docs"
: >"$root/etc/wombat/wombat.env"
for program in "${PROGRAMS[@]}"; do install -m 755 /bin/true "$root/usr/bin/$program"; done
cp "$units"/*.service "$units"/*.timer "$root/etc/systemd/system/"
# The units named in After= and WantedBy=, and the default dependencies.
for unit in /usr/lib/systemd/system /lib/systemd/system; do
  [ -d "$unit" ] && cp -rn "$unit"/*.target "$unit"/*.slice "$root/usr/lib/systemd/system/" 2>/dev/null || true
done

failed=0
names=()
for file in "$units"/*.service "$units"/*.timer; do
  name="$(basename "$file")"
  names+=("${name/@./@u1.}")
done
# It also reports on units that are not ours; a message about ours is a failure, and so is a non-zero exit code.
if said="$(cd "$root" && systemd-analyze verify --man=no --root="$root" "${names[@]}" 2>&1)" && [ -z "$said" ]; then
  echo "ok: systemd-analyze verify has nothing to say about ${#names[@]} units"
else
  printf 'FAIL: systemd-analyze verify says:\n%s\n' "$said"
  failed=1
fi
for file in "$units"/*.service; do
  name="$(basename "$file")"
  name="${name/@./@u1.}"
  if said="$(systemd-analyze security --offline=true --root="$root" --threshold="$(awk -v limit="$limit" 'BEGIN {print limit * 10}')" --no-pager "$name" 2>&1)"; then
    echo "ok: $name: $(tail -1 <<<"$said" | grep -o 'Overall.*')"
  else
    printf 'FAIL: %s leaves more open than %s:\n%s\n' "$name" "$limit" "$(grep '✗' <<<"$said" || tail -5 <<<"$said")"
    failed=1
  fi
done
exit "$failed"
