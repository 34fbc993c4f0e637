"""The journal of runs: where each stands, and its steps."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import insert, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import conflict, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, canonical
from ..mentions import session_role
from ..scope import Scope, check_tenants_session
from ..storage.engine import Tx
from ..storage.tables import run_steps, runs
from . import run_ends as ends
from . import run_facts
from .children import write_of_run
from .erasing import is_erased_run
from .run_rows import (
    STATUSES, all_of, check_key, emit, find, find_of, is_answered, need, note, run, scope_of_role, step,
)
from .tasks import ensure_task

routes = Routes("run_journal")

MAX_STEP = 8 * 1024 * 1024
MAX_JOURNAL = 64 * 1024 * 1024
#: The contract's fields of a run; an extra field of such a name is not stored.
OWN_FIELDS = {
    "run_key", "status", "session_key", "task_id", "workspace_digest", "workspace", "profile_digest", "detached",
    "parent_run_key", "cancel_requested", "steps", "created_at", "updated_at", "asked", "reply",
}
_STOPPED = ("failed", "interrupted", "awaiting_approval", "awaiting_answer")


def _begin(tx: Tx, user_id: str, role: str, run_key: str) -> Any:
    values = {"run_key": run_key, "user_id": user_id, "role": role, "status": "running"}
    times = {"created_at": tx.at, "updated_at": tx.at}
    return tx.conn.execute(insert(runs).values(values | times).returning(runs)).one()


def _finished(text: str, status: str) -> Exception:
    return conflict("run_finished", text, {"status": status})


def next_status(row: Any, wanted: str | None, answered: bool) -> str:
    """The status of a run after a caller asks for `wanted`. One whose reply stands is never cancelled."""
    known = str(row.status)
    if known == "cancelled":
        # The answer tells whoever runs it that it was cancelled; that is final.
        return known
    if known == "completed" and wanted not in (None, "completed"):
        raise _finished("the run is completed; its status cannot change any more", known)
    if wanted in _STOPPED and row.cancel_requested and not answered:
        # It has stopped, and must not be resumed.
        return "cancelled"
    if wanted == "cancelled" and answered:
        raise _finished("the run's reply stands; write that it is completed", known)
    return known if wanted is None else wanted


def _set_once(field: str, known: str | None, given: str | None, is_new: bool) -> str | None:
    """A field that is required when the run is created, and the same ever after."""
    if known is None and given is None and is_new:
        raise invalid(field, "is required when the run is created")
    if known is not None and given is not None and known != given:
        raise conflict("run_conflict", f"the run has another {field}", {field: known})
    return known if known is not None else given


def _extra(known: Object | None, fields: Fields) -> Object:
    extra = (known or {}) | fields.raw
    return {name: value for name, value in extra.items() if name not in OWN_FIELDS}


def _erased(run_key: str) -> Object:
    return {"run_key": run_key, "status": "cancelled", "cancel_requested": True}


def put_run(tx: Tx, scope: Scope, run_key: str, fields: Fields) -> Object:
    """Sets a run's session, task and status; creates the run if there is none."""
    session, task_id = fields.opt_text("session_key"), fields.opt_text("task_id")
    wanted = fields.choice("status", STATUSES)
    user_id = scope.user_id
    role = scope.role or (session_role(user_id, session) if session else None) or scope.own_role
    by_role = scope.role is None and role is not None
    known = find_of(tx.conn, user_id, role or "", run_key) if by_role else find(tx.conn, scope, run_key)
    is_new = known is None
    if known is None:
        if is_erased_run(tx, user_id, run_key):
            return _erased(run_key)
        known = _begin(tx, user_id, role or "", run_key)
    role = known.role or role or ""
    session = _set_once("session_key", known.session_key, session, is_new)
    task_id = _set_once("task_id", known.task_id, task_id, is_new)
    if known.task_id is None and task_id is not None:
        ensure_task(tx.conn, user_id, task_id)
    answered = ends.may_cancel(known, wanted) and is_answered(tx, user_id, role, run_key)
    status = next_status(known, wanted, answered)
    lease_id = scope.fence.lease_id if scope.fence else None
    changes: Object = {
        "session_key": session, "task_id": task_id, "status": status, "role": role, "updated_at": tx.at,
        "extra": _extra(known.extra, fields),
    }
    for name in ("workspace_digest", "workspace", "profile_digest", "parent_run_key"):
        value = fields.opt_text(name)
        if value is not None:
            changes[name] = value
    detached = fields.flag("detached")
    if detached is not None:
        changes["detached"] = detached
    if lease_id is not None:
        changes["lease_id"] = lease_id
        if lease_id != known.lease_id:
            # Whoever was to take it up has done so.
            changes["orphan_until"] = None
    changes |= run_facts.changes(tx, known, status, fields)
    row = tx.conn.execute(update(runs).where(runs.c.seq == known.seq).values(changes).returning(runs)).one()
    ends.after_put(tx, scope, row, known, is_new)
    return note(row)


