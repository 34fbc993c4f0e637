"""Runs that other runs have asked for: they write under the lease of the run at the top, and end with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ..jsonio import Object, loads
from ..mentions import session_key
from ..scope import Fence, Scope
from ..storage.engine import Tx
from ..storage.tables import run_steps, runs, tool_requests
from .run_rows import FINAL, find_of

if TYPE_CHECKING:
    from ..core import MissionControl

#: The kind of the step by which a run hands calls on.
CALLING = "calling"
#: How many runs below one are ended with it.
MOST = 600
MOST_ABOVE = 64


def _named(payload: str) -> list[tuple[str, str]]:
    """The runs that a step names: key and role."""
    value = loads(payload)
    children = value.get("children") if isinstance(value, dict) else None
    found = []
    for child in children if isinstance(children, list) else []:
        if isinstance(child, dict) and isinstance(child.get("run_key"), str) and isinstance(child.get("role"), str):
            found.append((child["run_key"], child["role"]))
    return found


def _is_named(tx: Tx, scope: Scope, fence: Fence, run_key: str, parent: str) -> bool:
    """Whether the journal of a run that works under this lease names a run of this role as its child."""
    if scope.own_role is None:
        return False
    r, s = runs.c, run_steps.c
    query = (
        select(s.payload)
        .select_from(runs.join(run_steps, s.run_seq == r.seq))
        .where(r.user_id == scope.user_id, r.run_key == parent, r.lease_id == fence.lease_id, s.kind == CALLING)
    )
    return any((run_key, scope.own_role) in _named(row.payload) for row in tx.conn.execute(query))


@contextmanager
def write_of_run(mc: MissionControl, scope: Scope, run_key: str, parent: str | None) -> Iterator[Tx]:
    """Begins a write about a run. A child's may come under its parent's lease."""
    from .leases import check_fence

    with mc.write(replace(scope, fence=None)) as tx:
        if scope.fence is not None:
            is_child = parent is not None and _is_named(tx, scope, scope.fence, run_key, parent)
            check_fence(tx, replace(scope, role=None) if is_child else scope, scope.fence)
        yield tx


@dataclass
class _Caller:
    """A run whose journal names others, and those of them that were asked about."""

    row: Any
    children: list[tuple[str, str]]


def _callers(tx: Tx, user_id: str, run_key: str, children: Sequence[Any]) -> list[_Caller]:
    keys = {child.run_key for child in children}
    r, s = runs.c, run_steps.c
    query = (
        select(runs, s.payload.label("payload"))
        .select_from(runs.join(run_steps, s.run_seq == r.seq))
        .where(r.user_id == user_id, r.run_key == run_key, s.kind == CALLING)
        .order_by(r.seq, s.step_index)
    )
    callers: list[_Caller] = []
    for row in tx.conn.execute(query):
        named = [child for child in _named(row.payload) if child[0] in keys]
        if callers and callers[-1].row.seq == row.seq:
            callers[-1].children += named
        else:
            callers.append(_Caller(row, named))
    return callers


def _parent_of(callers: Sequence[_Caller], child: Any) -> Any | None:
    """The one among the runs with its parent's key that has asked for a run: the one under whose lease the child
    was written, and else the oldest."""
    naming = [caller.row for caller in callers if (child.run_key, child.role) in caller.children]
    same = [row for row in naming if child.lease_id is not None and row.lease_id == child.lease_id]
    return next(iter(same or naming), None)


def _above(tx: Tx, child: Any) -> Any | None:
    if child.parent_run_key is None:
        return None
    return _parent_of(_callers(tx, child.user_id, child.parent_run_key, [child]), child)


def _top_of(tx: Tx, row: Any) -> Any:
    for _ in range(MOST_ABOVE):
        parent = _above(tx, row)
        if parent is None:
            break
        row = parent
    return row


def is_below(tx: Tx, child: Any, role: str, run_key: str) -> bool:
    """Whether a run is below a role's run."""
    for _ in range(MOST_ABOVE):
        child = _above(tx, child)
        if child is None:
            return False
        if child.role == role and child.run_key == run_key:
            return True
    return False


def below(tx: Tx, user_id: str, role: str, run_key: str) -> list[Any]:
    """The runs below a role's run, each after its parent."""
    found: list[Any] = []
    known: set[int] = set()
    left: list[tuple[str, str]] = [(role, run_key)]
    r = runs.c
    while left and len(known) < MOST:
        of_role, key = left.pop()
        query = select(runs).where(r.user_id == user_id, r.parent_run_key == key).order_by(r.seq.desc()).limit(MOST)
        children = list(tx.conn.execute(query))
        callers = _callers(tx, user_id, key, children) if children else []
        for child in children:
            parent = _parent_of(callers, child)
            if parent is not None and parent.role == of_role and child.seq not in known and len(known) < MOST:
                known.add(child.seq)
                found.append(child)
                left.append((child.role, child.run_key))
    return found


def withdraw(tx: Tx, scope: Scope, row: Any) -> None:
    """Withdraws what people are asked on behalf of a run that is cancelled while the one at the top is not."""
    from .tool_requests import Settled, settle

    cancelled = find_of(tx.conn, row.user_id, row.role, row.run_key) if row.parent_run_key is not None else None
    if cancelled is None:
        return
    top = _top_of(tx, cancelled)
    if top.seq == cancelled.seq:
        return
    askers = {(child.role, child.run_key) for child in below(tx, row.user_id, row.role, row.run_key)}
    askers.add((row.role, row.run_key))
    t = tool_requests.c
    query = select(tool_requests).where(
        t.user_id == row.user_id, t.status == "pending", t.asked_by.is_not(None),
        t.session_key == session_key(row.user_id, top.role),
    )
    for request in list(tx.conn.execute(query.order_by(t.seq))):
        asker: Object = request.asked_by
        if (asker.get("role"), asker.get("run_key")) in askers:
            settle(tx, scope, request, Settled("cancelled"))


def follow(tx: Tx, row: Any, status: str, is_to_be: bool) -> None:
    """What becomes of the runs below a run that has this status from now on: a cancelled one's are cancelled, and
    nobody works on those of one that was interrupted or has failed. Of one that is to be cancelled, they are, too."""
    from .run_ends import end

    ends = {"cancelled": "cancelled", "interrupted": "interrupted", "failed": "interrupted"}.get(status)
    if ends is None and not is_to_be:
        return
    for child in below(tx, row.user_id, row.role, row.run_key):
        is_over = child.status in FINAL or (ends == "interrupted" and child.status != "running")
        if ends is not None and not is_over:
            end(tx, child, ends)
        elif ends is None and child.status == "running":
            tx.conn.execute(
                update(runs).where(runs.c.seq == child.seq).values(cancel_requested=True, updated_at=tx.at)
            )
