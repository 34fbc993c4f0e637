"""Detached runs that no instance works on: leased to whoever lets another instance take them up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import invalid
from ..fields import Fields
from ..jsonio import Object, now
from ..storage.engine import Tx
from ..storage.tables import leases, runs
from . import children
from .run_ends import end
from .run_rows import is_answered

routes = Routes("orphans")

#: For how long a run and the lease of its session must have been quiet.
QUIET = timedelta(seconds=5)
LOOKED_AT = 2_000
MOST = 1_000
RUN_ABANDONED = "run_abandoned"


def _orphans(at: Any) -> Any:
    """Detached runs that nobody works on, oldest first."""
    r, lease, o = runs.c, leases.c, runs.alias()
    quiet = at - QUIET
    busy = exists().where(
        lease.session_key == r.session_key, lease.task_id == r.task_id, lease.expires_at > quiet,
        func.coalesce(lease.freed_at, lease.expires_at) > quiet,
    )
    held = leases.alias()
    taken = exists().where(
        o.c.session_key == r.session_key, o.c.task_id == r.task_id, o.c.status == "running", o.c.seq != r.seq,
        held.c.id == o.c.lease_id, held.c.session_key == r.session_key, held.c.task_id == r.task_id,
        held.c.freed_at.is_(None), held.c.expires_at > at,
    )
    waits = or_(
        and_(r.status == "running", r.updated_at <= quiet, ~busy),
        and_(r.status == "interrupted", ~taken),
    )
    return select(runs).where(
        r.detached, r.status.in_(("running", "interrupted")), r.parent_run_key.is_(None),
        r.session_key.is_not(None), r.task_id.is_not(None), waits,
    ).order_by(r.seq)


def _orphan(row: Any, attempts: int) -> Object:
    return {
        "run_key": row.run_key, "user_id": row.user_id, "session_key": row.session_key, "task_id": row.task_id,
        "attempts": attempts,
    }


def _give_back(tx: Tx, one: Object) -> None:
    """Ends a lease of a run that no instance took, unless it has run out and somebody else has it."""
    r = runs.c
    tx.conn.execute(
        update(runs)
        .where(
            r.user_id == one["user_id"], r.run_key == one["run_key"], r.session_key == one["session_key"],
            r.task_id == one["task_id"], r.orphan_attempts == one["attempts"], r.orphan_attempts > 0,
            r.orphan_until.is_not(None),
        )
        .values(orphan_until=None, orphan_attempts=r.orphan_attempts - 1)
    )


def _end(tx: Tx, row: Any, status: str) -> None:
    extra: Object | None = None
    if status == "failed":
        error = (
            f"the run was given up: {row.orphan_attempts} instances of the daemon took it up, and none got a step "
            "further; look at the daemons' logs, then send its key again"
        )
        failure = {"status": 500, "error": error, "code": RUN_ABANDONED, "details": {"attempts": row.orphan_attempts}}
        extra = (row.extra or {}) | {"error": RUN_ABANDONED, "failure": failure}
    children.follow(tx, end(tx, row, status, extra), status, False)


def _take(call: Call, seq: int, lease_seconds: int, user_id: str) -> tuple[str, Object | None]:
    """Takes one orphan in a write of its own: `leased`, `ended`, or `kept` by somebody else."""
    with call.mc.storage.write(user_id) as tx:
        row = tx.conn.execute(_orphans(tx.at).where(runs.c.seq == seq).with_for_update(of=runs, skip_locked=True)).first()
        if row is None:
            return "gone", None
        if row.cancel_requested and not is_answered(tx, row.user_id, row.role, row.run_key):
            _end(tx, row, "cancelled")
            return "ended", _orphan(row, row.orphan_attempts)
        if row.orphan_until is not None and row.orphan_until > tx.at:
            return "kept", None
        attempts = row.orphan_attempts + 1 if row.orphan_steps == row.step_count else 1
        if attempts > call.mc.settings.orphan_max_attempts:
            _end(tx, row, "failed")
            return "ended", _orphan(row, attempts - 1)
        until = tx.at + timedelta(seconds=lease_seconds)
        tx.conn.execute(
            update(runs)
            .where(runs.c.seq == seq)
            .values(orphan_until=until, orphan_attempts=attempts, orphan_steps=row.step_count)
        )
        return "leased", _orphan(row, attempts)


def _returned(fields: Fields) -> list[Object]:
    found: list[Object] = []
    for item in fields.items("returned", MOST):
        if not isinstance(item, dict):
            raise invalid("returned", "must be objects")
        one = Fields(item, "returned.")
        named = {name: one.text(name) for name in ("run_key", "user_id", "session_key", "task_id")}
        found.append(named | {"attempts": one.integer("attempts", 0, 2**31)})
    return found


@routes.add("POST", "/dispatch/orphans")
def lease_orphans(call: Call) -> Response:
    """Runs that no instance works on: of each session and task the oldest, which nobody else gets meanwhile."""
    call.internal()
    fields = call.fields
    lease_seconds = fields.integer("lease_seconds", 1, 3_600)
    limit = min(fields.integer("limit", 1), MOST)
    for one in _returned(fields):
        with call.mc.storage.write(one["user_id"]) as tx:
            _give_back(tx, one)
    with call.mc.storage.read() as conn:
        rows = list(conn.execute(_orphans(now()).limit(LOOKED_AT)))
    # One without a step, whose instance died before it answered, comes after those that have one.
    rows.sort(key=lambda row: (row.step_count == 0, row.seq))
    answer: dict[str, list[Object]] = {"runs": [], "ended": []}
    sessions: set[tuple[str, str]] = set()
    for row in rows:
        session = (row.session_key, row.task_id)
        if len(answer["runs"]) >= limit or session in sessions:
            continue
        outcome, made = _take(call, row.seq, lease_seconds, row.user_id)
        if outcome in ("leased", "kept"):
            sessions.add(session)
        if made is not None:
            answer["runs" if outcome == "leased" else "ended"].append(made)
    if not answer["ended"]:
        del answer["ended"]
    return json_response(answer)
