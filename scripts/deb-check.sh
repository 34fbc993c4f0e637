#!/usr/bin/env bash
# Checks a package of scripts/deb.sh: its files and permissions, installation, upgrade and removal in a root of its
# own, and that its programs can do a run.
#
#   scripts/deb-check.sh dist/wombat_VERSION_ARCHITECTURE.deb
set -euo pipefail
deb="$(realpath "${1:?usage: scripts/deb-check.sh PACKAGE}")"
cd "$(dirname "$0")/.."
. scripts/check-lib.sh
. scripts/dist-names.sh

work="$(mktemp -d)"
. scripts/run-check.sh
trap 'stop_programs; rm -rf "$work"' EXIT

[ "$(dpkg-deb -f "$deb" Package Version | tr '\n' ' ')" = "Package: wombat Version: $(version)-1 " ]
verdict $? "it is $(basename "$deb")"
(cd "$(dirname "$deb")" && sha256sum --quiet -c "$(basename "$deb").sha256") >/dev/null 2>&1
verdict $? "it has the checksum that lies beside it"
[ "$(dpkg-deb -f "$deb" Depends)" = ca-certificates ]
verdict $? "it depends on ca-certificates and nothing else"
dpkg-deb -I "$deb" conffiles | grep -qx /etc/wombat/wombat.env
verdict $? "/etc/wombat/wombat.env is a conffile: an upgrade keeps what somebody wrote"
dpkg-deb --ctrl-tarfile "$deb" | tar -x -C "$(mkdir "$work/control" && echo "$work/control")"
for script in postinst prerm postrm; do
  [ -x "$work/control/$script" ] && sh -n "$work/control/$script"
  verdict $? "$script is there and sh reads it"
done

list="$(dpkg-deb -c "$deb")"
# rights PATTERN PATH: expects one such line in the list.
rights() { grep -qE "^$1 (root/root|0/0) .* \./$2\$" <<<"$list"; verdict $? "$2 has the rights $1"; }
for program in "${PROGRAMS[@]}"; do rights -rwxr-xr-x "usr/bin/$program"; done
rights -rw-r----- etc/wombat/wombat.env
for unit in packaging/systemd/*.service packaging/systemd/*.timer; do rights -rw-r--r-- "usr/lib/systemd/system/$(basename "$unit")"; done
rights -rw-r--r-- usr/lib/sysusers.d/wombat.conf
rights -rw-r--r-- usr/share/wombat/workspace-example/workspace/AGENTS.md
rights -rw-r--r-- usr/share/wombat/workspace-example/workspace/skills/school-search/SKILL.md
rights -rw-r--r-- usr/share/doc/wombat/docs/DEPLOY.md
rights -rw-r--r-- usr/share/doc/wombat/copyright

dpkg-deb -x "$deb" "$work/root"
if runs_here "$work/root/usr/bin/wombat-daemon"; then
  one_run "$work/root/usr/bin" "$work/root/usr/share/wombat/workspace-example"
else
  skip "a run" "the programs are for another architecture than $(uname -m)"
fi

# A root with the commands that the maintainer scripts call, so that this machine is not touched.
if [ "$(id -u)" != 0 ]; then
  skip "an installation" "only root may install"
else
  scratch="$work/scratch"
  mkdir -p "$scratch/var/lib/dpkg"/{info,updates} "$scratch/etc" "$scratch/tmp"
  : >"$scratch/var/lib/dpkg/status"
  only_root() {
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$scratch/etc/passwd"
    printf 'root:x:0:\n' >"$scratch/etc/group"
    rm -f "$scratch"/etc/{shadow,gshadow}
  }
  only_root
  mkdir -p "$scratch/usr" "$scratch/dev"
  : >"$scratch/dev/null"
  for folder in bin sbin lib lib64; do [ ! -e "/$folder" ] || ln -s "usr/$folder" "$scratch/$folder"; done
  # Every program that dpkg and the scripts call, with its libraries; none of them is a link to this machine.
  for tool in sh dpkg dpkg-split dpkg-deb dpkg-statoverride dpkg-query tar rm getent groupadd useradd chown chmod systemd-sysusers stat; do
    path="$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$tool")" || continue
    path="$(realpath "$path")"
    { echo "$path"; ldd "$path" 2>/dev/null | grep -o '/[^ ]*'; } | while read -r file; do
      into="$scratch/usr/${file#/}"
      case "$file" in /usr/*) into="$scratch$file" ;; esac
      mkdir -p "$(dirname "$into")"
      cp -L --update=none "$file" "$into" 2>/dev/null || cp -Ln "$file" "$into"
    done
    case "$tool" in sh) ln -sf "$(basename "$path")" "$scratch/usr/bin/sh" 2>/dev/null ;; esac
  done
  in_scratch() { dpkg --root="$scratch" --force-not-root --force-depends "$@" >"$work/dpkg.log" 2>&1 || { tail -5 "$work/dpkg.log"; return 1; }; }
  in_scratch --install "$deb"
  verdict $? "it installs in a root of its own, without systemd running"
  grep -q '^wombat:' "$scratch/etc/passwd" && grep -q '^wombat:' "$scratch/etc/group"
  verdict $? "the user and the group wombat are there"
  group="$(sed -n 's/^wombat:[^:]*:\([0-9]*\):.*/\1/p' "$scratch/etc/group")"
  [ "$(stat --format='%a %u %g' "$scratch/etc/wombat/wombat.env")" = "640 0 $group" ]
  verdict $? "wombat.env is root's, and readable for the group wombat alone"
  echo '# mine' >>"$scratch/etc/wombat/wombat.env"
  in_scratch --install "$deb" && grep -qx '# mine' "$scratch/etc/wombat/wombat.env"
  verdict $? "installed once more, it keeps an edited wombat.env"
  [ -z "$(find "$scratch/etc/systemd" -name '*.service' 2>/dev/null)" ]
  verdict $? "no service is enabled"
  mkdir -p "$scratch/var/lib/wombat" && : >"$scratch/var/lib/wombat/mission-control.db"
  in_scratch --purge wombat && [ ! -e "$scratch/usr/bin/wombat-daemon" ] && [ ! -e "$scratch/etc/wombat/wombat.env" ] &&
    [ -e "$scratch/var/lib/wombat/mission-control.db" ]
  verdict $? "purged, its files and settings are gone and the data is kept"
  only_root
  rm -f "$scratch/usr/bin/systemd-sysusers"
  in_scratch --install "$deb" && grep -q '^wombat:' "$scratch/etc/passwd" && grep -q '^wombat:' "$scratch/etc/group"
  verdict $? "where systemd-sysusers is not, as in a container, the user is made all the same"
fi
summary
