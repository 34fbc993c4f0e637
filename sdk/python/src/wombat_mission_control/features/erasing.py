"""What is kept of a user, and its erasure."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, invalid
from ..jsonio import Object, dumps, new_id, now
from ..mentions import session_role
from ..scope import Actor
from ..storage import tables as t
from ..storage.engine import Storage, Tx

if TYPE_CHECKING:
    from ..core import MissionControl

routes = Routes("erasure")

#: For how long the keys of runs are known whose user's data was erased.
KEPT = timedelta(days=2)
_OPEN = ("running", "interrupted", "awaiting_approval", "awaiting_answer")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _who(user_id: str) -> str:
    return _hash(f"erased user\n{user_id}")


def _run(user_id: str, run_key: str) -> str:
    return _hash(f"erased run\n{user_id}\n{run_key}")


def _refusal(erased_ms: int) -> ContractError:
    ago = max(0, time.time_ns() // 1_000_000 - erased_ms)
    text = "the data of this user was erased after the agent token was issued: begin anew with a new token"
    return ContractError(401, "user_erased", text, {"erased_ms_ago": ago})


class Erased:
    """Whose data was erased, and when: kept in memory, so that no call waits for it."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._newest = 0
        self._seen = -1
        self._read_at = 0.0
        self._lock = threading.Lock()

    def refuse(self, storage: Storage, user_id: str, issued_at_ms: int) -> None:
        """401 for a token that was issued before the data of its user was erased."""
        with self._lock:
            if self._seen != storage.erasures or time.monotonic() - self._read_at >= 1:
                self._read(storage)
            erased = self._users.get(_who(user_id)) if self._users else None
        if erased is not None and issued_at_ms <= erased:
            raise _refusal(erased)

    def _read(self, storage: Storage) -> None:
        u = t.erased_users.c
        self._seen, at = storage.erasures, time.monotonic()
        # Clocks of instances may differ.
        since = self._newest - 300_000
        with storage.read() as conn:
            for row in conn.execute(select(u.who, u.erased_ms).where(u.erased_ms >= since)):
                self._users[row.who] = row.erased_ms
                self._newest = max(self._newest, row.erased_ms)
        self._read_at = at


def erased_since(conn: Connection, user_id: str, issued_at_ms: int) -> None:
    """401 for a token that was issued before the data of its user was erased."""
    erased = conn.execute(select(t.erased_users.c.erased_ms).where(t.erased_users.c.who == _who(user_id))).scalar()
    if erased is not None and issued_at_ms <= erased:
        raise _refusal(erased)


def is_erased_run(tx: Tx, user_id: str, run_key: str) -> bool:
    """Whether a run is one of before its user's data was erased."""
    who = _run(user_id, run_key)
    return tx.conn.execute(select(t.erased_runs.c.who).where(t.erased_runs.c.who == who)).first() is not None


def _notification_run_key(user_id: str, role: str, notification_id: str) -> str:
    """The key of the run that the daemon begins for a notification."""
    sha = hashlib.sha256()
    for part in ("run in", "notification", user_id, role, notification_id):
        sha.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return sha.hexdigest()


def _note_runs(tx: Tx, user_id: str) -> None:
    """Notes the runs that somebody may work on still, or send again, and those that notifications begin."""
    r, n = t.runs.c, t.notifications.c
    lately = or_(r.updated_at >= tx.at - KEPT, r.status.in_((*_OPEN, "failed")))
    keys = set(tx.conn.execute(select(r.run_key).where(r.user_id == user_id, lately)).scalars())
    waiting = n.delivered_at.is_(None) & n.dead_at.is_(None)
    for row in tx.conn.execute(select(n.id, n.session_key).where(n.user_id == user_id, waiting)):
        role = session_role(user_id, row.session_key)
        if role is not None:
            keys.add(_notification_run_key(user_id, role, row.id))
    for key in sorted(keys):
        who = _run(user_id, key)
        tx.conn.execute(delete(t.erased_runs).where(t.erased_runs.c.who == who))
        tx.conn.execute(insert(t.erased_runs).values(who=who, erased_at=tx.at))


