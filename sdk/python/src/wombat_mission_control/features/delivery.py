"""What is urgent, and when: quiet hours, and dead letters as people see them."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, insert, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, invalid, not_found
from ..jsonio import Object, dumps, stamp, without_none
from ..paging import PAGE_BYTES, cursor, paging
from ..scope import Scope
from ..storage.engine import Tx
from ..storage.tables import dead_letter_digests, notifications, quiet_hours
from ..zones import instant_of, zone_of

routes = Routes("delivery_options")

#: How long after one digest of dead letters the next may come.
PACE = timedelta(hours=1)
MAX_TOLD = 5
MAX_CAUSE = 200
MAX_IDS = 1_000


def clock(text: str) -> time | None:
    """A time of the clock, such as `22:00`."""
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    return time(int(found.group(1)), int(found.group(2))) if found else None


def period(zone: ZoneInfo, start: time, end: time, at: datetime) -> tuple[datetime, datetime] | None:
    """The quiet period that is on at a moment, or the next one; one that the clock leaves out as a whole is none."""
    today: date = at.astimezone(zone).date()
    for days in range(-2, 8):
        first = today + timedelta(days=days)
        last = first + timedelta(days=1) if end <= start else first
        begins = instant_of(zone, datetime.combine(first, start))
        ends = instant_of(zone, datetime.combine(last, end))
        if begins < ends and ends > at:
            return begins, ends
    return None


def _is_quiet(zone_name: str, start: str, end: str, at: datetime) -> bool:
    try:
        zone = zone_of("timezone", zone_name)
    except ContractError:
        # A zone that is not known here is quiet for nobody.
        return False
    first, last = clock(start), clock(end)
    if first is None or last is None:
        return False
    found = period(zone, first, last, at)
    return found is not None and found[0] <= at


def quiet_now(tx: Tx) -> list[tuple[str, str, str]]:
    """The quiet hours that are on: zone, beginning and end, as they are stored."""
    q = quiet_hours.c
    kinds = tx.conn.execute(select(q.timezone, q.from_time, q.to_time).distinct()).all()
    return [(row[0], row[1], row[2]) for row in kinds if _is_quiet(row[0], row[1], row[2], tx.at)]


def scope_of_user(call: Call) -> Scope:
    """The user that the path names: a person's own; a service that acts for nobody may have any."""
    service, user_id = call.service(), call.params["id"]
    if service.on_behalf_of not in (None, user_id):
        raise not_found("user")
    return service.scope_of(user_id, call.trace_id)


@routes.add("PUT", "/users/{id}/quiet-hours")
def put_quiet_hours(call: Call) -> Response:
    """Sets a user's quiet hours, in place of earlier ones."""
    scope, fields = scope_of_user(call), call.fields
    call.named_user(scope.user_id)
    zone = zone_of("timezone", fields.text("timezone"))
    times = {name: fields.text(name) for name in ("from", "to")}
    for name, text in times.items():
        if clock(text) is None:
            raise invalid(name, "must be a time of the clock, such as 22:00")
    if times["from"] == times["to"]:
        raise invalid("to", "must be another time than from")
    with call.mc.write(scope) as tx:
        first, last = clock(times["from"]), clock(times["to"])
        assert first is not None and last is not None
        if period(zone, first, last, tx.at) is None:
            raise invalid("from", "begins no quiet hours that this zone's clock shows")
        tx.conn.execute(delete(quiet_hours).where(quiet_hours.c.user_id == scope.user_id))
        tx.conn.execute(
            insert(quiet_hours).values(
                user_id=scope.user_id,
                timezone=zone.key,
                from_time=times["from"],
                to_time=times["to"],
                updated_at=tx.at,
            )
        )
    return json_response({"timezone": zone.key} | times)


@routes.add("GET", "/users/{id}/quiet-hours")
def get_quiet_hours(call: Call) -> Response:
    """A user's quiet hours."""
    scope = scope_of_user(call)
    with call.mc.storage.read() as conn:
        row = conn.execute(select(quiet_hours).where(quiet_hours.c.user_id == scope.user_id)).first()
    if row is None:
        raise not_found("quiet hours")
    return json_response({"timezone": row.timezone, "from": row.from_time, "to": row.to_time})


