"""What is remembered from run to run: of a user, of a task, of a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import conflict, forbidden, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, new_id, now, stamp, without_none
from ..mentions import is_user_id
from ..paging import page, paging
from ..scope import Actor, Agent, Scope
from ..storage.engine import Tx
from ..storage.tables import memories
from ..words import STOP, folded, stems
from .audit import Act, record
from .profiles import tenant_of
from .tasks import ensure_task

routes = Routes("memories")

SCOPES = ("user", "task", "tenant")
MAX_TEXT = 1_000
MAX_QUERY = 500
MAX_ID = 200
MAX_TENANT = 128
MOST = {"user": 500, "tenant": 500, "task": 100}
#: How many words of a search count.
MAX_WORDS = 100


@dataclass(frozen=True)
class _Anyone:
    """An agent, a person, or a service that acts for nobody in particular."""

    scope: Scope | None
    actor: Actor
    role: str | None = None

    @property
    def user_id(self) -> str | None:
        """The user; nothing for a service."""
        return None if self.scope is None else self.scope.user_id


@dataclass(frozen=True)
class _Reach:
    """Whose memories a call may touch: a user's with a tenant's, only a tenant's, or everybody's."""

    user_id: str | None
    tenant_id: str | None

    def condition(self) -> Any:
        """The same as a condition."""
        m = memories.c
        if self.user_id is not None and self.tenant_id is not None:
            return or_(m.user_id == self.user_id, m.tenant_id == self.tenant_id)
        if self.user_id is not None:
            return m.user_id == self.user_id
        return m.tenant_id == self.tenant_id if self.tenant_id is not None else m.seq > 0


def anyone(call: Call) -> _Anyone:
    """Who calls."""
    if "x-internal-token" in call.request.headers:
        service = call.service()
        if service.on_behalf_of is None:
            return _Anyone(None, service.actor(call.trace_id))
    tenant = call.tenant()
    scope = call.write_scope(tenant)
    return _Anyone(scope, scope.actor, tenant.role if isinstance(tenant, Agent) else None)


def author(actor: Actor) -> tuple[str, str]:
    """Who writes, as it is kept."""
    if actor.type == "agent":
        return "agent", actor.role or ""
    return ("person", actor.user_id or "") if actor.type == "person" else ("service", "internal")


def memory(row: Any) -> Object:
    """A memory as it is answered."""
    return without_none(
        id=row.id, scope=row.scope, user_id=row.user_id, task_id=row.task_id, tenant_id=row.tenant_id, text=row.text,
        source=row.source, expires_at=stamp(row.expires_at), author={"type": row.author_type, "id": row.author_id},
        created_at=stamp(row.created_at), updated_at=stamp(row.updated_at),
    )


def _reach(conn: Connection, call: Call, who: _Anyone) -> _Reach:
    user_id, tenant_id = call.query.text("user_id"), call.query.text("tenant_id")
    if who.user_id is None:
        return _Reach(user_id, tenant_id)
    if user_id not in (None, who.user_id):
        raise not_found("user")
    own = tenant_of(conn, who.user_id, who.role)
    if tenant_id not in (None, own):
        raise not_found("tenant")
    return _Reach(who.user_id, own)


def _in_time(at: datetime) -> Any:
    return or_(memories.c.expires_at.is_(None), memories.c.expires_at > at)


def _words(text: str) -> str:
    return " " + " ".join(stems(text)) + " "


@routes.add("GET", "/memories")
def list_memories(call: Call) -> Response:
    """The memories within reach, newest first; with `q` those first that fit these words best."""
    who, (limit, before) = anyone(call), paging(call.query)
    kind, task_id = call.query.choice("scope", SCOPES), call.query.text("task_id")
    q = call.query.text("q")
    if q is not None and len(q) > MAX_QUERY:
        raise invalid("q", f"must have at most {MAX_QUERY} characters")
    q = q if q and q.strip() else None
    if q is not None and call.query.has("cursor"):
        raise invalid("cursor", "does not go with q, whose answer is one page")
    m = memories.c
    with call.mc.storage.read() as conn:
        query = select(memories).where(_reach(conn, call, who).condition(), _in_time(now()))
        if kind is not None:
            query = query.where(m.scope == kind)
        if task_id is not None:
            query = query.where(or_(m.scope != "task", m.task_id == task_id))
        if q is not None:
            return json_response({"items": [memory(row) for row in _ranked(conn, query, q)[:limit]]})
        if before is not None:
            query = query.where(m.seq < before)
        return json_response(page(conn.execute(query.order_by(m.seq.desc()).limit(limit + 1)), limit, memory))


def _ranked(conn: Connection, query: Any, q: str) -> list[Any]:
    """Those that have one of the words at least: what has more of them, or rarer ones, comes first."""
    all_words = stems(q)
    wanted = [word for word in all_words if word not in STOP] or all_words
    wanted = wanted[:MAX_WORDS]
    if not wanted:
        return []
    # Words stand between spaces, and hold nothing that LIKE reads.
    has = or_(*[memories.c.words.contains(f" {word} ") for word in wanted])
    rows = conn.execute(query.where(has).order_by(memories.c.seq.desc()).limit(2_000)).all()
    often = {word: sum(f" {word} " in row.words for row in rows) for word in wanted}

    def fit(row: Any) -> float:
        return sum(1.0 / (1 + often[word] / len(rows)) for word in wanted if f" {word} " in row.words)

    return sorted(rows, key=lambda row: (-fit(row), len(row.words), -row.seq))


def _owner(call: Call, who: _Anyone, fields: Fields) -> Object:
    """Whose a new memory is."""
    fields.need("scope")
    kind = fields.choice("scope", SCOPES)
    user_id, task_id = fields.opt_text("user_id"), fields.filled("task_id", MAX_ID)
    tenant_id = fields.filled("tenant_id", MAX_TENANT)
    if kind == "tenant" and who.user_id is not None:
        raise forbidden("only a service with the internal token alone writes a tenant's memories")
    named = {"user_id": user_id, "task_id": task_id, "tenant_id": tenant_id}
    fitting = {"user": {"user_id"}, "task": {"user_id", "task_id"}, "tenant": {"tenant_id"}}[kind or "user"]
    for name, value in named.items():
        if value is not None and name not in fitting:
            raise invalid(name, f"does not go with the scope {kind}: leave it out")
    if kind == "tenant":
        if tenant_id is None:
            raise invalid("tenant_id", "is required")
        return {"scope": kind, "tenant_id": tenant_id}
    if kind == "task" and task_id is None:
        raise invalid("task_id", "is required")
    if user_id is not None and not is_user_id(user_id):
        raise invalid("user_id", "is not a user id")
    if who.user_id is not None and user_id not in (None, who.user_id):
        raise not_found("user")
    if who.user_id is None:
        if user_id is None:
            raise invalid("user_id", "is required, or X-On-Behalf-Of: a service has no memories of its own")
        call.named_user(user_id)
    return without_none(scope=kind, user_id=who.user_id or user_id, task_id=task_id)


def _expiry(fields: Fields) -> datetime | None:
    until = fields.opt_time("expires_at")
    if until is not None and until <= now():
        raise invalid("expires_at", "must be in the future, or absent for never")
    return until


def _source(fields: Fields) -> Object | None:
    source = fields.sub("source")
    if source is None:
        return None
    return without_none(**{name: source.filled(name, MAX_ID) for name in ("run_key", "message_id")}) or None


def _tell(tx: Tx, actor: Actor, kind: str, row: Any) -> None:
    """Notes an act in the audit log, and tells the user's listeners. What a memory says is in neither."""
    record(tx, actor, Act(kind, row.user_id, ("memory", row.id), {"scope": row.scope}))
    if row.user_id is not None:
        data = without_none(memory_id=row.id, scope=row.scope, task_id=row.task_id)
        tx.emit(row.user_id, kind, "memory_id", data)


