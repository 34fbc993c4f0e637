"""When a schedule is due: what its fields say, which slots are to be made at a moment, which comes next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from ..cron import Cron
from ..errors import ContractError, invalid
from ..fields import moment
from ..zones import instant_of, zone_of

#: How late a slot may be and still count as on time.
ON_TIME = timedelta(seconds=300)
#: How far apart an agent's slots must be.
CLOSEST = timedelta(seconds=900)
#: How many late slots are made one by one at most.
MAX_CAUGHT_UP = 100
LOOKED_AT = 100


@dataclass(frozen=True)
class Made:
    """A slot that is to be made, and how many others it stands for."""

    slot: datetime
    missed: int = 0


@dataclass(frozen=True)
class Times:
    """When a schedule is due: once, or by a line."""

    at: datetime | None
    #: What the clock of the zone shows then, where that is what counts.
    local_at: str | None
    line: str | None
    cron: Cron | None
    zone: ZoneInfo | None
    until: datetime | None

    def slots(self, start: datetime) -> Iterator[datetime]:
        """All slots from a moment on, which counts too."""
        if self.cron is not None and self.zone is not None:
            for slot in self.cron.slots_from(self.zone, start):
                if self.until is not None and slot > self.until:
                    return
                yield slot
        elif self.at is not None and self.at >= start and (self.until is None or self.at <= self.until):
            yield self.at

    def next_after(self, at: datetime) -> datetime | None:
        """The first slot after a moment."""
        return next((slot for slot in self.slots(at) if slot > at), None)

    def next_unhandled(self, handled_to: datetime) -> datetime | None:
        """The first slot that is not handled: of a line after that moment, and a single time itself."""
        return self.next_after(handled_to) if self.cron is not None else next(self.slots(self.at or handled_to), None)

    def check_new(self, at: datetime) -> datetime:
        """The first slot of a new schedule; refuses a time that is over, and a last moment that leaves nothing."""
        if self.at is not None and at - self.at > ON_TIME:
            raise invalid("at", "is over: name a time to come")
        first = self.next_unhandled(at)
        if first is None:
            raise invalid("until", "is before the first slot")
        return first

    def check_often(self, at: datetime, left: int | None) -> None:
        """Refuses an agent's slots that are too close."""
        many = LOOKED_AT if left is None else min(LOOKED_AT, left)
        last: datetime | None = None
        for slot in islice(self.slots(at), many):
            if last is not None and slot - last < CLOSEST:
                text = "the schedule is due more often than every 15 minutes, and an agent's may not be"
                raise ContractError(400, "too_often", text)
            last = slot

    def due(self, first: datetime, at: datetime, catch_up: str, left: int | None) -> tuple[list[Made], datetime | None]:
        """What is due at a moment, beginning with the first slot that was not handled, and what comes next."""
        made: list[Made] = []
        following: datetime | None = None
        missed = 0
        for slot in self.slots(first):
            if slot > at:
                following = slot
                break
            if at - slot <= ON_TIME:
                made.append(Made(slot))
            elif catch_up == "last":
                missed += len(made)
                made = [Made(slot, missed)]
            elif catch_up == "all" and len(made) < MAX_CAUGHT_UP:
                made.append(Made(slot))
            elif catch_up == "all":
                # What is left out is told with the last that is made.
                made[-1] = Made(made[-1].slot, made[-1].missed + 1)
        if left is not None and left <= len(made):
            return made[:left], None
        return made, following


_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?")


def _read_at(text: str, zone: ZoneInfo | None) -> tuple[datetime, str | None]:
    if not _LOCAL.fullmatch(text):
        try:
            return moment("at", text), None
        except ContractError:
            why = "must be a time of RFC 3339, such as 2026-10-25T09:00:00Z, or one without offset beside timezone"
            raise invalid("at", why) from None
    if zone is None:
        raise invalid("timezone", "is required with an at that has no offset")
    try:
        local = datetime.fromisoformat(text)
        at = instant_of(zone, local)
    except (ValueError, OverflowError):
        raise invalid("at", "must be a time in the years 1 to 9999") from None
    return at, local.isoformat()


def read_times(at: str | None, line: str | None, timezone: str | None, until: datetime | None) -> Times:
    """Reads what the fields say."""
    zone = None if timezone is None else zone_of("timezone", timezone)
    if at is not None and line is not None:
        raise invalid("at", "cannot be beside cron: name one")
    if at is not None:
        instant, local = _read_at(at, zone)
        return Times(instant, local, None, None, zone, until)
    if line is None:
        raise invalid("at", "is required where there is no cron")
    if zone is None:
        raise invalid("timezone", "is required with cron")
    try:
        return Times(None, None, line, Cron.parse(line), zone, until)
    except ValueError as error:
        raise ContractError(400, "invalid_cron", f"cron: {error}") from None


def times_of(row: Any) -> Times:
    """The times of a stored schedule, by the rules of time zones of now."""
    at = row.local_at or (row.at_time.isoformat() if row.at_time is not None else None)
    return read_times(at, row.cron, row.timezone, row.until_at)
