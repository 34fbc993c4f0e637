"""Schedules: notifications at a time, or again and again."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, conflict, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, canonical, new_id, now, stamp, without_none
from ..mentions import is_role, session_key
from ..paging import page, paging
from ..scope import Actor, Scope
from ..storage.engine import Tx
from ..storage.tables import idempotency, notifications, schedules
from .audit import Act, record
from .memories import anyone
from .notifications import Notice, insert_notice, waiting
from .schedule_times import Made, Times, read_times, times_of
from .tasks import ensure_task

if TYPE_CHECKING:
    from ..core import MissionControl

routes = Routes("schedules")

MAX_CONTENT = 4_000
MAX_RUNS = 1_000_000_000
MAX_ACTIVE = 100
MAX_LISTED = 100
CATCH_UP = ("last", "skip", "all")
STATUSES = ("active", "paused", "ended")


def schedule(row: Any, slots: list[datetime] | None = None) -> Object:
    """A schedule as it is answered."""
    listed = None if slots is None else [stamp(slot) for slot in slots]
    return {"next_at": stamp(row.next_at), "last_slot": stamp(row.last_slot)} | without_none(
        id=row.id, user_id=row.user_id, at=stamp(row.at_time), local_at=row.local_at, cron=row.cron,
        timezone=row.timezone, role=row.role, content=row.content, task_id=row.task_id, until=stamp(row.until_at),
        max_runs=row.max_runs, catch_up=row.catch_up, status=row.status, runs=row.runs, created_by=row.created_by,
        created_at=stamp(row.created_at), updated_at=stamp(row.updated_at), slots=listed,
    )


def _check_role(call: Call, role: str) -> None:
    if not is_role(role):
        raise invalid("role", "must be letters, digits, _ and -")
    if call.agent_seen is not None:
        call.agent_seen.must_act_as("role", role)


def _record(tx: Tx, actor: Actor, name: str, row: Any, more: Object | None = None) -> None:
    details = {"role": row.role, "status": row.status} | (more or {})
    record(tx, actor, Act(name, row.user_id, ("schedule", row.id), details))


def _check_room(tx: Tx, user_id: str) -> None:
    t = schedules.c
    held = select(func.count()).select_from(schedules).where(t.user_id == user_id, t.status == "active")
    if tx.conn.execute(held).scalar_one() >= MAX_ACTIVE:
        raise conflict("schedule_limit", f"the user has {MAX_ACTIVE} active schedules already", {"most": MAX_ACTIVE})


def _find(conn: Connection, scope: Scope, schedule_id: str) -> Any:
    t = schedules.c
    query = select(schedules).where(t.id == schedule_id, t.user_id == scope.user_id)
    if scope.role is not None:
        query = query.where(t.role == scope.role)
    row = conn.execute(query).first()
    if row is None:
        raise not_found("schedule")
    return row


def _scope_of(call: Call) -> Scope:
    """Whose schedule a path names; a service may name anybody's."""
    who = anyone(call)
    if who.scope is not None:
        return who.scope
    with call.mc.storage.read() as conn:
        user_id = conn.execute(select(schedules.c.user_id).where(schedules.c.id == call.params["id"])).scalar()
    if user_id is None:
        raise not_found("schedule")
    return Scope(user_id, who.actor)


@routes.add("GET", "/schedules")
def list_schedules(call: Call) -> Response:
    """Schedules, oldest first: the user's; for a service everybody's, or those of one user."""
    who, (limit, after) = anyone(call), paging(call.query)
    role, user_id = call.query.text("role"), call.query.text("user_id")
    if role is not None:
        _check_role(call, role)
    if who.user_id is not None and user_id not in (None, who.user_id):
        raise not_found("user")
    t = schedules.c
    query = select(schedules)
    wanted = {
        "user_id": who.user_id or user_id, "role": role or (who.scope.role if who.scope else None),
        "status": call.query.choice("status", STATUSES),
    }
    for name, value in wanted.items():
        if value is not None:
            query = query.where(t[name] == value)
    if after is not None:
        query = query.where(t.seq > after)
    with call.mc.storage.read() as conn:
        return json_response(page(conn.execute(query.order_by(t.seq).limit(limit + 1)), limit, schedule))


