"""Lists of runs, and what they come to together."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from sqlalchemy import exists, func, or_, select

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import invalid, not_found
from ..jsonio import Object, stamp, without_none
from ..mentions import is_role
from ..paging import page, paging
from ..storage.tables import feedback, run_labels, runs
from ..words import plain_words
from .memories import anyone
from .run_facts import OVER
from .run_rows import STATUSES, check_key

routes = Routes("runs_list")

MAX_QUERY = 500
MAX_LABEL = 100
#: How many characters of message and reply a list shows.
SHOWN = 200
MOST_TOTALS = 500
BY = {"model": "model", "role": "role", "workspace": "workspace", "digest": "workspace_digest"}


def _count(rating: str) -> Any:
    f = feedback.c
    return (
        select(func.count()).where(f.run_seq == runs.c.seq, f.rating == rating).correlate(runs).scalar_subquery()
    )


def _conditions(call: Call) -> list[Any]:
    """Which runs are meant: an agent's are its own role's, a person's all of theirs, a service's everybody's."""
    who, query, r = anyone(call), call.query, runs.c
    role, user_id, run_key = query.text("role"), query.text("user_id"), query.text("run_key")
    if role is not None:
        if not is_role(role):
            raise invalid("role", "must be letters, digits, _ and -")
        if call.agent_seen is not None:
            call.agent_seen.must_act_as("role", role)
    if who.user_id is not None and user_id not in (None, who.user_id):
        raise not_found("user")
    if run_key is not None:
        check_key(run_key)
    equal = {
        "run_key": run_key, "user_id": who.user_id or user_id, "role": role or (who.scope.role if who.scope else None),
        "status": query.choice("status", STATUSES), "model": query.text("model"),
    }
    found = [r[name] == value for name, value in equal.items() if value is not None]
    digest, label = query.text("digest"), query.text("label")
    if digest is not None:
        found.append(or_(r.workspace_digest == digest, r.profile_digest == digest))
    if label is not None:
        if len(label) > MAX_LABEL:
            raise invalid("label", f"must have at most {MAX_LABEL} characters")
        found.append(exists().where(run_labels.c.run_seq == r.seq, run_labels.c.label == label))
    return found + _rated(call) + _timed(call) + _worded(call)


def _rated(call: Call) -> list[Any]:
    rating, f = call.query.choice("rating", ("up", "down", "none")), feedback.c
    if rating is None:
        return []
    rated = exists().where(f.run_seq == runs.c.seq, f.rating.is_not(None) if rating == "none" else f.rating == rating)
    return [~rated if rating == "none" else rated]


def _timed(call: Call) -> list[Any]:
    start, end = call.query.time("from"), call.query.time("to")
    found = [] if start is None else [runs.c.created_at >= start]
    return found + ([] if end is None else [runs.c.created_at < end])


def _worded(call: Call) -> list[Any]:
    q = call.query.text("q")
    if q is None or not q.strip():
        return []
    if len(q) > MAX_QUERY:
        raise invalid("q", f"must have at most {MAX_QUERY} characters")
    words = plain_words(q)
    if not words:
        # Words that no text can have: no run fulfils this.
        return [runs.c.seq < 0]
    return [runs.c.words.contains(f" {word} ") for word in words]


def _labels(conn: Any, seqs: list[int]) -> dict[int, list[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    l = run_labels.c
    for row in conn.execute(select(l.run_seq, l.label).where(l.run_seq.in_(seqs))):
        found[row.run_seq].add(row.label)
    return {seq: sorted(labels) for seq, labels in found.items()}


def _listed(row: Any, labels: list[str]) -> Object:
    is_over = row.status in OVER
    return without_none(
        run_key=row.run_key, status=row.status, user_id=row.user_id, role=row.role, task_id=row.task_id,
        model=row.model, provider=row.provider, workspace=row.workspace, workspace_digest=row.workspace_digest,
        profile_digest=row.profile_digest, started_at=stamp(row.created_at),
        ended_at=stamp(row.ended_at or row.updated_at) if is_over else None, step_count=row.step_count, usage=row.used,
        cost_usd=row.cost_usd, error_code=row.error_code if row.status == "failed" else None,
        asked=None if row.asked is None else row.asked[:SHOWN], reply=None if row.reply is None else row.reply[:SHOWN],
        ratings={"up": row.up, "down": row.down}, labels=labels,
    )


@routes.add("GET", "/runs")
def list_runs(call: Call) -> Response:
    """Runs, newest first."""
    (limit, before), conditions = paging(call.query), _conditions(call)
    if before is not None:
        conditions.append(runs.c.seq < before)
    query = select(runs, _count("up").label("up"), _count("down").label("down")).where(*conditions)
    with call.mc.storage.read() as conn:
        rows = conn.execute(query.order_by(runs.c.seq.desc()).limit(limit + 1)).all()
        labels = _labels(conn, [row.seq for row in rows])
    return json_response(page(rows, limit, lambda row: _listed(row, labels.get(row.seq, []))))


def _p95(durations: list[int]) -> int | None:
    """Of 100 runs that ended, 95 took at most this long (nearest rank)."""
    return sorted(durations)[math.ceil(len(durations) * 0.95) - 1] if durations else None


@routes.add("GET", "/runs/summary")
def summary(call: Call) -> Response:
    """What runs come to that have something in common: where there are most of them first."""
    by, conditions, r = call.query.need("by"), _conditions(call), runs.c
    if by not in BY:
        raise invalid("by", "must be model, role, workspace or digest")
    key = r[BY[by]]
    query = select(
        key.label("key"), r.status, r.cost_usd, r.duration_ms, _count("up").label("up"), _count("down").label("down")
    ).where(*conditions)
    groups: dict[str | None, list[Any]] = defaultdict(list)
    with call.mc.storage.read() as conn:
        for row in conn.execute(query.execution_options(yield_per=1_000)):
            groups[row.key].append(row)
    items: list[Object] = []
    for name, rows in groups.items():
        durations = [row.duration_ms for row in rows if row.duration_ms is not None]
        item = without_none(
            runs=len(rows), failed=sum(row.status == "failed" for row in rows), up=sum(row.up for row in rows),
            down=sum(row.down for row in rows), cost_usd=math.fsum(row.cost_usd or 0 for row in rows),
            p95_ms=_p95(durations),
        )
        items.append({"key": name, by: name} | item)
    items.sort(key=lambda item: (-item["runs"], item["key"] or ""))
    return json_response({"by": by, "items": items[:MOST_TOTALS]})
