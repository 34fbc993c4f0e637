"""Mission Control: what Wombat asks of a backend. Five endpoints; three more make it comfortable."""

from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from .auth import Me
from .store import store

router = APIRouter(prefix="/api/mission-control", tags=["mission-control"])

Limit = Annotated[int, Query(ge=1, le=200)]
Text = Annotated[str, Field(min_length=1)]


class Status(str, Enum):
    pending = "pending"
    in_progress = "in_progress"
    blocked = "blocked"
    completed = "completed"
    cancelled = "cancelled"


class Actor(str, Enum):
    agent = "agent"
    user = "user"


class NewTask(BaseModel):
    title: Text
    description: str | None = None
    status: Status = Status.pending
    metadata: dict[str, Any] | None = None
    idempotency_key: Text | None = None


class NewMessage(BaseModel):
    task_id: Text
    content: Text
    actor_type: Actor | None = None
    agent_role: str | None = None
    actor_id: str | None = None
    attachments: list[Any] | None = None
    idempotency_key: Text | None = None


class NewDocument(BaseModel):
    title: Text
    content: Text
    doc_type: str | None = None
    task_id: str | None = None
    idempotency_key: Text | None = None


def create(me: Me, kind: str, new: BaseModel, make: Any, response: Response) -> dict[str, Any]:
    request = new.model_dump(mode="json", exclude_unset=True)
    made, replayed = store.create(me.user_id, kind, request, make)
    response.status_code = 200 if replayed else 201
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return made


@router.get("/capabilities")
def capabilities(me: Me) -> dict[str, Any]:
    """Which optional parts of the contract there are."""
    features = {"tasks_get": True, "messages_list": True, "message_lookup": True}
    return {"contract_version": "v1", "features": features}


@router.get("/tasks")
def list_tasks(
    me: Me,
    limit: Limit = 50,
    cursor: str | None = None,
    status: Status | None = None,
    title: str | None = None,
) -> dict[str, Any]:
    where = {"status": status.value if status else None, "title": title}
    return store.page(me.user_id, "task", limit, cursor, where)


@router.post("/tasks", status_code=201)
def create_task(me: Me, new: NewTask, response: Response) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        return new.model_dump(mode="json", exclude={"idempotency_key"}, exclude_none=True)

    return create(me, "task", new, make, response)


@router.get("/tasks/{task_id}")
def get_task(me: Me, task_id: str) -> dict[str, Any]:
    return store.get(me.user_id, "task", task_id)


@router.post("/messages", status_code=201)
def create_message(me: Me, new: NewMessage, response: Response) -> dict[str, Any]:
    if me.kind == "agent" and new.actor_type == Actor.user:
        raise HTTPException(403, "an agent does not write as the user")

    def make() -> dict[str, Any]:
        store.get(me.user_id, "task", new.task_id)
        message = new.model_dump(mode="json", exclude={"idempotency_key"}, exclude_none=True)
        message.setdefault("actor_type", "agent" if me.kind == "agent" else "user")
        if me.kind == "agent":
            message["agent_role"] = me.role
        return message

    return create(me, "message", new, make, response)


@router.get("/messages")
def list_messages(
    me: Me,
    task_id: str | None = None,
    idempotency_key: str | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    if idempotency_key is not None:
        return {"items": store.by_key(me.user_id, "message", idempotency_key)}
    if task_id is None:
        raise HTTPException(400, "task_id or idempotency_key is needed")
    store.get(me.user_id, "task", task_id)
    where = {"task_id": task_id}
    return store.page(me.user_id, "message", limit, cursor, where, newest_first=True)


@router.post("/documents", status_code=201)
def create_document(me: Me, new: NewDocument, response: Response) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        if new.task_id is not None:
            store.get(me.user_id, "task", new.task_id)
        return new.model_dump(mode="json", exclude={"idempotency_key"})

    return create(me, "document", new, make, response)
