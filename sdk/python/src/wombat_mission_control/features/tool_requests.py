"""Tool requests: calls that need a person's approval, and questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from ..api import Response, Routes, created, json_response
from ..call import Call
from ..errors import conflict, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, dumps, loads, new_id, now, stamp, without_none
from ..mentions import is_role, session_key, session_role
from ..rawjson import raw_field
from ..paging import page, paging
from ..scope import Actor, Scope, check_tenants_session
from ..storage.engine import Tx
from ..storage.tables import tool_requests
from .audit import Act, record
from .notifications import HIGH, Notice, insert_notice
from .questions import check_question
from .run_rows import all_of, check_key, find_of
from .tasks import ensure_task

if TYPE_CHECKING:
    from ..core import MissionControl

routes = Routes("tool_requests")

STATUSES = ("pending", "approved", "denied", "answered", "expired", "cancelled")
MAX_TOOL = 1_000
MAX_WORDS = 10_000
#: The most characters of a question in a notification.
QUOTED = 80


@dataclass(frozen=True)
class Settled:
    """What becomes of a tool request."""

    status: str
    note: str | None = None
    #: Other arguments: JSON text.
    edited: str | None = None
    answer: Any = None
    rule_id: str | None = None
    #: The idempotency key of the decision, and its body in canonical form.
    key: str | None = None
    body: str | None = None


def tool_request(row: Any) -> Object:
    """A tool request as it is answered."""
    answer = {"answer": row.answer} if row.is_answered else {}
    return answer | without_none(
        id=row.id, kind=row.kind, status=row.status, task_id=row.task_id, run_key=row.run_key,
        session_key=row.session_key, tool=row.tool, arguments=loads(row.arguments), reason=row.reason, note=row.note,
        parameters=row.parameters, asked_by=row.asked_by,
        edited=None if row.edited is None else {"arguments": loads(row.edited)},
        decided_by=row.decided_by, expires_at=stamp(row.expires_at), rule_id=row.rule_id,
        created_at=stamp(row.created_at), decided_at=stamp(row.decided_at),
    )


def tell(tx: Tx, scope: Scope, row: Any, reason: str | None) -> None:
    """Tells what a tool request has become, as an event and in the audit log."""
    from .approval_rules import sha256_of

    name = "tool_request." + ("created" if row.status == "pending" else row.status)
    role = session_role(row.user_id, row.session_key)
    tx.emit(row.user_id, name, "tool_request_id", tool_request(row), role)
    details = without_none(
        role=role, run_key=row.run_key, tool=row.tool, kind="question" if row.kind == "question" else None,
        edited_sha256=None if row.edited is None else sha256_of(loads(row.edited)), rule_id=row.rule_id,
    )
    record(tx, scope.actor, Act(name, row.user_id, ("tool_request", row.id), details, reason))


def of_scope(scope: Scope) -> Any:
    """Which tool requests a call may see."""
    own = tool_requests.c.user_id == scope.user_id
    return own if scope.session is None else own & (tool_requests.c.session_key == scope.session)


def row_of(conn: Any, scope: Scope, request_id: str) -> Any:
    """The row of a tool request that the caller may see."""
    row = conn.execute(select(tool_requests).where(tool_requests.c.id == request_id, of_scope(scope))).first()
    if row is None:
        raise not_found("tool request")
    return row


def is_due(row: Any) -> bool:
    """Whether a question's time is over, though nobody has written that yet."""
    return row.status == "pending" and row.expires_at is not None and row.expires_at <= now()


def decided_already(status: str) -> Exception:
    """409: somebody's word stands already."""
    return conflict("already_decided", f"the request is {status} already", {"status": status})


def _sentence(row: Any) -> str:
    """The text of the notification about a decision."""
    if row.kind != "question":
        said = f"The call of {row.tool} was {row.status}."
    else:
        question = loads(row.arguments)["question"]
        quoted = question[:QUOTED] + ("…" if len(question) > QUOTED else "")
        said = {
            "answered": f"The question “{quoted}” was answered.",
            "expired": f"Nobody answered the question “{quoted}” in time.",
        }.get(row.status, f"Nobody is going to answer the question “{quoted}”.")
    note = (row.note or "").strip()
    return f"{said} {note}" if note else said


def settle(tx: Tx, scope: Scope, known: Any, settled: Settled) -> Any:
    """Writes what has become of a tool request that waits, and notifies its session, so that its run goes on."""
    by = without_none(type=scope.actor.type, id=scope.own_role or scope.actor.user_id)
    row = tx.conn.execute(
        update(tool_requests)
        .where(tool_requests.c.seq == known.seq)
        .values(
            status=settled.status, note=settled.note, decided_at=tx.at, edited=settled.edited, answer=settled.answer,
            is_answered=settled.status == "answered", decided_by=by, rule_id=settled.rule_id,
            decision_key=settled.key, decision_body=settled.body,
        )
        .returning(tool_requests)
    ).one()
    tell(tx, scope, row, row.note)
    role = session_role(row.user_id, row.session_key) or ""
    run = find_of(tx.conn, row.user_id, role, row.run_key)
    metadata = without_none(
        tool_request_id=row.id, tool_request_status=row.status,
        tool_request_kind="question" if row.kind == "question" else None,
        detached=True if run is not None and run.detached else None,
    )
    insert_notice(
        tx, Notice(row.user_id, row.session_key, _sentence(row), row.task_id, HIGH, run_key=row.run_key, metadata=metadata)
    )
    return row