@routes.add("DELETE", "/users/{id}/quiet-hours")
def delete_quiet_hours(call: Call) -> Response:
    """Ends a user's quiet hours. Repeating it is harmless."""
    scope = scope_of_user(call)
    with call.mc.write(scope) as tx:
        tx.conn.execute(delete(quiet_hours).where(quiet_hours.c.user_id == scope.user_id))
    return Response(204)


def _groups(conn: Any, user_id: str, since: datetime | None, before: int | None, limit: int) -> list[Any]:
    t = notifications.c
    cause = func.coalesce(t.error, "").label("cause")
    newest = func.max(t.seq)
    query = select(
        cause, t.session_key, func.count().label("many"), func.min(t.dead_at).label("first_at"),
        func.max(t.dead_at).label("last_at"), newest.label("seq"),
    ).where(t.user_id == user_id, t.dead_at.is_not(None))
    if since is not None:
        query = query.where(t.dead_at > since)
    query = query.group_by(cause, t.session_key)
    if before is not None:
        query = query.having(newest < before)
    return list(conn.execute(query.order_by(newest.desc()).limit(limit)))


def _group(row: Any, cause: str) -> Object:
    return {
        "cause": cause,
        "session_key": row.session_key,
        "count": row.many,
        "first_at": stamp(row.first_at),
        "last_at": stamp(row.last_at),
    }


@routes.add("GET", "/dead-letters")
def dead_letters(call: Call) -> Response:
    """The person's dead letters by session and by what they died of, the newest first."""
    scope, (limit, before) = call.person().scope(call.trace_id), paging(call.query)
    t = notifications.c
    items: list[Object] = []
    size, last = 0, 0
    with call.mc.storage.read() as conn:
        for row in _groups(conn, scope.user_id, None, before, limit + 1):
            ids = select(t.id).where(
                t.user_id == scope.user_id, t.dead_at.is_not(None), t.session_key == row.session_key,
                func.coalesce(t.error, "") == row.cause,
            )
            found = list(conn.execute(ids.order_by(t.seq).limit(MAX_IDS)).scalars())
            made = _group(row, row.cause) | {"ids": found}
            size += len(dumps(made))
            if len(items) >= limit or (size > PAGE_BYTES and items):
                return json_response({"items": items, "next_cursor": cursor(last)})
            last = row.seq
            items.append(made)
    return json_response({"items": items})


def _tell(tx: Tx, user_id: str, since: datetime | None) -> None:
    """Tells a user's people what died since they were last told."""
    groups = _groups(tx.conn, user_id, since, None, 1_000)
    if groups:
        count = sum(row.many for row in groups)
        told = [_group(row, row.cause[:MAX_CAUSE]) for row in groups[:MAX_TOLD]]
        # Nobody's role: agents do not hear of it.
        data = without_none(count=count, since=stamp(since), items=told)
        tx.emit(user_id, "dead_letters.digest", "id", data, role="")
    t = dead_letter_digests.c
    done = tx.conn.execute(update(dead_letter_digests).where(t.user_id == user_id).values(sent_at=tx.at, due_at=None))
    if done.rowcount == 0:
        tx.conn.execute(insert(dead_letter_digests).values(user_id=user_id, sent_at=tx.at))


def note_death(tx: Tx, user_id: str) -> None:
    """Notes that something of a user's has died: it is told at once, or when the hour is over."""
    t = dead_letter_digests.c
    row = tx.conn.execute(select(dead_letter_digests).where(t.user_id == user_id)).first()
    if row is None or row.sent_at + PACE <= tx.at:
        # What died in this very transaction is younger than what was told before.
        _tell(tx, user_id, None if row is None else row.sent_at)
    elif row.due_at is None:
        due = row.sent_at + PACE
        tx.conn.execute(update(dead_letter_digests).where(t.user_id == user_id).values(due_at=due))


def tell_due(tx: Tx, user_id: str) -> None:
    """Tells what is due of a user's dead letters."""
    t = dead_letter_digests.c
    row = tx.conn.execute(select(dead_letter_digests).where(t.user_id == user_id, t.due_at <= tx.at)).first()
    if row is not None:
        _tell(tx, user_id, row.sent_at)
