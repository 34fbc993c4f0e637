#!/usr/bin/env bash
# Builds PgBouncer 1.24.1 from the source package of Debian 13 into a folder, for the tests of the reference backend.
set -euo pipefail
to="$1"
if ! { command -v pkg-config >/dev/null && pkg-config --exists libevent openssl; }; then
  apt-get update
  apt-get install -y --no-install-recommends libevent-dev libssl-dev pkg-config
fi
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir -p lists/partial
# Only here, so that the machine's own sources stay as they are; from where those come.
from="$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -n 1)"
cat >trixie.sources <<SOURCES
Types: deb-src
URIs: $from
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
only=(-o "Dir::Etc::sourcelist=$dir/trixie.sources" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$dir/lists" -o APT::Sandbox::User=root)
apt-get "${only[@]}" update
apt-get "${only[@]}" source --download-only pgbouncer
mkdir source
tar -xf pgbouncer_1.24.1.orig.tar.gz -C source --strip-components=1
cd source
./configure --quiet --prefix="$to" --without-cares
make -s -j"$(nproc)" >/dev/null
make -s install >/dev/null