@routes.add("POST", "/schedules")
def create_schedule(call: Call) -> Response:
    """Makes a schedule."""
    who, fields = anyone(call), call.fields
    role = fields.text("role")
    _check_role(call, role)
    content, max_runs = fields.text("content", MAX_CONTENT), fields.opt_int("max_runs", 1, MAX_RUNS)
    named, task_id = fields.opt_text("user_id"), fields.opt_text("task_id")
    key, paused = fields.filled("idempotency_key"), fields.flag("paused") or False
    catch_up = fields.choice("catch_up", CATCH_UP) or "last"
    if who.user_id is not None and named not in (None, who.user_id):
        raise not_found("user")
    if who.user_id is None and named is None:
        raise invalid("user_id", "is required from a service")
    scope = who.scope or Scope(call.named_user(named or ""), who.actor)
    times = read_times(
        fields.opt_text("at"), fields.opt_text("cron"), fields.opt_text("timezone"), fields.opt_time("until")
    )

    def make(tx: Tx) -> Object:
        first = times.check_new(tx.at)
        if who.actor.type == "agent":
            times.check_often(tx.at, max_runs)
        if task_id is not None:
            ensure_task(tx.conn, scope.user_id, task_id)
        if not paused:
            _check_room(tx, scope.user_id)
        creator = without_none(type=who.actor.type, id=scope.own_role or who.actor.user_id)
        row = tx.conn.execute(
            insert(schedules)
            .values(
                _of_times(times) | {
                    "id": new_id(), "user_id": scope.user_id, "role": role, "content": content, "task_id": task_id,
                    "max_runs": max_runs, "catch_up": catch_up, "status": "paused" if paused else "active",
                    "next_at": None if paused else first, "handled_to": tx.at, "created_by": creator,
                    "created_at": tx.at, "updated_at": tx.at,
                }
            )
            .returning(schedules)
        ).one()
        _record(tx, who.actor, "schedule.created", row)
        return schedule(row)

    return call.create(scope, "schedules", key, make)


def _of_times(times: Times) -> Object:
    zone = None if times.zone is None else times.zone.key
    return {
        "at_time": times.at, "local_at": times.local_at, "cron": times.line, "timezone": zone, "until_at": times.until,
    }


@routes.add("GET", "/schedules/{id}")
def get_schedule(call: Call) -> Response:
    """One schedule; with `slots` also that many moments at which it is due."""
    scope, start = _scope_of(call), call.query.time("from") or now()
    many = call.query.number("slots", -1, 2**31) if call.query.has("slots") else None
    if many is not None and many > MAX_LISTED:
        raise invalid("slots", f"must be a whole number, {MAX_LISTED} at most")
    with call.mc.storage.read() as conn:
        row = _find(conn, scope, call.params["id"])
    slots: list[datetime] | None = None
    if many is not None:
        slots = [] if row.status == "ended" else list(islice(times_of(row).slots(start), many))
    return json_response(schedule(row, slots))


def _given(fields: Fields, name: str, known: Any, read: Any) -> Any:
    """A field as it is from now on: one that is null is taken away."""
    return read(name) if name in fields.raw else known


def _new_times(row: Any, fields: Fields) -> Times:
    zone = _given(fields, "timezone", row.timezone, fields.opt_text)
    until = _given(fields, "until", row.until_at, fields.opt_time)
    at, line = fields.opt_text("at"), fields.opt_text("cron")
    if at is None and line is None:
        at = row.local_at or (row.at_time.isoformat() if row.at_time is not None else None)
        line = row.cron
    return read_times(at, line, zone, until)


def _changed(row: Any, fields: Fields, at: datetime, by_agent: bool) -> Object:
    """What a change makes of a schedule. A slot that is due and not yet made stays, unless its times were changed
    or it was paused: then the next one is after the change."""
    times, known = _new_times(row, fields), times_of(row)
    has_other_times = times != known
    names_time = fields.has("at") or "timezone" in fields.raw
    if has_other_times and names_time and times.at is not None and times.at <= at:
        raise invalid("at", "is over: name a time to come")
    max_runs = _given(fields, "max_runs", row.max_runs, lambda name: fields.opt_int(name, 1, MAX_RUNS))
    left = None if max_runs is None else max(0, max_runs - row.runs)
    if by_agent and (has_other_times or max_runs != row.max_runs):
        times.check_often(at, left)
    was_paused = row.status == "paused"
    given = fields.flag("paused")
    is_paused = was_paused if given is None else given
    is_dropped = has_other_times or is_paused != was_paused or row.status == "ended"
    is_done = times.at is not None and row.runs > 0 and not has_other_times
    if left == 0 or is_done:
        upcoming = None
    else:
        upcoming = times.next_after(at) if is_dropped else row.next_at
    if upcoming is None and (not is_paused or is_dropped or left == 0):
        status = "ended"
    else:
        status = "paused" if is_paused else "active"
    return _of_times(times) | {
        "role": fields.opt_text("role") or row.role, "content": fields.filled("content", MAX_CONTENT) or row.content,
        "task_id": _given(fields, "task_id", row.task_id, fields.opt_text), "max_runs": max_runs,
        "catch_up": fields.choice("catch_up", CATCH_UP) or row.catch_up, "status": status,
        "next_at": upcoming if status == "active" else None, "handled_to": at if is_dropped else row.handled_to,
        "updated_at": at,
    }