def _cancel_runs(tx: Tx, user_id: str, actor: Actor) -> None:
    from .run_ends import end, record_cancel

    r = t.runs.c
    for row in list(tx.conn.execute(select(t.runs).where(r.user_id == user_id, r.status.in_(_OPEN)).order_by(r.seq))):
        record_cancel(tx, actor, end(tx, row, "cancelled"))


def _forget_subject(tx: Tx, user_id: str) -> None:
    """Forgets who a subject of the audit log is, and what was written in words."""
    s, a = t.audit_subjects.c, t.audit.c
    subject = select(s.subject).where(s.user_id == user_id)
    concerns = select(a.seq).where(or_(a.subject.in_(subject), a.actor_subject.in_(subject)))
    tx.conn.execute(delete(t.audit_reasons).where(t.audit_reasons.c.seq.in_(concerns)))
    tx.conn.execute(delete(t.audit_subjects).where(s.user_id == user_id))


def _fold_usage(tx: Tx, user_id: str) -> None:
    """Keeps what was spent as sums by day, role, model and tenant, without a name."""
    u = t.usage.c
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in tx.conn.execute(select(t.usage).where(u.user_id == user_id)):
        day = row.created_at.replace(hour=0, minute=0, second=0, microsecond=0)
        total = sums.setdefault((day, row.role, row.model, row.tenant_id), [0, 0, 0])
        for at, part in enumerate((row.prompt_tokens, row.completion_tokens, row.cost_nanos)):
            total[at] += part
    tx.conn.execute(delete(t.usage).where(u.user_id == user_id))
    for (day, role, model, tenant_id), (asked, said, cost) in sums.items():
        tx.conn.execute(
            insert(t.usage).values(
                id=new_id(), user_id=None, run_id="", role=role, model=model, tenant_id=tenant_id, prompt_tokens=asked,
                completion_tokens=said, cost_nanos=cost, estimated=False, created_at=day,
            )
        )


def _unname(tx: Tx, user_id: str) -> None:
    """Takes the user's name out of what is other users'."""
    q, m, a = t.tool_requests.c, t.memories.c, t.approval_rules.c
    somebody = {"type": "person"}
    named = {"type": "person", "id": user_id}
    tx.conn.execute(update(t.tool_requests).where(q.decided_by == named).values(decided_by=somebody))
    tx.conn.execute(update(t.schedules).where(t.schedules.c.created_by == named).values(created_by=somebody))
    tx.conn.execute(update(t.approval_rules).where(a.author_type == "person", a.author_id == user_id).values(author_id=None))
    mine = (m.author_type == "person") & (m.author_id == user_id)
    tx.conn.execute(update(t.memories).where(mine).values(author_id="unnamed"))


def begin(mc: MissionControl, user_id: str, messages: str, actor: Actor) -> tuple[Object, str]:
    """Begins an erasure: from now on the user's tokens are refused, no run goes on, and the log knows no name."""
    from .audit import Act, record
    from .owned import counted

    e = t.erasures.c
    with mc.storage.write(user_id) as tx:
        begun = tx.conn.execute(select(e.messages).where(e.user_id == user_id)).scalar()
        # It goes on as it was begun: `keep` does not undo `delete`.
        messages = "delete" if "delete" in (begun, messages) else messages
        found = counted(tx.conn, user_id, messages)
        has_some = any(found["counts"].values()) or found["kept"]["audit"] > 0
        tx.conn.execute(delete(t.erasures).where(e.user_id == user_id))
        if has_some or begun is not None:
            tx.conn.execute(insert(t.erasures).values(user_id=user_id, messages=messages, begun_at=tx.at))
            _note_runs(tx, user_id)
            _cancel_runs(tx, user_id, actor)
            counts = {kind: many for kind, many in found["counts"].items() if many > 0}
            record(tx, actor, Act("data.erased", user_id, None, {"messages": messages, "counts": counts}))
            # The entries of this very erasure name nobody afterwards, either.
            tx.at_commit(lambda last: _forget_subject(last, user_id))

        def refuse(last: Tx) -> None:
            # Taken last: who has a token from before must not have got it while this waited.
            own = t.erased_users.c.who == _who(user_id)
            last.conn.execute(delete(t.erased_users).where(own))
            ms = time.time_ns() // 1_000_000
            last.conn.execute(insert(t.erased_users).values(who=_who(user_id), erased_ms=ms))

        tx.at_commit(refuse)
    mc.storage.erasures += 1
    return found, messages


