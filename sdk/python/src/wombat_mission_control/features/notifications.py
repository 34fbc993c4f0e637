"""Notifications as their user sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import not_found
from ..jsonio import Object, new_id, stamp, without_none
from ..mentions import check_session, session_role
from ..paging import page, paging
from ..storage.engine import Tx
from ..storage.tables import notifications
from .tasks import ensure_task

routes = Routes("notifications")

#: Priorities as they are stored: the lowest number comes first.
HIGH, NORMAL, LOW = 0, 1, 2
PRIORITIES = ("high", "normal", "low")
MAX_COLLAPSE_KEY = 64


@dataclass(frozen=True)
class Notice:
    """A notification that is to be made."""

    user_id: str
    session_key: str
    content: str
    task_id: str | None = None
    priority: int = NORMAL
    collapse_key: str | None = None
    run_key: str | None = None
    metadata: Object | None = None
    schedule_id: str | None = None


def waiting() -> Any:
    """What is neither delivered nor a dead letter."""
    return notifications.c.delivered_at.is_(None) & notifications.c.dead_at.is_(None)


def notification(row: Any) -> Object:
    """A notification as it is answered."""
    return without_none(
        id=row.id,
        user_id=row.user_id,
        session_key=row.session_key,
        content=row.content,
        task_id=row.task_id,
        run_key=row.run_key,
        read=row.read_at is not None,
        delivered=row.delivered_at is not None,
        created_at=stamp(row.created_at),
        collapse_key=row.collapse_key,
        priority=PRIORITIES[row.priority],
        collapsed=row.collapsed or None,
    )


def tell(tx: Tx, row: Any, kind: str) -> Object:
    """Tells of a notification; of one about a run only its role hears."""
    made = notification(row)
    role = session_role(row.user_id, row.session_key) if row.run_key is not None else None
    tx.emit(row.user_id, kind, "notification_id", made, role)
    return made


def _collapse(tx: Tx, new: Notice) -> Object | None:
    """Puts a text in the place of what waits under its key, where nobody was given that yet."""
    t = notifications.c
    newest = select(func.max(t.seq)).where(
        t.session_key == new.session_key, t.collapse_key == new.collapse_key, waiting(), t.leased_until.is_(None)
    )
    # Whoever is being given it right now has it locked: then it is given out, and a new one is made.
    one = tx.conn.execute(
        select(t.seq, t.priority)
        .where(t.seq == newest.scalar_subquery(), waiting(), t.leased_until.is_(None))
        .with_for_update(skip_locked=True)
    ).first()
    if one is None:
        return None
    row = tx.conn.execute(
        update(notifications)
        .where(t.seq == one.seq)
        .values(
            content=new.content,
            task_id=new.task_id,
            read_at=None,
            collapsed=t.collapsed + 1,
            priority=min(one.priority, new.priority),
        )
        .returning(notifications)
    ).one()
    return tell(tx, row, "notification.created")


def insert_notice(tx: Tx, new: Notice) -> Object:
    """Makes a notification, or collapses it into one that waits."""
    if new.task_id is not None:
        ensure_task(tx.conn, new.user_id, new.task_id)
    if new.collapse_key is not None:
        collapsed = _collapse(tx, new)
        if collapsed is not None:
            return collapsed
    t = notifications.c
    newest = tx.conn.execute(
        select(t.created_at).where(t.session_key == new.session_key, waiting()).order_by(t.seq.desc()).limit(1)
    ).scalar()
    row = tx.conn.execute(
        insert(notifications)
        .values(
            id=new_id(),
            user_id=new.user_id,
            session_key=new.session_key,
            content=new.content,
            task_id=new.task_id,
            priority=new.priority,
            collapse_key=new.collapse_key,
            run_key=new.run_key,
            metadata=new.metadata,
            schedule_id=new.schedule_id,
            # Clocks of machines differ; in a session the newer one is never the older one.
            created_at=tx.at if newest is None else max(tx.at, newest),
        )
        .returning(notifications)
    ).one()
    return tell(tx, row, "notification.created")


@routes.add("GET", "/notifications")
def list_notifications(call: Call) -> Response:
    """The user's notifications, oldest first, without those about other roles' runs."""
    scope, (limit, after) = call.read_scope(), paging(call.query)
    t = notifications.c
    query = select(notifications).where(t.user_id == scope.user_id)
    if call.query.text("unread") == "true":
        query = query.where(t.read_at.is_(None))
    if scope.session is not None:
        query = query.where(or_(t.run_key.is_(None), t.session_key == scope.session))
    if after is not None:
        query = query.where(t.seq > after)
    with call.mc.storage.read() as conn:
        return json_response(page(conn.execute(query.order_by(t.seq).limit(limit + 1)), limit, notification))


@routes.add("POST", "/notifications")
def create_notification(call: Call) -> Response:
    """Makes a notification, by a service."""
    service, fields = call.internal(), call.fields
    user_id, session = fields.text("user_id"), fields.text("session_key")
    content, key = fields.text("content"), fields.filled("idempotency_key")
    check_session(user_id, session)
    priority = fields.choice("priority", PRIORITIES)
    new = Notice(
        user_id,
        session,
        content,
        fields.opt_text("task_id"),
        NORMAL if priority is None else PRIORITIES.index(priority),
        fields.filled("collapse_key", MAX_COLLAPSE_KEY),
    )
    call.named_user(user_id)
    scope = service.scope_of(user_id, call.trace_id)
    return call.create(scope, "notifications", key, lambda tx: insert_notice(tx, new))


@routes.add("POST", "/notifications/{id}/read")
def read_notification(call: Call) -> Response:
    """Marks a notification as read. Repeating it is harmless."""
    scope, t = call.person().scope(call.trace_id), notifications.c
    with call.mc.write(scope) as tx:
        row = tx.conn.execute(
            update(notifications)
            .where(t.id == call.params["id"], t.user_id == scope.user_id)
            .values(read_at=func.coalesce(t.read_at, tx.at))
            .returning(notifications)
        ).first()
    if row is None:
        raise not_found("notification")
    return json_response(notification(row))
