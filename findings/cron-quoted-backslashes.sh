#!/usr/bin/env bash
# Debian's cron takes one of two backslashes away, inside of the shell's quotes as well.
#
# One would guess: apart from `%`, the sixth field of a crontab reaches the shell as it was written (crontab(5)), so that
# '...' passes on everything but quotes.
# What happens: `printf %s 'a\\b'` prints a\b. A word that a shell quotes well is not well quoted in a crontab; two
# backslashes must be kept apart ('a\''\b'). A command of more than 999 characters is refused.
#
# Versions: cron 3.0pl1-162 (Debian 12), libfaketime 0.9.10. Needs both packages and root: cron runs in a mount
# namespace of its own, where /var/spool/cron and /run are empty.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dpkg-query -W cron faketime
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat > "$dir/crontab" <<CRONTAB
* * * * * printf '\%s' 'a\\\\b' > $dir/two
* * * * * printf '\%s' 'a\\''\\b' > $dir/apart
CRONTAB
cat "$dir/crontab"
unshare --mount bash -euc '
  mount -t tmpfs none /var/spool/cron
  mount -t tmpfs none /run
  mkdir -m 1730 /var/spool/cron/crontabs
  install -m 600 "$0/crontab" /var/spool/cron/crontabs/root
  # A minute passes in a second.
  LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME="+0 x60" timeout 5 cron -f || true
' "$dir"
printf 'two backslashes in quotes: %s\nkept apart: %s\n' "$(cat "$dir/two")" "$(cat "$dir/apart")"
printf '* * * * * : %01000d\n' 0 > "$dir/long"
if crontab -n "$dir/long" 2> "$dir/said"; then long=taken; else long=refused; fi
cat "$dir/said"
[ "$(cat "$dir/two")" = 'a\b' ] && [ "$(cat "$dir/apart")" = 'a\\b' ] && [ "$long" = refused ]
