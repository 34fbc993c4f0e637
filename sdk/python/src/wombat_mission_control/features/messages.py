"""Messages of threads, and whom they notify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, or_, select

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import forbidden, invalid, role_mismatch
from ..fields import Fields
from ..jsonio import Object, new_id, stamp, without_none
from ..mentions import is_role, mentioned_roles, session_key
from ..paging import page, paging
from ..scope import Agent, Scope, Tenant
from ..storage.engine import Tx
from ..storage.tables import messages
from . import answering
from .files import attach
from .notifications import HIGH, NORMAL, Notice, insert_notice
from .tasks import ensure_task

routes = Routes("messages_list", "message_lookup", "message_data", "user_messages", "agent_mentions")

MAX_MENTIONS = 50
MAX_CHAIN = 100
MAX_RUN_KEY = 200
MAX_ATTACHMENTS = 100


@dataclass(frozen=True)
class Author:
    """Who wrote a message: an agent, a person, or a person whose words the daemon stores (`told`)."""

    kind: Literal["agent", "person", "told"]
    role: str | None = None


def message(row: Any) -> Object:
    """A message as it is answered."""
    return without_none(
        id=row.id,
        task_id=row.task_id,
        content=row.content,
        actor_type=row.actor_type,
        agent_role=row.agent_role,
        actor_id=row.actor_id,
        attachments=row.attachments or None,
        data=row.data,
        tool_request_id=row.tool_request_id,
        created_at=stamp(row.created_at),
    )


@dataclass(frozen=True)
class NewMessage:
    """A message that is to be written."""

    task_id: str
    content: str
    actor_id: str | None = None
    attachments: tuple[Any, ...] = ()
    data: Any = None
    idempotency_key: str | None = None
    mentions: tuple[str, ...] = ()
    chain: Object | None = None


def insert_message(
    tx: Tx, user_id: str, author: Author, new: NewMessage, tool_request_id: str | None = None, answered: str | None = None
) -> Object:
    """Writes a message and the notifications that it makes. `answered` is the role whose question it answers."""
    ensure_task(tx.conn, user_id, new.task_id)
    attached = attach(tx, user_id, new.attachments)
    row = tx.conn.execute(
        insert(messages)
        .values(
            id=new_id(),
            user_id=user_id,
            task_id=new.task_id,
            content=new.content,
            actor_type="agent" if author.kind == "agent" else "user",
            agent_role=author.role if author.kind == "agent" else None,
            actor_id=new.actor_id,
            attachments=attached or None,
            data=new.data,
            idempotency_key=new.idempotency_key,
            tool_request_id=tool_request_id,
            created_at=tx.at,
        )
        .returning(messages)
    ).one()
    made = message(row)
    tx.emit(user_id, "message.created", "message_id", made)
    _notify(tx, user_id, author, new, answered)
    return made


def _notify(tx: Tx, user_id: str, author: Author, new: NewMessage, answered: str | None) -> None:
    if author.kind == "told":
        # The call has its agent, and text that an application passes on starts no others.
        return
    by_agent = author.kind == "agent"
    named = new.mentions if by_agent else mentioned_roles(new.content)
    metadata = {"chain": new.chain} if by_agent and new.chain is not None else None
    for role in dict.fromkeys(named):
        if role != answered:
            # A person waits for an answer.
            priority = NORMAL if by_agent else HIGH
            notice = Notice(user_id, session_key(user_id, role), new.content, new.task_id, priority, metadata=metadata)
            insert_notice(tx, notice)


def _author(tenant: Tenant, fields: Fields) -> Author:
    actor = fields.choice("actor_type", ("agent", "user"))
    role = fields.opt_text("agent_role")
    if not isinstance(tenant, Agent):
        if actor == "agent":
            raise forbidden("only an agent token writes as an agent")
        return Author("person")
    if actor == "user" and not tenant.speaks_for_user:
        raise forbidden("an agent cannot write as the user")
    if role is not None and role != tenant.role:
        raise role_mismatch("agent_role", tenant.role)
    if actor != "user":
        if fields.has("tool_request_id"):
            raise invalid("tool_request_id", "is for what a person says: a question makes its own message")
        return Author("agent", tenant.role)
    if fields.opt_text("actor_id") not in (None, tenant.user_id):
        raise forbidden("an agent cannot write as another user than its own")
    if not fields.has("idempotency_key"):
        raise invalid("idempotency_key", "is required: a run stores its message once")
    return Author("told", tenant.role)


def _roles(fields: Fields, name: str, most: int) -> tuple[str, ...]:
    roles = fields.items(name, most)
    if not all(isinstance(role, str) and is_role(role) for role in roles):
        raise invalid(fields.under + name, f"must be at most {most} names of roles")
    return tuple(roles)


def _chain(fields: Fields) -> Object | None:
    chain = fields.sub("chain")
    if chain is None:
        return None
    chain.text("root_run_key", MAX_RUN_KEY)
    _roles(chain, "roles", MAX_CHAIN)
    return chain.raw


def _new(fields: Fields, author: Author) -> NewMessage:
    for name in ("mentions", "chain"):
        if fields.has(name) and author.kind != "agent":
            raise invalid(name, "is for messages of agents; a person writes @role")
    return NewMessage(
        task_id=fields.text("task_id"),
        content=fields.text("content"),
        actor_id=fields.opt_text("actor_id"),
        attachments=tuple(fields.items("attachments", MAX_ATTACHMENTS)),
        data=fields.raw.get("data"),
        idempotency_key=fields.filled("idempotency_key"),
        mentions=_roles(fields, "mentions", MAX_MENTIONS),
        chain=_chain(fields),
    )


@routes.add("GET", "/messages")
def list_messages(call: Call) -> Response:
    """The newest messages of a task, the oldest of them first; or the one that was written under a key."""
    scope = call.read_scope()
    key = call.query.text("idempotency_key")
    if key is not None:
        return json_response({"items": find_by_key(call, scope, key)})
    limit, before = paging(call.query)
    task_id, t = call.query.need("task_id"), messages.c
    query = select(messages).where(t.task_id == task_id, t.user_id == scope.user_id)
    if before is not None:
        query = query.where(t.seq < before)
    with call.mc.storage.read() as conn:
        ensure_task(conn, scope.user_id, task_id)
        newest = page(conn.execute(query.order_by(t.seq.desc()).limit(limit + 1)), limit, message)
    newest["items"].reverse()
    return json_response(newest)


def find_by_key(call: Call, scope: Scope, key: str) -> list[Object]:
    """The message that was written under a key; one that another role wrote is not what an agent looks for."""
    t = messages.c
    query = select(messages).where(t.user_id == scope.user_id, t.idempotency_key == key)
    if scope.own_role is not None:
        query = query.where(or_(t.agent_role.is_(None), t.agent_role == scope.own_role))
    with call.mc.storage.read() as conn:
        return [message(row) for row in conn.execute(query.order_by(t.seq).limit(1))]


@routes.add("POST", "/messages")
def create_message(call: Call) -> Response:
    """Writes a message. A person's may answer a question that waits on the task."""
    tenant, fields = call.tenant(), call.fields
    scope = call.write_scope(tenant)
    author = _author(tenant, fields)
    new = _new(fields, author)
    named = fields.filled("tool_request_id")

    def make(tx: Tx) -> Object:
        found = answering.find(tx, scope, author.kind, new.task_id, new.content, named)
        if found is None:
            return insert_message(tx, scope.user_id, author, new)
        role = found.role if author.kind == "person" else None
        made = insert_message(tx, scope.user_id, author, new, found.request_id, role)
        answering.answer(tx, scope, found)
        return made

    return call.create(scope, "messages", new.idempotency_key, make)
