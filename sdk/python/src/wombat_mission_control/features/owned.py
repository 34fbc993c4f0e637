"""Where the database holds something of a user: what is erased, counted and exported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, or_, select

from ..jsonio import Object, loads, stamp
from ..storage import tables as t
from .audit import entries, entry_of


@dataclass(frozen=True)
class Owned:
    """A table with rows of users."""

    kind: str
    table: Table
    #: Whether it stays where messages are kept.
    is_thread: bool = False

    def of(self, user_id: str) -> Any:
        """Which rows are a user's."""
        columns = self.table.c
        if "user_id" in columns:
            return columns.user_id == user_id
        if "rule_seq" in columns:
            return columns.rule_seq.in_(select(t.approval_rules.c.seq).where(t.approval_rules.c.user_id == user_id))
        return columns.run_seq.in_(select(t.runs.c.seq).where(t.runs.c.user_id == user_id))

    def stays(self, messages: str) -> bool:
        """Whether it is kept."""
        return self.is_thread and messages == "keep"


#: All of them; what refers to another one comes before it. The audit log is kept, and names nobody afterwards.
OWNED = [
    Owned("artifacts", t.run_artifacts), Owned("deltas", t.run_deltas), Owned("run_told", t.run_told), Owned("steps", t.run_steps),
    Owned("run_labels", t.run_labels), Owned("feedback", t.feedback), Owned("runs", t.runs),
    Owned("approval_rule_uses", t.approval_rule_uses), Owned("approval_rules", t.approval_rules),
    Owned("tool_requests", t.tool_requests), Owned("session_leases", t.leases),
    Owned("notifications", t.notifications), Owned("documents", t.documents, True), Owned("files", t.files),
    Owned("memories", t.memories), Owned("messages", t.messages, True), Owned("tasks", t.tasks, True),
    Owned("heartbeats", t.heartbeats), Owned("heartbeat_slots", t.heartbeat_slots), Owned("budgets", t.budgets),
    Owned("budget_warnings", t.budget_warnings), Owned("quiet_hours", t.quiet_hours),
    Owned("dead_letter_digests", t.dead_letter_digests), Owned("reservations", t.reservations),
    Owned("usage", t.usage), Owned("schedules", t.schedules), Owned("profiles", t.profiles),
    Owned("idempotency", t.idempotency), Owned("events", t.events),
]

_JSON = {"arguments", "edited", "payload", "events", "data", "decision_body", "body"}
_DERIVED = {"seq", "run_seq", "rule_seq", "feedback_seq", "folded", "owner", "words", "bytes"}


def audit_of(user_id: str) -> Any:
    """The entries of the log that concern a user, or are of that user's acts, without exports."""
    subject = select(t.audit_subjects.c.subject).where(t.audit_subjects.c.user_id == user_id)
    own = or_(t.audit.c.subject.in_(subject), t.audit.c.actor_subject.in_(subject))
    return own & (t.audit.c.act != "data.exported")


def counted(conn: Connection, user_id: str, messages: str) -> Object:
    """How much of each kind there is of a user: what goes, and what stays."""
    counts: Object = {}
    kept: Object = {}
    for owned in OWNED:
        query = select(func.count()).select_from(owned.table).where(owned.of(user_id))
        (kept if owned.stays(messages) else counts)[owned.kind] = conn.execute(query).scalar_one()
    query = select(func.count()).select_from(t.audit).where(audit_of(user_id))
    kept["audit"] = conn.execute(query).scalar_one()
    return {"counts": counts, "kept": kept}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if name in _JSON and isinstance(value, str):
        try:
            return loads(value)
        except ValueError:
            return value
    return value


def _item(row: Any) -> Object:
    fields = row._mapping.items()
    return {name: _value(name, value) for name, value in fields if name not in _DERIVED and value is not None}


def items(conn: Connection, user_id: str) -> Any:
    """All items of a user with their kinds: of each kind as many as are counted."""
    for owned in OWNED:
        key = list(owned.table.primary_key.columns)
        query = select(*[column for column in owned.table.c if column.name != "bytes"])
        if "run_seq" in owned.table.c:
            query = query.add_columns(
                select(t.runs.c.run_key).where(t.runs.c.seq == owned.table.c.run_seq).scalar_subquery().label("run_key")
            )
        query = query.where(owned.of(user_id)).order_by(*key).execution_options(yield_per=1 if owned.table is t.run_artifacts else 200)
        for row in conn.execute(query):
            yield owned.kind, _item(row)
    for row in conn.execute(entries().where(audit_of(user_id)).order_by(t.audit.c.seq)):
        entry = entry_of(row)
        # Whom else it concerns, and who else acted, is theirs.
        others = {name for name in ("user_id", "actor_user_id") if entry.get(name) not in (None, user_id)}
        yield "audit", {name: value for name, value in entry.items() if name not in others}
