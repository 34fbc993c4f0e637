"""For how long things are kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, and_, delete, exists, func, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..jsonio import Object, now, stamp
from ..scope import Actor
from ..storage import tables as t
from .audit import Act, record

if TYPE_CHECKING:
    from ..core import MissionControl

routes = Routes("retention")

KINDS: dict[str, Table] = {
    "runs": t.runs, "messages": t.messages, "documents": t.documents, "notifications": t.notifications,
    "files": t.files, "memories": t.memories, "feedback": t.feedback, "usage": t.usage, "schedules": t.schedules,
    "tasks": t.tasks, "audit": t.audit,
}
AT_A_TIME = 200
_OF_TASK = (t.messages, t.documents, t.notifications, t.tool_requests, t.leases, t.memories)


def check_days(days: Any) -> None:
    """Refuses kinds that never expire, and periods that are none."""
    for kind, number in dict(days).items():
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind that expires; allowed: {', '.join(KINDS)}")
        if not isinstance(number, int) or not 1 <= number <= 36_500:
            raise ValueError(f"{kind} needs a whole number of days from 1 to 36500; leave it out to keep them for ever")


def _is_open(run: Any) -> Any:
    """Which runs are not over: one without a caller is taken up again where it was interrupted."""
    waits = run.status.in_(("running", "awaiting_approval", "awaiting_answer"))
    return or_(waits, and_(run.status == "interrupted", run.detached))


def _due(mc: MissionControl, kind: str, at: datetime) -> Any:
    """What of a kind has expired."""
    days = mc.settings.retention_days

    def before(of: str) -> datetime:
        own = at - timedelta(days=days[kind])
        # What is kept for longer by itself keeps its task, or its run.
        return min(own, at - timedelta(days=days[of])) if of in days else own

    cutoff, c = before(kind), KINDS[kind].c
    if kind == "runs":
        p, f = t.runs.alias(), t.feedback.c
        parent = exists().where(p.c.user_id == c.user_id, p.c.run_key == c.parent_run_key, _is_open(p.c))
        young = exists().where(f.run_seq == c.seq, f.updated_at >= before("feedback"))
        return and_(c.updated_at < cutoff, ~_is_open(c), ~parent, ~young)
    if kind == "messages":
        r = t.runs.c
        return and_(c.created_at < cutoff, ~exists().where(r.task_id == c.task_id, _is_open(r)))
    if kind == "notifications":
        times = (c.created_at, c.delivered_at, c.read_at, c.dead_at)
        old = and_(*[or_(time.is_(None), time < cutoff) for time in times])
        return and_(or_(c.delivered_at.is_not(None), c.dead_at.is_not(None)), old)
    if kind == "schedules":
        return and_(c.status == "ended", c.updated_at < cutoff, or_(c.last_slot.is_(None), c.last_slot < cutoff))
    if kind == "usage":
        # Budgets count what was spent in this month.
        return c.created_at < min(cutoff, at.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    if kind == "tasks":
        return _due_tasks(cutoff, before)
    if kind == "audit":
        newest = select(func.max(t.audit.c.seq)).scalar_subquery()
        first_young = select(func.min(t.audit.c.seq)).where(t.audit.c.at >= stamp(cutoff)).scalar_subquery()
        return and_(c.seq < newest, c.at < stamp(cutoff), c.seq < func.coalesce(first_young, newest))
    column = {"files": "put_at", "memories": "updated_at", "feedback": "updated_at"}.get(kind, "created_at")
    return c[column] < cutoff


def _due_tasks(cutoff: datetime, before: Any) -> Any:
    c, m, d, r = t.tasks.c, t.messages.c, t.documents.c, t.runs.c
    n, q, y, s = t.notifications.c, t.tool_requests.c, t.memories.c, t.schedules.c
    younger = [
        exists().where(m.task_id == c.id, m.created_at >= before("messages")),
        exists().where(d.task_id == c.id, d.created_at >= before("documents")),
        exists().where(r.task_id == c.id, or_(_is_open(r), r.updated_at >= cutoff)),
        exists().where(n.task_id == c.id, n.delivered_at.is_(None), n.dead_at.is_(None)),
        exists().where(q.task_id == c.id, q.status == "pending"),
        exists().where(y.task_id == c.id, y.user_id == c.user_id, y.updated_at >= before("memories")),
        exists().where(s.task_id == c.id, s.user_id == c.user_id, s.status != "ended"),
    ]
    over = and_(c.status.in_(("completed", "cancelled")), c.updated_at < cutoff)
    return and_(over, *[~one for one in younger])


def count_expired(mc: MissionControl) -> Object:
    """How many of each kind have expired."""
    at = now()
    with mc.storage.read() as conn:
        return {
            kind: conn.execute(select(func.count()).select_from(KINDS[kind]).where(_due(mc, kind, at))).scalar_one()
            for kind in KINDS
            if kind in mc.settings.retention_days
        }


def _delete(tx: Any, kind: str, seqs: list[int]) -> None:
    if kind == "tasks":
        ids = list(tx.conn.execute(select(t.tasks.c.id).where(t.tasks.c.seq.in_(seqs))).scalars())
        tx.conn.execute(update(t.runs).where(t.runs.c.task_id.in_(ids)).values(task_id=None))
        for table in _OF_TASK:
            tx.conn.execute(delete(table).where(table.c.task_id.in_(ids)))
    if kind == "runs":
        opinions = select(t.feedback.c.seq).where(t.feedback.c.run_seq.in_(seqs))
        tx.conn.execute(delete(t.run_labels).where(t.run_labels.c.feedback_seq.in_(opinions)))
        for table in (t.feedback, t.run_artifacts, t.run_deltas, t.run_told, t.run_steps):
            tx.conn.execute(delete(table).where(table.c.run_seq.in_(seqs)))
    if kind == "feedback":
        tx.conn.execute(delete(t.run_labels).where(t.run_labels.c.feedback_seq.in_(seqs)))
    if kind == "audit":
        tx.conn.execute(delete(t.audit_reasons).where(t.audit_reasons.c.seq.in_(seqs)))
    tx.conn.execute(delete(KINDS[kind]).where(KINDS[kind].c.seq.in_(seqs)))


def expire(mc: MissionControl) -> Object:
    """Deletes what has expired, some at a time, each time with a `data.expired` in the same transaction."""
    check_days(mc.settings.retention_days)
    counts: Object = {}
    for kind in KINDS:
        if kind not in mc.settings.retention_days:
            continue
        counts[kind], at = 0, now()
        cutoff = at - timedelta(days=mc.settings.retention_days[kind])
        while True:
            with mc.storage.write() as tx:
                seq = KINDS[kind].c.seq
                query = select(seq).where(_due(mc, kind, at)).order_by(seq).limit(AT_A_TIME)
                if kind == "audit":
                    tx.lock_order()
                else:
                    query = query.with_for_update(of=KINDS[kind], skip_locked=True)
                seqs = list(tx.conn.execute(query).scalars())
                if not seqs:
                    break
                details: Object = {"kind": kind, "before": stamp(cutoff), "count": len(seqs)}
                if kind == "audit":
                    last = t.audit.c.seq == seqs[-1]
                    details |= {"through": seqs[-1], "hash": tx.conn.execute(select(t.audit.c.hash).where(last)).scalar()}
                _delete(tx, kind, seqs)
                record(tx, Actor("system"), Act("data.expired", details=details))
            counts[kind] += len(seqs)
            if kind == "audit" and len(seqs) < AT_A_TIME:
                break
    return counts


@routes.add("GET", "/retention")
def retention(call: Call) -> Response:
    """After how many days without a change each kind goes, and how many are due now."""
    call.alone()
    return json_response({"days": dict(call.mc.settings.retention_days), "counts": count_expired(call.mc)})
