"""The audit log: who did what, append-only, each entry chained to the one before by its hash.

An entry holds no user's id, so that a user can be forgotten and the chain still be verified.
"""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, forbidden, invalid, not_found
from ..fields import Fields
from ..jcs import canonical
from ..jsonio import Object, dumps, loads, now, stamp, without_none
from ..mentions import is_user_id
from ..paging import page, paging
from ..scope import Actor, Agent
from ..storage.engine import Tx
from ..storage.tables import audit, audit_reasons, audit_subjects

routes = Routes("audit")

FIRST_PREV = "0" * 64
DAEMON_ACTS = "daemon."
MAX_DETAILS = 8 * 1024
MAX_NAME = 200
MAX_REASON = 2_000
#: How many acts of its daemon a user's role may have recorded in an hour.
MAX_DAEMON_ACTS = 60
HOUR = timedelta(hours=1)
#: What the daemon itself records: others cannot keep them out by recording their own.
OWN_DAEMON_ACTS = ("daemon.journal_rejected",)
UNHASHED = ("prev", "hash", "user_id", "actor_user_id", "reason")


@dataclass(frozen=True)
class Act:
    """An act, as it is recorded. Details are hashed and stay: no user's id, and nothing that a person wrote."""

    name: str
    #: The user whom it concerns.
    user_id: str | None = None
    #: What it is about: a kind such as `run`, and its id.
    object: tuple[str, str] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Why, in a person's words.
    reason: str | None = None


def subject_of(tx: Tx, user_id: str) -> str:
    """The random text that stands for a user in the log."""
    t = audit_subjects.c
    known = tx.conn.execute(select(t.subject).where(t.user_id == user_id)).scalar()
    if known is not None:
        return str(known)
    subject = uuid.uuid4().hex
    tx.conn.execute(insert(audit_subjects).values(user_id=user_id, subject=subject))
    return subject


def _actor(tx: Tx, actor: Actor) -> Object:
    if actor.user_id is not None:
        return without_none(type=actor.type, subject=subject_of(tx, actor.user_id), role=actor.role)
    return {"type": actor.type, "subject": "internal" if actor.type == "service" else "backend"}


def hash_of(prev: str, entry: Object) -> str:
    """The hash of an entry."""
    hashed = {name: value for name, value in entry.items() if name not in UNHASHED}
    return hashlib.sha256(f"{prev}\n{canonical(hashed)}".encode()).hexdigest()


def record(tx: Tx, actor: Actor, act: Act) -> None:
    """Records an act in the transaction that does it: both are stored, or neither."""
    def work(last: Tx) -> None:
        _append(last, actor, act)

    tx.at_commit(work)


def _append(tx: Tx, actor: Actor, act: Act) -> Object:
    who = _actor(tx, actor)
    subject = None if act.user_id is None else subject_of(tx, act.user_id)
    last = tx.conn.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    entry = without_none(
        seq=1 if last is None else last.seq + 1,
        at=stamp(now()),
        actor=who,
        act=act.name,
        subject=subject,
        object=None if act.object is None else {"type": act.object[0], "id": act.object[1]},
        details=dict(act.details),
        trace_id=actor.trace_id,
        prev=FIRST_PREV if last is None else last.hash,
    )
    entry["hash"] = hash_of(entry["prev"], entry)
    tx.conn.execute(
        insert(audit).values(
            seq=entry["seq"], at=entry["at"], actor_type=who["type"], actor_subject=who["subject"],
            actor_role=who.get("role"), act=act.name, subject=subject,
            object_type=act.object[0] if act.object else None, object_id=act.object[1] if act.object else None,
            details=dumps(entry["details"]), trace_id=actor.trace_id, prev=entry["prev"], hash=entry["hash"],
        )
    )
    if act.reason is not None:
        tx.conn.execute(insert(audit_reasons).values(seq=entry["seq"], reason=act.reason))
    own = actor.user_id if actor.user_id != act.user_id else None
    return entry | without_none(user_id=act.user_id, actor_user_id=own, reason=act.reason)


def entry_of(row: Any) -> Object:
    """An entry as it is answered."""
    actor = without_none(type=row.actor_type, subject=row.actor_subject, role=row.actor_role)
    about = None if row.object_type is None else {"type": row.object_type, "id": row.object_id}
    own = row.actor_user_id if row.actor_user_id != row.user_id else None
    return without_none(
        seq=row.seq, at=row.at, actor=actor, act=row.act, subject=row.subject, object=about,
        details=loads(row.details), trace_id=row.trace_id, prev=row.prev, hash=row.hash,
        user_id=row.user_id, actor_user_id=own, reason=row.reason,
    )


def entries() -> Any:
    """Entries with what is kept beside them."""
    s, t = audit_subjects.alias(), audit_subjects.alias()
    joined = (
        audit.outerjoin(audit_reasons, audit_reasons.c.seq == audit.c.seq)
        .outerjoin(s, s.c.subject == audit.c.subject)
        .outerjoin(t, t.c.subject == audit.c.actor_subject)
    )
    columns: list[Any] = [*audit.c, audit_reasons.c.reason, s.c.user_id, t.c.user_id.label("actor_user_id")]
    return select(*columns).select_from(joined)


