#!/usr/bin/env bash
# Shows where this repository is, or changes it: in Cargo.toml, where it is a setting, and in the documents and the
# Dockerfile, whose lines are to be pasted and name it as a text.
#
#   scripts/repository.sh
#   scripts/repository.sh https://github.com/OWNER/NAME
set -euo pipefail
cd "$(dirname "$0")/.."

old="$(sed -n 's/^repository = "\(.*\)"$/\1/p' Cargo.toml)"
[ $# -gt 0 ] || { echo "$old"; exit 0; }
new="${1%/}"
new="${new%.git}"
[[ "$new" =~ ^https://[A-Za-z0-9.:-]+(/[A-Za-z0-9._~-]+)+$ ]] ||
  { echo "usage: scripts/repository.sh https://HOST/OWNER/NAME" >&2; exit 2; }
git grep -lzF "$old" -- Cargo.toml '*.md' packaging/docker/Dockerfile |
  OLD="$old" NEW="$new" xargs -0 perl -pi -e 's/\Q$ENV{OLD}\E(?![A-Za-z0-9_~-])/$ENV{NEW}/g'
# A clone has the name of its address.
[ "${old##*/}" = "${new##*/}" ] ||
  echo "a clone is now called ${new##*/}: see the lines after \`git clone\`: $(git grep -lF "git clone $new" -- '*.md' | tr '\n' ' ')"
echo "$new"
