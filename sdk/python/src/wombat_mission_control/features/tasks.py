"""Tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import not_found
from ..fields import Fields
from ..jsonio import Object, new_id, stamp, without_none
from ..paging import page, paging
from ..scope import Scope
from ..storage.engine import Tx
from ..storage.tables import tasks

routes = Routes("tasks_get", "tasks_update")

STATUSES = ("pending", "in_progress", "blocked", "completed", "cancelled")
OPEN = ("pending", "in_progress", "blocked")


def task(row: Any) -> Object:
    """A task as it is answered."""
    return without_none(
        id=row.id,
        title=row.title,
        status=row.status,
        description=row.description,
        metadata=row._mapping["metadata"],
        created_at=stamp(row.created_at),
        updated_at=stamp(row.updated_at),
    )


def ensure_task(conn: Connection, user_id: str, task_id: str) -> None:
    """404 unless the task is the user's."""
    found = conn.execute(select(tasks.c.seq).where(tasks.c.id == task_id, tasks.c.user_id == user_id)).first()
    if found is None:
        raise not_found("task")


def insert_task(tx: Tx, scope: Scope, fields: Fields) -> Object:
    """Creates a task."""
    status = fields.choice("status", STATUSES) or "pending"
    row = tx.conn.execute(
        insert(tasks)
        .values(
            id=new_id(),
            user_id=scope.user_id,
            title=fields.text("title"),
            description=fields.opt_text("description"),
            status=status,
            metadata=fields.obj("metadata"),
            created_at=tx.at,
            updated_at=tx.at,
            completed_at=tx.at if status == "completed" else None,
        )
        .returning(tasks)
    ).one()
    made = task(row)
    tx.emit(scope.user_id, "task.created", "task_id", made)
    return made


@routes.add("GET", "/tasks")
def list_tasks(call: Call) -> Response:
    """The user's tasks, oldest first."""
    scope, (limit, after) = call.read_scope(), paging(call.query)
    t = tasks.c
    query = select(tasks).where(t.user_id == scope.user_id)
    status, title = call.query.choice("status", STATUSES), call.query.text("title")
    if status is not None:
        query = query.where(t.status == status)
    if title is not None:
        query = query.where(t.title == title)
    if after is not None:
        query = query.where(t.seq > after)
    with call.mc.storage.read() as conn:
        return json_response(page(conn.execute(query.order_by(t.seq).limit(limit + 1)), limit, task))


@routes.add("POST", "/tasks")
def create_task(call: Call) -> Response:
    """Creates a task."""
    scope, fields = call.write_scope(), call.fields
    fields.text("title")
    key = fields.filled("idempotency_key")
    return call.create(scope, "tasks", key, lambda tx: insert_task(tx, scope, fields))


@routes.add("GET", "/tasks/{id}")
def get_task(call: Call) -> Response:
    """One task."""
    scope = call.read_scope()
    with call.mc.storage.read() as conn:
        row = conn.execute(
            select(tasks).where(tasks.c.id == call.params["id"], tasks.c.user_id == scope.user_id)
        ).first()
    if row is None:
        raise not_found("task")
    return json_response(task(row))


@routes.add("PATCH", "/tasks/{id}")
def update_task(call: Call) -> Response:
    """Changes the given fields."""
    scope, fields = call.write_scope(), call.fields
    given = without_none(
        title=fields.filled("title"),
        description=fields.opt_text("description"),
        status=fields.choice("status", STATUSES),
        metadata=fields.obj("metadata"),
    )
    t = tasks.c
    with call.mc.write(scope) as tx:
        more: Object = {"updated_at": tx.at}
        if "status" in given:
            more["completed_at"] = func.coalesce(t.completed_at, tx.at) if given["status"] == "completed" else None
        row = tx.conn.execute(
            update(tasks)
            .where(t.id == call.params["id"], t.user_id == scope.user_id)
            .values(given | more)
            .returning(tasks)
        ).first()
        if row is None:
            raise not_found("task")
        changed = task(row)
        tx.emit(scope.user_id, "task.updated", "task_id", changed)
    return json_response(changed)


def standup_tasks(
    conn: Connection, user_id: str, start: datetime, end: datetime, most: int
) -> dict[str, tuple[int, list[Any]]]:
    """Of each kind of a standup how many tasks there are, and the first of them."""
    t = tasks.c
    kinds = {
        "done": (t.status == "completed") & (t.completed_at >= start) & (t.completed_at < end),
        "in_progress": t.status == "in_progress",
        "blocked": t.status == "blocked",
    }
    found = {}
    for name, fits in kinds.items():
        own = (t.user_id == user_id) & fits
        count = conn.execute(select(func.count()).select_from(tasks).where(own)).scalar_one()
        rows = conn.execute(select(t.id, t.title, t.status).where(own).order_by(t.seq).limit(most))
        found[name] = (count, list(rows))
    return found