def _known_subject(conn: Connection, user_id: str) -> str | None:
    return conn.execute(select(audit_subjects.c.subject).where(audit_subjects.c.user_id == user_id)).scalar()


@routes.add("GET", "/audit")
def list_entries(call: Call) -> Response:
    """The log, oldest first: for a service; on behalf of a person, what concerns them."""
    service, (limit, after) = call.service(), paging(call.query)
    users = {name: call.query.text(name) for name in ("user_id", "actor_user_id")}
    for name, value in users.items():
        if value is not None and not is_user_id(value):
            raise invalid(name, "is not a user id")
    if service.on_behalf_of is not None:
        if users["user_id"] not in (None, service.on_behalf_of):
            raise not_found("user")
        users["user_id"] = service.on_behalf_of
    t = audit.c
    query = entries().where(t.seq > (after or 0))
    act = call.query.text("act")
    if act is not None:
        query = query.where(t.act.startswith(act[:-1], autoescape=True) if act.endswith(".*") else t.act == act)
    start, end = call.query.time("from"), call.query.time("to")
    if start is not None:
        query = query.where(t.at >= stamp(start))
    if end is not None:
        query = query.where(t.at < stamp(end))
    with call.mc.storage.read() as conn:
        for name, column in (("user_id", t.subject), ("actor_user_id", t.actor_subject)):
            value = users[name]
            if value is not None:
                subject = _known_subject(conn, value)
                if subject is None:
                    return json_response({"items": []})
                query = query.where(column == subject)
        return json_response(page(conn.execute(query.order_by(t.seq).limit(limit + 1)), limit, entry_of))


def _new_act(fields: Fields, user_id: str) -> Act:
    name = fields.text("act")
    if not re.fullmatch(r"daemon\.[a-z][a-z0-9_]*", name) or len(name) > MAX_NAME:
        raise invalid("act", "must be daemon. and a name in snake_case")
    about = fields.sub("object")
    pair = None if about is None else (about.text("type", MAX_NAME), about.text("id", MAX_NAME))
    details = fields.obj("details") or {}
    try:
        size = len(canonical(details).encode())
    except ValueError as error:
        raise invalid("details", f"is not valid: {error}") from None
    if size > MAX_DETAILS:
        raise invalid("details", "must have at most 8192 bytes as JSON")
    return Act(name, user_id, pair, details, fields.opt_text("reason", MAX_REASON))


def _check_daemon_acts(tx: Tx, actor: Actor, act: str) -> None:
    """429 once a role has had too many acts recorded in the last hour."""
    t = audit.c
    assert actor.user_id is not None
    mine = (t.actor_subject == subject_of(tx, actor.user_id)) & (t.actor_role == actor.role)
    if act in OWN_DAEMON_ACTS:
        counted = t.act == act
    else:
        counted = t.act.startswith(DAEMON_ACTS) & t.act.not_in(OWN_DAEMON_ACTS)
    some = select(t.at).where(mine, counted, t.at > stamp(now() - HOUR)).order_by(t.at.desc()).limit(MAX_DAEMON_ACTS)
    times = list(tx.conn.execute(some).scalars())
    if len(times) >= MAX_DAEMON_ACTS:
        free = datetime.fromisoformat(times[-1].replace("Z", "+00:00")) + HOUR
        wait = max(1, math.ceil((free - now()).total_seconds()) + 1)
        text = f"{MAX_DAEMON_ACTS} acts of this role were recorded in the last hour; retry later"
        raise ContractError(429, "audit_limit", text, retry_after=wait)


@routes.add("POST", "/audit")
def record_act(call: Call) -> Response:
    """Records an act of the daemon."""
    caller, fields = call.caller(), call.fields
    if not isinstance(caller, Agent):
        raise forbidden("only an agent token records acts of the daemon")
    scope, act = caller.scope(call.trace_id), _new_act(fields, caller.user_id)

    def make(tx: Tx) -> Object:
        tx.lock_order()
        _check_daemon_acts(tx, scope.actor, act.name)
        return _append(tx, scope.actor, act)

    try:
        return call.create(scope, "audit", fields.filled("idempotency_key"), make)
    except ContractError as error:
        if error.code == "audit_limit":
            with call.mc.write(scope) as tx:
                record_at_most(tx, scope.actor, Act("audit.limited", caller.user_id), 1)
        raise


def record_at_most(tx: Tx, actor: Actor, act: Act, most: int) -> None:
    """Records an act unless so many equal ones were recorded in the last hour."""

    def work(last: Tx) -> None:
        t = audit.c
        assert actor.user_id is not None
        equal = (
            (t.actor_subject == subject_of(last, actor.user_id)) & (t.act == act.name)
            & (t.details == dumps(dict(act.details))) & (func.coalesce(t.actor_role, "") == (actor.role or ""))
            & (t.at > stamp(now() - HOUR))
        )
        if last.conn.execute(select(func.count()).select_from(audit).where(equal)).scalar_one() < most:
            _append(last, actor, act)

    tx.at_commit(work)
