"""Runs as they are stored, and how one is found."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from ..errors import conflict, invalid, not_found
from ..jsonio import Object, loads, stamp, without_none
from ..mentions import is_role
from ..scope import Scope
from ..fields import Query
from ..storage.engine import Tx
from ..storage.tables import messages, runs

MAX_KEY = 200

STATUSES = ("running", "completed", "failed", "interrupted", "cancelled", "awaiting_approval", "awaiting_answer")
#: Statuses that are never left.
FINAL = ("completed", "cancelled")


def run(row: Any, steps: list[Object]) -> Object:
    """A run as it is answered."""
    return (row.extra or {}) | without_none(
        run_key=row.run_key,
        status=row.status,
        session_key=row.session_key,
        task_id=row.task_id,
        workspace_digest=row.workspace_digest,
        workspace=row.workspace,
        profile_digest=row.profile_digest,
        detached=row.detached or None,
        parent_run_key=row.parent_run_key,
        cancel_requested=row.cancel_requested,
        steps=steps,
        created_at=stamp(row.created_at),
        updated_at=stamp(row.updated_at),
    )


def step(row: Any) -> Object:
    """A step of a run."""
    return {"index": row.step_index, "kind": row.kind, "payload": loads(row.payload)}


def note(row: Any) -> Object:
    """What is answered to a write about a run."""
    cancelled = row.cancel_requested or row.status == "cancelled"
    return {"run_key": row.run_key, "status": row.status, "cancel_requested": cancelled}


def check_key(run_key: str, field: str = "run_key") -> str:
    """Refuses a text that cannot be a run's key."""
    if not run_key.strip():
        raise invalid(field, "must not be empty")
    if len(run_key.encode()) > MAX_KEY:
        raise invalid(field, "is too long")
    return run_key


def scope_of_role(scope: Scope, query: Query) -> Scope:
    """The role that a query names, for those who may touch all roles' runs."""
    role = query.text("role")
    if role is not None and not is_role(role):
        raise invalid("role", "must be letters, digits, _ and -")
    return scope.of_role(role)


def all_of(conn: Connection, user_id: str, run_key: str) -> list[Any]:
    """The runs of a user with this key: one of each role that has one."""
    t = runs.c
    return list(conn.execute(select(runs).where(t.user_id == user_id, t.run_key == run_key).order_by(t.seq)))


def find(conn: Connection, scope: Scope, run_key: str) -> Any | None:
    """The run of this key. A lead that names no role means its own, and another role's where it has none; of
    several roles' none is taken for the one that is meant."""
    found = all_of(conn, scope.user_id, run_key)
    if scope.role is not None:
        return next((row for row in found if row.role == scope.role), None)
    own = next((row for row in found if scope.own_role == row.role), None)
    if own is not None:
        return own
    if len(found) > 1:
        text = "several roles have a run with this key: name one with ?role="
        raise conflict("run_ambiguous", text, {"roles": [row.role for row in found]})
    return found[0] if found else None


def need(conn: Connection, scope: Scope, run_key: str) -> Any:
    """The same; 404 if there is none."""
    found = find(conn, scope, run_key)
    if found is None:
        raise not_found("run")
    return found


def find_of(conn: Connection, user_id: str, role: str, run_key: str) -> Any | None:
    """The run of a role with this key, or one that has no role yet."""
    found = [row for row in all_of(conn, user_id, run_key) if row.role in (role, "")]
    return max(found, key=lambda row: bool(row.role), default=None)


def is_answered(tx: Tx, user_id: str, role: str, run_key: str) -> bool:
    """Whether the reply of a run stands."""
    t = messages.c
    query = select(t.agent_role).where(
        t.user_id == user_id, t.idempotency_key == f"run:{run_key}:reply", t.actor_type == "agent"
    )
    return any(not role or row.agent_role in (None, role) for row in tx.conn.execute(query))


def emit(tx: Tx, row: Any, what: str | None = None) -> None:
    """Tells of a run, without its steps."""
    data = without_none(
        run_key=row.run_key, status=row.status, session_key=row.session_key, task_id=row.task_id,
        cancel_requested=row.cancel_requested,
    )
    tx.emit(row.user_id, f"run.{what or row.status}", "run_key", data, row.role)
