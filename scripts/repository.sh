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
# The placeholder's host is explained where it is first met; a real address needs no such words.
git grep -lzF '`git.example.com` stands for' -- '*.md' | xargs -0r perl -0777 -pi -e '
  s/^\(`git\.example\.com` stands for [^\n]*\)\n\n//mg;
  s/, and `git\.example\.com` stands for the address of this repository//g'
# A clone has the name of its address.
[ "${old##*/}" = "${new##*/}" ] ||
  echo "a clone is now called ${new##*/}: see the lines after \`git clone\`: $(git grep -lF "git clone $new" -- '*.md' | tr '\n' ' ')"
echo "$new"
