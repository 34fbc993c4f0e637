"""Lines of cron(5), and the moments at which they are due."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from .zones import UTC, instant_of, moments

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "sun mon tue wed thu fri sat".split()
_SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
#: How far ahead a day is looked for: the longest time between two 29ths of February on one day of the week.
_FAR = 366 * 41


def _number(text: str, name: str, least: int, most: int) -> int:
    names = {"month": _MONTHS, "day of the week": _DAYS}.get(name)
    if names and text.lower() in names:
        return names.index(text.lower()) + (1 if name == "month" else 0)
    if not re.fullmatch(r"\d{1,2}", text) or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is no {name}")
    return int(text)


def _field(text: str, name: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = 1
        if slash:
            if not re.fullmatch(r"\d{1,4}", step_text) or int(step_text) == 0:
                raise ValueError(f"{part!r} has no step that is a number above 0")
            step = int(step_text)
        if span == "*":
            first, last = least, 6 if name == "day of the week" else most
        elif "-" in span:
            begin, _, end = span.partition("-")
            first, last = _number(begin, name, least, most), _number(end, name, least, most)
            if first > last:
                raise ValueError(f"{span!r} ends before it begins")
        else:
            first = _number(span, name, least, most)
            last = most if slash else first
        found.update(range(first, last + 1, step))
    if name == "day of the week":
        found = {day % 7 for day in found}
    return frozenset(found)


@dataclass(frozen=True)
class Cron:
    """A line of cron(5)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: Whether days of the month, and of the week, are restricted: where both are, either will do.
    has_days: bool
    has_weekdays: bool
    #: Whether minute or hour begins with `*`: such a line follows the clock where that changes.
    follows_clock: bool

    @classmethod
    def parse(cls, line: str) -> Cron:
        """Reads a line; `ValueError` for any other text, and for one that is never due."""
        fields = _SHORT.get(line.strip().lower(), line).split()
        if len(fields) != 5:
            raise ValueError(f"{line!r} must have five fields, or be one of {', '.join(_SHORT)}")
        sets = [_field(text, *kind) for text, kind in zip(fields, _FIELDS)]
        minute, hour, day, _, weekday = fields
        follows = minute.startswith("*") or hour.startswith("*")
        minutes, hours, days, months, weekdays = sets
        made = cls(minutes, hours, days, months, weekdays, not day.startswith("*"), not weekday.startswith("*"), follows)
        if next(made._days(date(2000, 1, 1)), None) is None:
            raise ValueError(f"{line!r} is never due")
        return made

    def _fits(self, day: date) -> bool:
        of_month, of_week = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        fits = of_month or of_week if self.has_days and self.has_weekdays else of_month and of_week
        return fits and day.month in self.months

    def _days(self, first: date) -> Iterator[date]:
        quiet = 0
        while quiet < _FAR and first.year < 9999:
            if self._fits(first):
                quiet = 0
                yield first
            quiet += 1
            first += timedelta(days=1)

    def _of_day(self, zone: ZoneInfo, day: date) -> list[datetime]:
        found: set[datetime] = set()
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime.combine(day, time(hour, minute))
                found.update(moments(zone, local) if self.follows_clock else [instant_of(zone, local)])
        return sorted(found)

    def slots_from(self, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
        """The moments at which it is due, from one on, which counts too."""
        last: datetime | None = None
        first = start.astimezone(zone).date() - timedelta(days=1)
        for day in self._days(first):
            for slot in self._of_day(zone, day):
                if slot >= start.astimezone(UTC) and (last is None or slot > last):
                    last = slot
                    yield slot
