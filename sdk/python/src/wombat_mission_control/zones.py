"""Clocks of time zones: moments of UTC for what a clock shows, also where clocks change."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from .errors import invalid

UTC = timezone.utc


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "posixrules", "Factory"}


def zone_of(field: str, name: str) -> ZoneInfo:
    """The zone of an IANA name; 400 for any other text."""
    if name not in _known():
        raise invalid(field, "names an unknown time zone; write an IANA name such as Europe/Berlin")
    return ZoneInfo(name)


def is_gap(zone: ZoneInfo, local: datetime) -> bool:
    """Whether a clock leaves out a time."""
    there = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return there.astimezone(zone).replace(tzinfo=None) != local


def moments(zone: ZoneInfo, local: datetime) -> list[datetime]:
    """The moments at which a clock shows a time: none in a gap, two in an hour that comes twice."""
    if is_gap(zone, local):
        return []
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return [first] if first == second else sorted((first, second))


def instant_of(zone: ZoneInfo, local: datetime) -> datetime:
    """The one moment that is meant by a time: a time that is left out is due as the gap ends, one that comes
    twice at the first."""
    found = moments(zone, local)
    if found:
        return found[0]
    # Read by the offsets before and after the gap, it lies on both sides of its end.
    low = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def start_of(zone: ZoneInfo, day: date) -> datetime:
    """When a day begins."""
    return instant_of(zone, datetime.combine(day, time.min))