@routes.add("POST", "/memories")
def create_memory(call: Call) -> Response:
    """Remembers something, unless its owner has it already: then that one is answered."""
    who, fields = anyone(call), call.fields
    text, until, source = fields.text("text", MAX_TEXT), _expiry(fields), _source(fields)
    key, owner = fields.filled("idempotency_key"), _owner(call, who, fields)
    whose = "\n".join([owner["scope"], *(owner[name] for name in ("user_id", "task_id", "tenant_id") if name in owner)])
    # What a service writes for a tenant has keys of its own.
    scope = who.scope or Scope(owner.get("user_id", ""), who.actor)

    def make(tx: Tx) -> Object:
        m = memories.c
        if "task_id" in owner:
            ensure_task(tx.conn, owner["user_id"], owner["task_id"])
        tx.lock_user(f"memories {whose}")
        tx.conn.execute(delete(memories).where(m.owner == whose, m.expires_at <= tx.at))
        known = tx.conn.execute(select(memories).where(m.owner == whose, m.folded == folded(text))).first()
        if known is not None:
            return memory(known) | {"deduplicated": True}
        most = MOST[owner["scope"]]
        held = tx.conn.execute(select(func.count()).select_from(memories).where(m.owner == whose)).scalar_one()
        if held >= most:
            details = {"scope": owner["scope"], "most": most}
            raise conflict("memory_full", f"there are {most} memories already: forget some first", details)
        kind, author_id = author(who.actor)
        row = tx.conn.execute(
            insert(memories)
            .values(
                owner | {
                    "id": new_id(), "owner": whose, "text": text, "folded": folded(text), "words": _words(text),
                    "source": source, "expires_at": until, "author_type": kind, "author_id": author_id,
                    "created_at": tx.at, "updated_at": tx.at,
                }
            )
            .returning(memories)
        ).one()
        _tell(tx, who.actor, "memory.created", row)
        return memory(row)

    return call.create(scope, "memories", key, make)