@routes.add("PATCH", "/schedules/{id}")
def update_schedule(call: Call) -> Response:
    """Changes a schedule: what is named changes, `null` takes it away."""
    scope, fields = _scope_of(call), call.fields
    role, task_id = fields.opt_text("role"), fields.opt_text("task_id")
    if role is not None:
        _check_role(call, role)
    with call.mc.write(scope) as tx:
        row = _find(tx.conn, scope, call.params["id"])
        if task_id is not None:
            ensure_task(tx.conn, scope.user_id, task_id)
        changes = _changed(row, fields, tx.at, scope.actor.type == "agent")
        if changes["status"] == "active" and row.status != "active":
            _check_room(tx, scope.user_id)
        changed = update(schedules).where(schedules.c.seq == row.seq).values(changes).returning(schedules)
        row = tx.conn.execute(changed).one()
        _record(tx, scope.actor, "schedule.updated", row)
    return json_response(schedule(row))


@routes.add("DELETE", "/schedules/{id}")
def delete_schedule(call: Call) -> Response:
    """Deletes a schedule, and withdraws what it has made and nobody has leased."""
    scope, t = _scope_of(call), notifications.c
    with call.mc.write(scope) as tx:
        row = _find(tx.conn, scope, call.params["id"])
        fresh = select(t.seq).where(
            t.user_id == scope.user_id, t.schedule_id == row.id, waiting(), t.leased_until.is_(None)
        )
        seqs = list(tx.conn.execute(fresh.with_for_update(skip_locked=True)).scalars())
        tx.conn.execute(delete(notifications).where(t.seq.in_(seqs)))
        tx.conn.execute(delete(schedules).where(schedules.c.seq == row.seq))
        _record(tx, scope.actor, "schedule.deleted", row, {"withdrawn": len(seqs)})
    return Response(204)


def _slot_text(slot: datetime) -> str:
    return slot.strftime("%Y-%m-%dT%H:%M:%SZ")


def _make(tx: Tx, row: Any, made: Made) -> bool:
    """Makes the notification of a slot; nothing where it was made before."""
    key, i = f"schedule:{row.id}:{_slot_text(made.slot)}", idempotency.c
    known = select(i.key).where(i.user_id == row.user_id, i.endpoint == "notifications", i.key == key)
    if tx.conn.execute(known).first() is not None:
        return False
    metadata = {"schedule_id": row.id, "slot": _slot_text(made.slot), "missed": made.missed}
    session = session_key(row.user_id, row.role)
    notice = Notice(row.user_id, session, row.content, row.task_id, metadata=metadata, schedule_id=row.id)
    try:
        response = insert_notice(tx, notice)
    except ContractError:
        # Its task is gone: the agent is told all the same.
        notice = Notice(row.user_id, session, row.content, metadata=metadata, schedule_id=row.id)
        response = insert_notice(tx, notice)
    body = without_none(
        user_id=row.user_id, session_key=session, content=row.content, task_id=notice.task_id, idempotency_key=key
    )
    tx.conn.execute(
        insert(idempotency).values(
            user_id=row.user_id, endpoint="notifications", key=key, role="", body=canonical(body), response=response,
            created_at=tx.at,
        )
    )
    return True


def _handle(tx: Tx, schedule_id: str) -> None:
    """Makes what is due of a schedule, unless another instance has."""
    t = schedules.c
    query = select(schedules).where(t.id == schedule_id, t.status == "active", t.next_at <= tx.at)
    row = tx.conn.execute(query.with_for_update(skip_locked=True)).first()
    if row is None:
        return
    times = times_of(row)
    left = None if row.max_runs is None else max(0, row.max_runs - row.runs)
    first = times.next_unhandled(row.handled_to) or tx.at
    made, following = times.due(first, tx.at, row.catch_up, left)
    count = sum(_make(tx, row, one) for one in made)
    changes: Object = {"runs": row.runs + count, "handled_to": tx.at, "next_at": following}
    if made:
        changes["last_slot"] = made[-1].slot
    if following is None:
        changes |= {"status": "ended", "updated_at": tx.at}
    tx.conn.execute(update(schedules).where(t.seq == row.seq).values(changes))


def make_due_slots(mc: MissionControl) -> None:
    """Makes all slots that are due: each in one transaction with what it counts and with the slot that comes next."""
    t = schedules.c
    with mc.storage.read() as conn:
        due = select(t.id, t.user_id).where(t.status == "active", t.next_at <= now()).order_by(t.next_at).limit(200)
        rows = conn.execute(due).all()
    for row in rows:
        with mc.storage.write(row.user_id) as tx:
            _handle(tx, row.id)


def recompute(mc: MissionControl) -> None:
    """Computes the next slots anew: the rules of time zones may be others than when they were computed."""
    t, after = schedules.c, 0
    while True:
        with mc.storage.read() as conn:
            query = select(schedules).where(t.status == "active", t.seq > after).order_by(t.seq).limit(200)
            rows = conn.execute(query).all()
        if not rows:
            return
        after = rows[-1].seq
        for row in rows:
            times = times_of(row)
            upcoming = times.next_unhandled(row.handled_to)
            if upcoming != row.next_at or times.at != row.at_time:
                changes = {"next_at": upcoming, "at_time": times.at, "status": "active" if upcoming else "ended"}
                same = (t.seq == row.seq) & (t.handled_to == row.handled_to)
                with mc.storage.write(row.user_id) as tx:
                    tx.conn.execute(update(schedules).where(same).values(changes))