def put_step(tx: Tx, scope: Scope, run_key: str, index: int, kind: str, payload: str) -> Object:
    """Writes a step. The same step again changes nothing, another one with its index is refused."""
    known = find(tx.conn, scope, run_key)
    if known is None:
        if all_of(tx.conn, scope.user_id, run_key):
            # Whoever writes to a run without having begun one means the run of the other role.
            raise not_found("run")
        if is_erased_run(tx, scope.user_id, run_key):
            return _erased(run_key)
        known = _begin(tx, scope.user_id, scope.role or scope.own_role or "", run_key)
        emit(tx, known)
    s = run_steps.c
    there = tx.conn.execute(select(run_steps).where(s.run_seq == known.seq, s.step_index == index)).first()
    if there is not None:
        if there.kind == kind and there.payload == payload:
            return note(known)
        raise conflict("step_exists", "the run has another step with this index", {"step": step(there)})
    size = len(payload.encode())
    if known.step_bytes + size > MAX_JOURNAL:
        raise invalid("payload", "does not fit: the steps of a run have 64 MiB at most")
    tx.conn.execute(
        insert(run_steps).values(run_seq=known.seq, step_index=index, kind=kind, payload=payload, created_at=tx.at)
    )
    r = runs.c
    changes: dict[Any, Any] = {r.updated_at: tx.at, r.step_count: r.step_count + 1, r.step_bytes: r.step_bytes + size}
    if scope.fence is not None:
        changes[r.lease_id] = scope.fence.lease_id
        if scope.fence.lease_id != known.lease_id:
            changes[r.orphan_until] = None
    tx.conn.execute(update(runs).where(r.seq == known.seq).values(changes))
    tx.emit(known.user_id, "run.step", "run_key", {"run_key": run_key, "index": index, "kind": kind}, known.role)
    return note(known)


@routes.add("GET", "/runs/{run_key}")
def get_run(call: Call) -> Response:
    """A run, with its journal unless that is not wanted."""
    scope = scope_of_role(call.read_scope(), call.query)
    with_steps = call.query.flag("steps", True)
    s = run_steps.c
    with call.mc.storage.read() as conn:
        found = need(conn, scope, call.params["run_key"])
        steps: list[Object] = []
        if with_steps:
            rows = conn.execute(select(run_steps).where(s.run_seq == found.seq).order_by(s.step_index))
            steps = [step(row) for row in rows]
    return json_response(run(found, steps))


@routes.add("PUT", "/runs/{run_key}", MAX_STEP)
def put(call: Call) -> Response:
    """Begins a run, or says where it stands."""
    tenant, fields = call.tenant(), call.fields
    run_key = check_key(call.params["run_key"])
    parent, session = fields.opt_text("parent_run_key"), fields.opt_text("session_key")
    if parent is not None:
        check_key(parent, "parent_run_key")
    scope = scope_of_role(call.write_scope(tenant), call.query)
    if session is not None:
        role = check_tenants_session(tenant, session)
        if scope.role is not None and role != scope.role:
            raise invalid("session_key", "must be of the role that the query names")
    with write_of_run(call.mc, scope, run_key, parent) as tx:
        answer = put_run(tx, scope, run_key, fields)
    return json_response(answer)


@routes.add("PUT", "/runs/{run_key}/steps/{index}", MAX_STEP)
def put_one_step(call: Call) -> Response:
    """Writes a step of a run's journal."""
    tenant, fields = call.tenant(), call.fields
    run_key, index = check_key(call.params["run_key"]), call.params["index"]
    if not re.fullmatch(r"[0-9]{1,10}", index) or int(index) >= 2**32:
        raise invalid("index", "must be a whole number from 0")
    kind = fields.text("kind")
    if "payload" not in fields.raw:
        raise invalid("payload", "is required")
    payload = canonical(fields.raw["payload"])
    scope = scope_of_role(call.write_scope(tenant), call.query)
    with call.mc.write(scope) as tx:
        answer = put_step(tx, scope, run_key, int(index), kind, payload)
    return json_response(answer)


@routes.add("POST", "/runs/{run_key}/cancel")
def cancel(call: Call) -> Response:
    """Requests that a run is cancelled. One that nobody executes is cancelled at once."""
    scope = scope_of_role(call.write_scope(), call.query)
    with call.mc.write(scope) as tx:
        answer = ends.cancel_run(tx, scope, call.params["run_key"])
    return json_response(answer)
