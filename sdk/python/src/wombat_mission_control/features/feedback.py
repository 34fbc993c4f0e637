"""What people think of runs: one opinion for each run and author."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import conflict, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, new_id, stamp, without_none
from ..mentions import is_role, is_user_id
from ..paging import page, paging
from ..scope import Scope
from ..storage.engine import Tx
from ..storage.tables import feedback, run_labels, runs
from .audit import Act, record
from .memories import author
from .run_rows import check_key

routes = Routes("feedback")

MAX_LABELS = 10
MAX_LABEL = 100
MAX_COMMENT = 2_000


def _feedback(row: Any) -> Object:
    return without_none(
        run_key=row.run_key, user_id=row.user_id, role=row.role, message_id=row.message_id, rating=row.rating,
        labels=row.labels or [], comment=row.comment, author={"type": row.author_type, "id": row.author_id},
        created_at=stamp(row.created_at), updated_at=stamp(row.updated_at),
    )


def _runs_of(conn: Connection, **wanted: str | None) -> list[Any]:
    query = select(runs.c.seq, runs.c.user_id, runs.c.role, runs.c.message_id, runs.c.run_key)
    for name, value in wanted.items():
        if value is not None:
            query = query.where(runs.c[name] == value)
    return list(conn.execute(query.order_by(runs.c.seq.desc()).limit(20)))


def _user_of(call: Call, named: str | None) -> tuple[str | None, Scope | None]:
    """Whose run is meant: a person's own, or that of the user whom a service names."""
    service = call.service()
    if service.on_behalf_of is not None and named not in (None, service.on_behalf_of):
        raise not_found("user")
    user_id = service.on_behalf_of or named
    return user_id, None if user_id is None else service.scope_of(user_id, call.trace_id)


def _opinion(fields: Fields) -> Object:
    rating, comment = fields.choice("rating", ("up", "down")), fields.opt_text("comment", MAX_COMMENT)
    labels = fields.texts("labels", MAX_LABELS, MAX_LABEL)
    if rating is None and not fields.has("labels") and comment is None:
        raise invalid("rating", "is required, or labels, or a comment")
    if any(not label.strip() for label in labels):
        raise invalid("labels", "must not be empty")
    return {"rating": rating, "labels": sorted({label.strip() for label in labels}), "comment": comment}


@routes.add("POST", "/feedback")
def give(call: Call) -> Response:
    """Keeps what somebody thinks of a run, in place of what they thought before."""
    fields = call.fields
    named, role = fields.opt_text("user_id"), fields.opt_text("role")
    if named is not None and not is_user_id(named):
        raise invalid("user_id", "is not a user id")
    if role is not None and not is_role(role):
        raise invalid("role", "must be letters, digits, _ and -")
    user_id, scope = _user_of(call, named)
    opinion, key = _opinion(fields), fields.filled("idempotency_key")
    run_key, message_id = fields.opt_text("run_key"), fields.filled("message_id")
    if run_key is not None:
        check_key(run_key)
    elif message_id is None:
        raise invalid("run_key", "is required, or message_id")
    if scope is None:
        # A service that names no user: the run tells whose it is.
        with call.mc.storage.read() as conn:
            found = _runs_of(conn, run_key=run_key, role=role, message_id=message_id)
        if not found:
            raise not_found("run")
        user_id = found[0].user_id if len({row.user_id for row in found}) == 1 else None
        if user_id is None:
            raise invalid("user_id", "is required: several users have such a run")
        scope = call.service().scope_of(user_id, call.trace_id)
    whose = scope

    def make(tx: Tx) -> Object:
        found = _runs_of(tx.conn, user_id=whose.user_id, run_key=run_key, role=role, message_id=message_id)
        if not found:
            raise not_found("run" if run_key is not None else "message of a run")
        if len(found) > 1:
            text = "several roles have a run with this key: name one"
            raise conflict("run_ambiguous", text, {"roles": [row.role for row in found]})
        return _put(tx, whose, found[0], opinion | {"message_id": message_id or found[0].message_id})

    return call.create(scope, "feedback", key, make)


def _put(tx: Tx, scope: Scope, run: Any, opinion: Object) -> Object:
    f = feedback.c
    kind, author_id = author(scope.actor)
    own = (f.run_seq == run.seq) & (f.author_type == kind) & (f.author_id == author_id)
    known = tx.conn.execute(select(f.seq).where(own)).scalar()
    changes = opinion | {"updated_at": tx.at}
    if known is None:
        new = {"id": new_id(), "run_seq": run.seq, "user_id": run.user_id, "created_at": tx.at}
        new |= {"author_type": kind, "author_id": author_id}
        known = tx.conn.execute(insert(feedback).values(changes | new).returning(f.seq)).scalar_one()
    else:
        tx.conn.execute(update(feedback).where(f.seq == known).values(changes))
        tx.conn.execute(delete(run_labels).where(run_labels.c.feedback_seq == known))
    for label in opinion["labels"]:
        tx.conn.execute(insert(run_labels).values(feedback_seq=known, label=label, run_seq=run.seq))
    details = {"rating": opinion["rating"], "role": run.role}
    record(tx, scope.actor, Act("feedback.set", run.user_id, ("run", run.run_key), details))
    return _feedback(tx.conn.execute(_with_runs().where(f.seq == known)).one())


def _with_runs() -> Any:
    joined = feedback.join(runs, runs.c.seq == feedback.c.run_seq)
    return select(feedback, runs.c.run_key, runs.c.role).select_from(joined)


@routes.add("GET", "/feedback")
def list_feedback(call: Call) -> Response:
    """What was said of a run, oldest first."""
    (limit, after), run_key = paging(call.query), call.query.need("run_key")
    role = call.query.text("role")
    user_id, _ = _user_of(call, call.query.text("user_id"))
    query = _with_runs().where(runs.c.run_key == run_key)
    for column, value in ((feedback.c.user_id, user_id), (runs.c.role, role)):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(feedback.c.seq > after)
    with call.mc.storage.read() as conn:
        if not _runs_of(conn, user_id=user_id, run_key=run_key, role=role):
            raise not_found("run")
        return json_response(page(conn.execute(query.order_by(feedback.c.seq).limit(limit + 1)), limit, _feedback))
