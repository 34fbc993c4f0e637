"""Heartbeats, and daily summaries."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import invalid
from ..jsonio import Object, canonical, dumps, now, without_none
from ..mentions import is_role
from ..paging import PAGE_BYTES
from ..scope import Agent, Scope
from ..storage.engine import Tx
from ..storage.tables import heartbeat_slots, heartbeats, idempotency, notifications, tasks
from ..zones import start_of, zone_of
from .documents import insert_document
from .notifications import waiting
from .tasks import OPEN, standup_tasks

routes = Routes("heartbeat", "heartbeat_notes", "standup")

MAX_NOTE = 2_000
#: The most tasks of a kind in a standup.
MAX_TASKS = 500


def _pulse(tx: Tx, user_id: str, role: str, slot: datetime | None, counts: bool, note: str | None) -> bool:
    """Records a heartbeat or a note; whether the slot was free."""
    t = heartbeats.c
    known = tx.conn.execute(select(t.count).where(t.user_id == user_id, t.role == role)).first()
    changes: Object = {}
    if counts:
        changes |= {"last_at": tx.at, "count": (known[0] if known is not None else 0) + 1}
    if note is not None:
        changes |= {"note": note, "note_at": tx.at}
    if known is None:
        tx.conn.execute(insert(heartbeats).values({"user_id": user_id, "role": role, "last_at": tx.at} | changes))
    elif changes:
        tx.conn.execute(heartbeats.update().where(t.user_id == user_id, t.role == role).values(changes))
    if slot is None:
        return True
    s = heartbeat_slots.c
    taken = select(s.slot).where(s.user_id == user_id, s.role == role, s.slot == slot)
    if tx.conn.execute(taken).first() is not None:
        return False
    tx.conn.execute(insert(heartbeat_slots).values(user_id=user_id, role=role, slot=slot, created_at=tx.at))
    return True


@routes.add("POST", "/heartbeat")
def heartbeat(call: Call) -> Response:
    """Records a heartbeat of an agent, and claims a time slot where one is named."""
    agent, fields = call.agent(), call.fields
    agent.must_be(fields.text("user_id"))
    role = fields.opt_text("role") or agent.role
    if not is_role(role):
        raise invalid("role", "must be letters, digits, _ and -")
    agent.must_act_as("role", role)
    slot, note = fields.opt_time("slot"), fields.opt_text("note", MAX_NOTE)
    with call.mc.write(agent.scope(call.trace_id)) as tx:
        claimed = _pulse(tx, agent.user_id, role, slot, note is None or slot is not None, note)
        n, t = notifications.c, tasks.c
        unread = select(func.count()).where(n.user_id == agent.user_id, n.read_at.is_(None), waiting())
        opened = select(func.count()).where(t.user_id == agent.user_id, t.status.in_(OPEN))
        pending = {
            "notifications": tx.conn.execute(unread).scalar_one(),
            "tasks": tx.conn.execute(opened).scalar_one(),
        }
    return json_response({"status": "ok", "claimed": claimed, "pending": pending, "role": role})


def _day(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise invalid("date", "must be YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid("date", "must be YYYY-MM-DD") from None


def _text(summary: str, lists: dict[str, tuple[int, list[Any]]]) -> str:
    out = summary
    for title, (count, rows) in lists.items():
        if rows:
            out += f"\n\n## {title}\n" + "".join(f"\n- {row.title}" for row in rows)
            if count > len(rows):
                out += f"\n- and {count - len(rows)} more"
    return out


def _stored(tx: Tx, user_id: str, title: str, content: str, key: str) -> str:
    """The document of a day: the same day with the same content is the same document."""
    t = idempotency.c
    known = tx.conn.execute(
        select(t.response).where(t.user_id == user_id, t.endpoint == "standup", t.key == key, t.role == "")
    ).first()
    if known is not None:
        return str(known.response["id"])
    made = insert_document(tx, user_id, title, content, "standup", None)
    body = canonical({"title": title, "content": content})
    tx.conn.execute(
        insert(idempotency).values(
            user_id=user_id, endpoint="standup", key=key, role="", body=body, response=made, created_at=tx.at
        )
    )
    return str(made["id"])


def _standup(call: Call, scope: Scope, zone: ZoneInfo, day: date) -> Object:
    start, end = start_of(zone, day), start_of(zone, day + timedelta(days=1))
    with call.mc.write(scope) as tx:
        found = standup_tasks(tx.conn, scope.user_id, start, end, MAX_TASKS)
        done, doing, blocked = (found[name] for name in ("done", "in_progress", "blocked"))
        summary = f"{done[0]} done, {doing[0]} in progress, {blocked[0]} blocked."
        content = _text(summary, {"Done": done, "In progress": doing, "Blocked": blocked})
        key = f"{day}:{zone.key}:{content}"
        document_id = _stored(tx, scope.user_id, f"Standup {day} ({zone.key})", content, key)
    items = {
        name: [{"id": row.id, "title": row.title, "status": row.status} for row in rows]
        for name, (_, rows) in found.items()
    }
    head = {"date": str(day), "timezone": zone.key, "user_id": scope.user_id}
    return without_none(**head, document_id=document_id, summary=summary, **items)


@routes.add("POST", "/standup")
def standup(call: Call) -> Response:
    """What was done on a day, what is in progress, what is blocked: of one user, or for a service of all."""
    caller, fields = call.caller(), call.fields
    zone = zone_of("timezone", fields.text("timezone"))
    given = fields.opt_text("date")
    day = now().astimezone(zone).date() if given is None else _day(given)
    if day.year < 2 or day.year > 9998:
        raise invalid("date", "must be YYYY-MM-DD")
    user_id = fields.opt_text("user_id")
    if isinstance(caller, Agent):
        caller.must_be(user_id if user_id is not None else caller.user_id)
        return json_response(_standup(call, caller.scope(call.trace_id), zone, day))
    if user_id is not None:
        scope = caller.scope_of(call.named_user(user_id), call.trace_id)
        return json_response(_standup(call, scope, zone, day))
    with call.mc.storage.read() as conn:
        users = conn.execute(select(tasks.c.user_id).distinct().order_by(tasks.c.user_id)).scalars().all()
    items, size = [], 0
    for one in users:
        made = _standup(call, caller.scope_of(one, call.trace_id), zone, day)
        size += len(dumps(made))
        if size > PAGE_BYTES:
            # The summary and the stored document tell the rest.
            made |= {"done": [], "in_progress": [], "blocked": []}
        items.append(made)
    return json_response({"date": str(day), "timezone": zone.key, "items": items})
