#!/usr/bin/env bash
# A daily systemd timer does not fire at all on the day on which clocks are put forward over its time.
#
# One would guess: `OnCalendar=*-*-* 02:30:00` elapses every day, like `30 2 * * *` of cron, which runs the line right
# after the gap. And `*:00,30` elapses every half an hour.
# What happens: in Berlin the day of 29 March 2026 is left out, without a word. On 25 October 2026 the half hours of the
# second pass from 02:00 to 03:00 are left out, so that 90 minutes pass between two elapses.
#
# Versions: systemd 252 (Debian 12), tzdata 2025b or newer. Needs systemd-analyze; starts nothing.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

systemd-analyze --version | head -n 1
elapses() { # BASE CALENDAR
  TZ=Europe/Berlin systemd-analyze calendar --base-time="$1" --iterations=2 "$2" | sed -n 's/.*(in UTC): //p'
}
echo 'daily at 02:30, over the gap of 29 March:'
daily=$(elapses '2026-03-28 00:00:00 UTC' '*-*-* 02:30:00')
echo "$daily"
echo 'every half an hour, over the second 02:00 to 03:00 of 25 October:'
half=$(elapses '2026-10-25 00:15:00 UTC' '*-*-* *:00,30:00')
echo "$half"
[ "$daily" = $'Sat 2026-03-28 01:30:00 UTC\nMon 2026-03-30 00:30:00 UTC' ] &&
  [ "$half" = $'Sun 2026-10-25 00:30:00 UTC\nSun 2026-10-25 02:00:00 UTC' ]