def _changeable(tx: Tx, call: Call, who: _Anyone) -> Any:
    """A memory that the caller may change."""
    m = memories.c
    reach = _Reach(None, None) if who.user_id is None else _Reach(who.user_id, tenant_of(tx.conn, who.user_id, who.role))
    query = select(memories).where(m.id == call.params["id"], reach.condition(), _in_time(tx.at))
    row = tx.conn.execute(query.with_for_update()).first()
    if row is None:
        raise not_found("memory")
    if row.scope == "tenant" and who.user_id is not None:
        raise forbidden("a tenant's memories are changed by services only")
    if who.actor.type == "agent" and row.author_type != "agent":
        raise forbidden("an agent changes only what agents wrote")
    return row


def _write(call: Call, who: _Anyone) -> Any:
    return call.mc.storage.write() if who.scope is None else call.mc.write(who.scope)


@routes.add("PATCH", "/memories/{id}")
def update_memory(call: Call) -> Response:
    """Changes what a memory says, or when it is forgotten."""
    who, fields, m = anyone(call), call.fields, memories.c
    text, until = fields.filled("text", MAX_TEXT), _expiry(fields)
    with _write(call, who) as tx:
        row = _changeable(tx, call, who)
        changes: Object = {"updated_at": tx.at}
        if "expires_at" in fields.raw:
            changes["expires_at"] = until
        if text is not None:
            same = and_(m.owner == row.owner, m.folded == folded(text), m.id != row.id)
            other = tx.conn.execute(select(m.id).where(same, _in_time(tx.at))).scalar()
            if other is not None:
                raise conflict("memory_exists", "another memory says so already", {"id": other})
            # One whose time is over must not be in the way.
            tx.conn.execute(delete(memories).where(same))
            changes |= {"text": text, "folded": folded(text), "words": _words(text)}
            if text != row.text:
                changes |= dict(zip(("author_type", "author_id"), author(who.actor)))
        row = tx.conn.execute(update(memories).where(m.seq == row.seq).values(changes).returning(memories)).one()
        _tell(tx, who.actor, "memory.updated", row)
    return json_response(memory(row))


@routes.add("DELETE", "/memories/{id}")
def delete_memory(call: Call) -> Response:
    """Forgets a memory."""
    who = anyone(call)
    with _write(call, who) as tx:
        row = _changeable(tx, call, who)
        tx.conn.execute(delete(memories).where(memories.c.seq == row.seq))
        _tell(tx, who.actor, "memory.deleted", row)
    return Response(204)