def complete(mc: MissionControl, user_id: str, messages: str) -> None:
    """Deletes what there is of a user: in small transactions, so that others can write, and at last in one."""
    from .owned import OWNED

    for owned in OWNED:
        key = list(owned.table.primary_key.columns)
        if owned.stays(messages) or owned.kind == "usage" or len(key) != 1:
            continue
        while True:
            with mc.storage.write(user_id) as tx:
                some = select(key[0]).where(owned.of(user_id)).limit(500)
                done = tx.conn.execute(delete(owned.table).where(key[0].in_(some)))
            if done.rowcount < 500:
                break
    with mc.storage.write(user_id) as tx:
        _fold_usage(tx, user_id)
        for owned in OWNED:
            if not owned.stays(messages) and owned.kind != "usage":
                tx.conn.execute(delete(owned.table).where(owned.of(user_id)))
        _forget_subject(tx, user_id)
        _unname(tx, user_id)
        tx.conn.execute(delete(t.erasures).where(t.erasures.c.user_id == user_id))


def go_on(mc: MissionControl) -> None:
    """Completes erasures that were interrupted."""
    e = t.erasures.c
    with mc.storage.read() as conn:
        old = select(t.erasures).where(e.begun_at < now() - timedelta(minutes=1)).limit(20)
        rows = conn.execute(old).all()
    for row in rows:
        complete(mc, row.user_id, row.messages)


@routes.add("DELETE", "/users/{id}/agent-data")
def erase(call: Call) -> Response:
    """Erases what is kept of a user; with `dry_run` only counts it."""
    from .delivery import scope_of_user
    from .owned import counted

    scope = scope_of_user(call)
    messages = call.query.text("messages")
    if messages not in ("keep", "delete"):
        raise invalid("messages", "must be keep or delete: what becomes of tasks, messages and documents")
    dry_run = call.query.text("dry_run")
    if dry_run not in (None, "", "true", "1", "false", "0"):
        raise invalid("dry_run", "must be true or false")
    if dry_run in ("", "true", "1"):
        with call.mc.storage.read() as conn:
            return json_response(counted(conn, scope.user_id, messages))
    found, begun = begin(call.mc, scope.user_id, messages, scope.actor)
    complete(call.mc, scope.user_id, begun)
    return json_response(found)


class _Lines:
    """All items of a user, one a line. An answer that breaks off is no whole one."""

    def __init__(self, mc: MissionControl, user_id: str) -> None:
        self._mc, self._user_id = mc, user_id

    def __iter__(self) -> Iterator[bytes]:
        from .owned import items

        with self._mc.storage.read() as conn:
            for kind, item in items(conn, self._user_id):
                yield (dumps({"kind": kind, "item": item}) + "\n").encode("utf-8", "replace")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        import asyncio

        lines = iter(self)
        while True:
            some = await asyncio.to_thread(_some, lines)
            if not some:
                return
            yield some


def _some(lines: Iterator[bytes]) -> bytes:
    found: list[bytes] = []
    size = 0
    for line in lines:
        found.append(line)
        size += len(line)
        if len(found) >= 100 or size >= 1024 * 1024:
            break
    return b"".join(found)


@routes.add("GET", "/users/{id}/agent-data")
def export(call: Call) -> Response:
    """All that is kept of a user, as NDJSON."""
    from .audit import Act, record
    from .delivery import scope_of_user

    scope = scope_of_user(call)
    with call.mc.storage.write(scope.user_id) as tx:
        record(tx, scope.actor, Act("data.exported", scope.user_id))
    headers = {"content-type": "application/x-ndjson", "cache-control": "no-store"}
    return Response(200, headers, stream=_Lines(call.mc, scope.user_id))


