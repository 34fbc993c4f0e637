"""Session leases: who may run a session on a task, with fencing tokens for its writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import exists, func, insert, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, not_found, stale_fence
from ..jsonio import Object, new_id, stamp
from ..scope import Fence, Scope, check_tenants_session
from ..storage.engine import Tx
from ..storage.tables import leases, runs
from .tasks import ensure_task

routes = Routes("session_leases")

MAX_TTL = 3_600
#: The longest `Retry-After` in seconds: the lease may be released early.
MAX_RETRY_AFTER = 5


def _lease(row: Any) -> Object:
    return {"lease_id": row.id, "fence": row.fence, "expires_at": stamp(row.expires_at)}


def held(tx: Tx, scope: Scope, fence: Fence) -> Any:
    """The lease that a write names, where it still counts: one that has only expired does, as nobody has written
    since. It may be another role's where a run of this role works for one that holds it."""
    t, r = leases.c, runs.c
    newer = leases.alias()
    newest = (
        select(func.max(newer.c.fence))
        .where(newer.c.session_key == t.session_key, newer.c.task_id == t.task_id)
        .scalar_subquery()
    )
    query = select(leases, newest.label("newest")).where(t.id == fence.lease_id, t.user_id == scope.user_id)
    if scope.session is not None:
        works_for = exists().where(
            r.user_id == t.user_id, r.session_key == scope.session, r.task_id == t.task_id, r.status == "running",
            r.lease_id == t.id, r.parent_run_key.is_not(None),
        )
        query = query.where(or_(t.session_key == scope.session, works_for))
    row = tx.conn.execute(query).first()
    if row is None or row.freed_at is not None or row.fence != fence.fence or row.fence != row.newest:
        raise stale_fence()
    return row


def check_fence(tx: Tx, scope: Scope, fence: Fence) -> None:
    """Refuses a write under a lease that was released or followed by another one, or another role's."""
    held(tx, scope, fence)


def check_fence_of_run(tx: Tx, scope: Scope, fence: Fence, run: Any) -> None:
    """The same for a write of a run: the lease must be that of the run's session and task."""
    row = held(tx, scope, fence)
    if run.session_key not in (None, row.session_key) or run.task_id not in (None, row.task_id):
        raise stale_fence()


def _live() -> Any:
    return leases.c.freed_at.is_(None)


def is_held(tx: Tx, run: Any) -> bool:
    """Whether anybody holds the lease of a run's session and task at present."""
    t = leases.c
    query = select(t.seq).where(
        t.user_id == run.user_id, t.session_key == run.session_key, t.task_id == run.task_id, _live(), t.expires_at > tx.at
    )
    return tx.conn.execute(query.limit(1)).first() is not None


def is_live(tx: Tx, lease_id: str) -> bool:
    """Whether a lease is held at present."""
    t = leases.c
    return tx.conn.execute(select(t.seq).where(t.id == lease_id, _live(), t.expires_at > tx.at)).first() is not None


def shut_out(tx: Tx, lease_id: str | None) -> None:
    """An instance that sleeps writes no more for a run that was cancelled because its lease had run out."""
    t = leases.c
    tx.conn.execute(update(leases).where(t.id == lease_id, _live(), t.expires_at <= tx.at).values(freed_at=tx.at))


@routes.add("POST", "/sessions/lease")
def create_lease(call: Call) -> Response:
    """Grants the lease of a session and task, unless somebody else holds it."""
    tenant, fields = call.tenant(), call.fields
    scope = tenant.scope(call.trace_id)
    session, task_id, holder = fields.text("session_key"), fields.text("task_id"), fields.text("holder")
    ttl = fields.integer("ttl_secs", 1, MAX_TTL)
    key = fields.filled("idempotency_key")
    check_tenants_session(tenant, session)
    t = leases.c

    def make(tx: Tx) -> Object:
        ensure_task(tx.conn, scope.user_id, task_id)
        own = (t.session_key == session) & (t.task_id == task_id)
        newest = tx.conn.execute(select(leases).where(own).order_by(t.fence.desc()).limit(1)).first()
        if newest is not None and newest.freed_at is None and newest.expires_at > tx.at:
            wait = int((newest.expires_at - tx.at).total_seconds()) + 1
            text = "another run has this session and task; wait for its turn"
            details = {"holder": newest.holder}
            raise ContractError(409, "session_busy", text, details, min(max(wait, 1), MAX_RETRY_AFTER))
        row = tx.conn.execute(
            insert(leases)
            .values(
                id=new_id(), user_id=scope.user_id, session_key=session, task_id=task_id, holder=holder, ttl_secs=ttl,
                fence=1 if newest is None else newest.fence + 1,
                expires_at=tx.at + timedelta(seconds=ttl), created_at=tx.at,
            )
            .returning(leases)
        ).one()
        return _lease(row)

    return call.create(scope, "sessions/lease", key, make)


def _own(scope: Scope, lease_id: str) -> Any:
    own = (leases.c.id == lease_id) & (leases.c.user_id == scope.user_id)
    return own if scope.session is None else own & (leases.c.session_key == scope.session)


@routes.add("PUT", "/sessions/lease/{id}")
def renew_lease(call: Call) -> Response:
    """Renews a lease, also one that has expired, as long as nobody else got it since."""
    scope, lease_id = call.read_scope(), call.params["id"]
    ttl = call.fields.opt_int("ttl_secs", 1, MAX_TTL)
    with call.mc.write(scope) as tx:
        row = tx.conn.execute(select(leases).where(_own(scope, lease_id), _live())).first()
        if row is None:
            raise not_found("lease")
        check_fence(tx, scope, Fence(lease_id, row.fence))
        ttl = row.ttl_secs if ttl is None else ttl
        row = tx.conn.execute(
            update(leases)
            .where(leases.c.seq == row.seq)
            .values(expires_at=tx.at + timedelta(seconds=ttl), ttl_secs=ttl)
            .returning(leases)
        ).one()
    return json_response(_lease(row))


@routes.add("DELETE", "/sessions/lease/{id}")
def free_lease(call: Call) -> Response:
    """Releases a lease. Repeating it is harmless."""
    scope = call.read_scope()
    with call.mc.write(scope) as tx:
        done = tx.conn.execute(
            update(leases)
            .where(_own(scope, call.params["id"]))
            .values(freed_at=func.coalesce(leases.c.freed_at, tx.at))
        )
    if done.rowcount == 0:
        raise not_found("lease")
    return json_response({"status": "freed"})