def cancel_pending(tx: Tx, scope: Scope, run: Any) -> None:
    """Cancels the pending tool requests of a cancelled run."""
    t = tool_requests.c
    rows = tx.conn.execute(
        update(tool_requests)
        .where(t.run_key == run.run_key, t.status == "pending", t.session_key == session_key(run.user_id, run.role))
        .values(status="cancelled", decided_at=tx.at)
        .returning(tool_requests)
    ).all()
    for row in rows:
        tell(tx, scope, row, None)


def check_waits(tx: Tx, user_id: str, role: str, run_key: str) -> None:
    """Refuses a tool request about a run that was cancelled, or that only other roles have."""
    found = all_of(tx.conn, user_id, run_key)
    own = next((row for row in found if row.role in (role, "")), None)
    if own is None and found:
        raise not_found("run")
    if own is not None and own.status == "cancelled":
        raise conflict("run_cancelled", "the run was cancelled")


def expire_questions(mc: MissionControl) -> None:
    """Ends the questions whose time is over, and notifies their sessions: each once, whoever finds it first."""
    t = tool_requests.c
    due = (t.status == "pending") & (t.kind == "question")
    with mc.storage.read() as conn:
        query = select(t.id, t.user_id).where(due, t.expires_at <= now()).order_by(t.expires_at).limit(100)
        found = conn.execute(query).all()
    for one in found:
        with mc.storage.write(one.user_id) as tx:
            row = tx.conn.execute(select(tool_requests).where(t.id == one.id, due, t.expires_at <= tx.at)).first()
            if row is not None:
                settle(tx, Scope(one.user_id, Actor("system")), row, Settled("expired"))


@dataclass(frozen=True)
class _New:
    """A tool request that is to be made."""

    values: Object
    question: str | None


def _read(call: Call, fields: Fields) -> _New:
    arguments = fields.sub("arguments")
    if arguments is None:
        fields.need("arguments")
        raise invalid("arguments", "must be an object")
    try:
        sent = raw_field(call.request.body.decode(), "arguments")
    except ValueError:
        raise invalid("arguments", "must be given once") from None
    asker = fields.sub("asked_by")
    if asker is not None:
        check_key(asker.text("run_key"), "asked_by.run_key")
        if not is_role(asker.text("role")):
            raise invalid("asked_by.role", "must be letters, digits, _ and -")
    kind = fields.choice("kind", ("approval", "question")) or "approval"
    values: Object = {
        "task_id": fields.text("task_id"), "run_key": check_key(fields.text("run_key")),
        "session_key": fields.text("session_key"), "tool": fields.text("tool", MAX_TOOL), "kind": kind,
        "arguments": sent if sent is not None else dumps(arguments.raw), "reason": fields.opt_text("reason", MAX_WORDS),
        "asked_by": None if asker is None else {"run_key": asker.raw["run_key"], "role": asker.raw["role"]},
    }
    if kind == "question":
        schema, until = check_question(fields, arguments)
        return _New(values | {"parameters": schema, "expires_at": until}, arguments.text("question"))
    for name in ("ttl_secs", "expires_at"):
        if fields.has(name):
            raise invalid(name, "is for questions: an approval waits until it is decided")
    parameters = fields.raw.get("parameters")
    if parameters is not None and not isinstance(parameters, (dict, bool)):
        raise invalid("parameters", "must be a JSON Schema")
    return _New(values | {"parameters": parameters}, None)


@routes.add("POST", "/tool-requests")
def create_tool_request(call: Call) -> Response:
    """Asks for an approval or an answer; a question is stored with the agent's message that asks it."""
    from .messages import Author, NewMessage, insert_message

    tenant, fields = call.tenant(), call.fields
    scope, new = call.write_scope(tenant), _read(call, fields)
    key = fields.text("idempotency_key")
    role = check_tenants_session(tenant, new.values["session_key"])

    def make(tx: Tx) -> Object:
        ensure_task(tx.conn, scope.user_id, new.values["task_id"])
        check_waits(tx, scope.user_id, role, new.values["run_key"])
        own = {"id": new_id(), "user_id": scope.user_id, "status": "pending", "created_at": tx.at}
        row = tx.conn.execute(insert(tool_requests).values(own | new.values).returning(tool_requests)).one()
        tell(tx, scope, row, row.reason)
        if new.question is not None:
            # In the session's name: who asks for another role does not speak as that one.
            asked = NewMessage(row.task_id, new.question)
            insert_message(tx, scope.user_id, Author("agent", role), asked, row.id)
        return tool_request(row)

    made, replayed = call.create_once(scope, "tool-requests", key, make)
    if replayed:
        # A repetition is answered with the current status.
        expire_questions(call.mc)
        with call.mc.storage.read() as conn:
            made = tool_request(row_of(conn, scope, made["id"]))
    return created(made, replayed)


@routes.add("GET", "/tool-requests")
def list_tool_requests(call: Call) -> Response:
    """The tool requests that the caller may see, oldest first."""
    scope, (limit, after) = call.read_scope(), paging(call.query)
    t = tool_requests.c
    query = select(tool_requests).where(of_scope(scope))
    status = call.query.choice("status", STATUSES)
    if status is not None:
        query = query.where(t.status == status)
    for name in ("run_key", "task_id"):
        value = call.query.text(name)
        if value is not None:
            query = query.where(t[name] == value)
    if after is not None:
        query = query.where(t.seq > after)
    expire_questions(call.mc)
    with call.mc.storage.read() as conn:
        return json_response(page(conn.execute(query.order_by(t.seq).limit(limit + 1)), limit, tool_request))


@routes.add("GET", "/tool-requests/{id}")
def get_tool_request(call: Call) -> Response:
    """One tool request."""
    scope = call.read_scope()
    expire_questions(call.mc)
    with call.mc.storage.read() as conn:
        return json_response(tool_request(row_of(conn, scope, call.params["id"])))
