#!/usr/bin/env bash
# Makes the programs in ROOT/bin write their man pages and completions into ROOT/share.
#
#   scripts/dist-manuals.sh ROOT
set -euo pipefail
root="$(cd "${1:?usage: scripts/dist-manuals.sh ROOT}" && pwd)"
. "$(dirname "$0")/dist-names.sh"

if ! runs_here "$root/bin/${PROGRAMS[0]}"; then
  echo "skipped: man pages and completions, because these programs do not run on $(uname -m)"
  exit 0
fi
# The programs read settings from the working directory; an empty folder has none.
empty="$(mktemp -d)"
trap 'rm -rf "$empty"' EXIT
cd "$empty"
share="$root/share"
for program in "${PROGRAMS[@]}"; do
  if "$root/bin/$program" man --help >/dev/null 2>&1; then
    mkdir -p "$share/man/man1"
    "$root/bin/$program" man --dir "$share/man/man1"
  else
    echo "skipped: the man page of $program, which has no command \`man\`"
  fi
  if "$root/bin/$program" completions --help >/dev/null 2>&1; then
    mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
    "$root/bin/$program" completions bash >"$share/bash-completion/completions/$program"
    "$root/bin/$program" completions zsh >"$share/zsh/site-functions/_$program"
    "$root/bin/$program" completions fish >"$share/fish/vendor_completions.d/$program.fish"
  else
    echo "skipped: completions of $program, which has no command \`completions\`"
  fi
done
