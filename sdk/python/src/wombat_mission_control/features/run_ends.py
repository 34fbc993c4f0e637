"""How runs end that their instance does not end: they are cancelled, or nobody works on them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from ..errors import conflict
from ..jsonio import Object
from ..scope import Actor, Scope
from ..storage.engine import Tx
from ..storage.tables import runs
from . import children, tool_requests
from .audit import Act, record
from .leases import is_held, is_live, shut_out
from .run_facts import OVER
from .run_rows import FINAL, emit, is_answered, need, note


def record_cancel(tx: Tx, actor: Actor, row: Any) -> None:
    """Records in the audit log that somebody wants a run to end."""
    act = Act("run.cancelled", row.user_id, ("run", row.run_key), {"role": row.role, "status": row.status})
    record(tx, actor, act)


def may_cancel(row: Any, wanted: str | None) -> bool:
    """Whether a write of this status could make a run cancelled that has not ended."""
    wants = wanted == "cancelled" or (row.cancel_requested and wanted not in (None, "running", "completed"))
    return bool(wants) and row.status not in FINAL


def end(tx: Tx, row: Any, status: str, extra: Object | None = None) -> Any:
    """Ends a run that no instance works on."""
    changes: Object = {"status": status, "updated_at": tx.at, "orphan_until": None, "orphan_attempts": 0}
    if status in OVER:
        took = (tx.at - row.created_at).total_seconds() * 1000
        changes |= {"ended_at": tx.at, "duration_ms": max(0, int(took))}
    if extra is not None:
        changes["extra"] = extra
        changes["error_code"] = extra.get("error")
    ended = tx.conn.execute(update(runs).where(runs.c.seq == row.seq).values(changes).returning(runs)).one()
    emit(tx, ended)
    if status == "cancelled":
        shut_out(tx, ended.lease_id)
        tool_requests.cancel_pending(tx, Scope(ended.user_id, Actor("system")), ended)
    return ended


def after_put(tx: Tx, scope: Scope, row: Any, known: Any, is_new: bool) -> None:
    """What follows from a status that was written."""
    is_changed = row.status != known.status
    if is_new or is_changed:
        emit(tx, row)
    if row.status == "cancelled":
        if not known.cancel_requested and is_changed:
            record_cancel(tx, scope.actor, row)
        tool_requests.cancel_pending(tx, scope, row)
    if is_changed:
        if row.status == "cancelled":
            children.withdraw(tx, scope, row)
        children.follow(tx, row, row.status, False)


def _is_left(tx: Tx, row: Any) -> bool:
    """Whether no instance executes a run that says that it is at work: a detached one is executed only while
    somebody holds the lease of its session and task, another one that was written under a lease only while that
    is held."""
    if row.detached:
        return not is_held(tx, row)
    return row.lease_id is not None and not is_live(tx, row.lease_id)


def cancel_run(tx: Tx, scope: Scope, run_key: str) -> Object:
    """Requests that a run is cancelled."""
    known = need(tx.conn, scope, run_key)
    if may_cancel(known, "cancelled") and is_answered(tx, known.user_id, known.role, run_key):
        raise conflict("run_finished", "the run's reply stands already", {"status": known.status})
    if known.status == "completed":
        raise conflict("run_finished", "the run is completed already", {"status": known.status})
    # Whoever runs it learns of the request with its next write, and reports the end.
    status = "running" if known.status == "running" and not _is_left(tx, known) else "cancelled"
    changes: Object = {"cancel_requested": True, "status": status, "updated_at": tx.at}
    if status == "cancelled" and known.ended_at is None:
        took = (tx.at - known.created_at).total_seconds() * 1000
        changes |= {"ended_at": tx.at, "duration_ms": max(0, int(took))}
    row = tx.conn.execute(update(runs).where(runs.c.seq == known.seq).values(changes).returning(runs)).one()
    if not known.cancel_requested:
        emit(tx, row, "cancel_requested")
        if known.status != "cancelled":
            record_cancel(tx, scope.actor, row)
    if row.status != known.status:
        emit(tx, row)
    if status == "cancelled":
        shut_out(tx, known.lease_id)
        tool_requests.cancel_pending(tx, scope, row)
        if known.status != "cancelled":
            children.withdraw(tx, scope, row)
    children.follow(tx, row, status, True)
    return note(row)
