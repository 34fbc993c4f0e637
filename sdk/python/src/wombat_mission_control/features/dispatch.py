"""The queue of notifications that the dispatcher delivers: leases, acknowledgements, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import case, func, literal, or_, select, tuple_, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import conflict, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, dumps, stamp, without_none
from ..paging import PAGE_BYTES, page, paging
from ..storage.engine import Tx
from ..storage.tables import notifications, quiet_hours
from .audit import Act, record
from .delivery import note_death, quiet_now
from .notifications import tell, waiting

routes = Routes("notifications_dispatch", "dispatch_leases", "dispatch_batch", "notifications_fail")

#: The most users and notifications of one answer, and the most of one acknowledgement.
MOST = 1_000
MAX_LEASE = 3_600
#: How long something may have to wait for what is more urgent.
PATIENCE = timedelta(minutes=10)
#: How many rows of the queue one poll looks at.
LOOKED_AT = 5_000


def delivery(row: Any) -> Object:
    """A notification as its dispatcher gets it."""
    return without_none(
        notification_id=row.id,
        user_id=row.user_id,
        session_key=row.session_key,
        content=row.content,
        task_id=row.task_id,
        run_key=row.run_key,
        created_at=stamp(row.created_at),
        attempts=row.attempts,
        metadata=row._mapping["metadata"],
    )


def _candidates(tx: Tx) -> Any:
    """Rows that may be delivered, in the queue's order, each with the head of its session.

    A session with a leased delivery is held back as a whole. Sessions go by the most urgent of what waits in
    them; what has waited for ten minutes goes first. Quiet hours withhold sessions without anything urgent.
    """
    t, q = notifications.c, quiet_hours.c
    turn = func.min(t.priority)
    sessions = select(t.session_key, func.min(t.seq).label("head"), turn.label("turn")).where(waiting())
    quiet = quiet_now(tx)
    if quiet:
        is_quiet = select(q.user_id).where(tuple_(q.timezone, q.from_time, q.to_time).in_(quiet))
        sessions = sessions.having(or_(turn == 0, func.min(t.user_id).not_in(is_quiet)))
    leased = func.count(case((t.leased_until > tx.at, 1)))
    s = sessions.group_by(t.session_key).having(leased == 0).subquery()
    is_patient = t.created_at <= tx.at - PATIENCE
    return (
        select(t.seq, t.user_id, s.c.head)
        .select_from(notifications.join(s, s.c.session_key == t.session_key))
        .where(waiting())
        .order_by(case((is_patient, literal(-1)), else_=s.c.turn), t.created_at, t.seq)
        .limit(LOOKED_AT)
    )


def _choose(tx: Tx, users: int, limit: int) -> tuple[list[int], set[int]]:
    """The rows of a poll, and the heads of their sessions."""
    known: set[str] = set()
    seqs: list[int] = []
    heads: set[int] = set()
    for row in tx.conn.execute(_candidates(tx)):
        if row.user_id not in known:
            if len(known) >= users:
                continue
            known.add(row.user_id)
        seqs.append(row.seq)
        heads.add(row.head)
        if len(seqs) >= limit:
            break
    return seqs, heads


def _lock(tx: Tx, heads: set[int]) -> list[str]:
    """The sessions whose heads are ours now: another dispatcher that chose one first has it alone."""
    t = notifications.c
    free = or_(t.leased_until.is_(None), t.leased_until <= tx.at)
    rows = tx.conn.execute(
        select(t.session_key).where(t.seq.in_(heads), waiting(), free).with_for_update(skip_locked=True)
    )
    return [row.session_key for row in rows]


def take(tx: Tx, users: int, limit: int, lease_seconds: int | None) -> list[Object]:
    """Undelivered notifications, in the queue's order. With a lease nobody else gets them, nor later ones of
    their sessions, until it ends."""
    t = notifications.c
    seqs, heads = _choose(tx, users, limit)
    if not seqs:
        return []
    query = select(notifications).where(t.seq.in_(seqs), waiting())
    if lease_seconds is not None:
        query = query.where(t.session_key.in_(_lock(tx, heads)))
    place = {seq: at for at, seq in enumerate(seqs)}
    taken: list[int] = []
    deliveries: list[Object] = []
    size = 0
    for row in sorted(tx.conn.execute(query), key=lambda row: place[row.seq]):
        made = delivery(row)
        size += len(dumps(made))
        if size > PAGE_BYTES and taken:
            break
        taken.append(row.seq)
        deliveries.append(made)
    if lease_seconds is not None and taken:
        until = tx.at + timedelta(seconds=lease_seconds)
        tx.conn.execute(update(notifications).where(t.seq.in_(taken)).values(leased_until=until))
    return deliveries


def _undelivered(call: Call) -> Response:
    call.internal()
    users = call.query.number("limit_users", 100, MOST)
    limit = call.query.number("limit_notifications", 100, MOST)
    lease = call.query.number("lease_seconds", 0, MAX_LEASE) or None
    call.mc.upkeep.before_poll()
    with call.mc.storage.read() as conn:
        # Most of the time nothing waits, and no write has to.
        is_empty = conn.execute(select(notifications.c.seq).where(waiting()).limit(1)).first() is None
    if users == 0 or limit == 0 or is_empty:
        return json_response({"deliveries": []})
    with call.mc.storage.write() as tx:
        return json_response({"deliveries": take(tx, users, limit, lease)})


routes.add("POST", "/dispatch/undelivered")(_undelivered)
routes.add("GET", "/dispatch/undelivered")(_undelivered)


def acknowledge(tx: Tx, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Marks notifications of users as delivered; which of them there are."""
    t = notifications.c
    found: set[tuple[str, str]] = set()
    for at in range(0, len(pairs), 200):
        some = pairs[at : at + 200]
        # In one order, so that two calls never wait for each other's rows in a ring.
        rows = tx.conn.execute(
            select(t.seq, t.id, t.user_id)
            .where(t.id.in_([one for one, _ in some]))
            .order_by(t.seq)
            .with_for_update()
        ).all()
        asked = set(some)
        own = [row for row in rows if (row.id, row.user_id) in asked]
        if own:
            tx.conn.execute(
                update(notifications)
                .where(t.seq.in_([row.seq for row in own]))
                .values(delivered_at=func.coalesce(t.delivered_at, tx.at), dead_at=None, leased_until=None)
            )
        found |= {(row.id, row.user_id) for row in own}
    return found


@routes.add("POST", "/dispatch/notifications/{id}/deliver")
def deliver(call: Call) -> Response:
    """Acknowledges a delivery. Repeating it is harmless."""
    call.internal()
    one = (call.params["id"], call.query.need("user_id"))
    with call.mc.storage.write() as tx:
        if not acknowledge(tx, [one]):
            raise not_found("notification")
    return json_response({"status": "delivered"})


@routes.add("POST", "/dispatch/deliver")
def deliver_many(call: Call) -> Response:
    """Acknowledges many deliveries at once."""
    call.internal()
    call.fields.need("deliveries")
    pairs: list[tuple[str, str]] = []
    for one in call.fields.items("deliveries", MOST):
        if not isinstance(one, dict):
            raise invalid("deliveries", "must be objects")
        fields = Fields(one, "deliveries.")
        pairs.append((fields.text("notification_id"), fields.text("user_id")))
    with call.mc.storage.write() as tx:
        found = acknowledge(tx, pairs)
    missing = [notification_id for notification_id, user_id in pairs if (notification_id, user_id) not in found]
    return json_response({"delivered": len(pairs) - len(missing), "not_found": missing})


def _row(tx: Tx, notification_id: str, user_id: str) -> Any:
    t = notifications.c
    row = tx.conn.execute(
        select(notifications).where(t.id == notification_id, t.user_id == user_id).with_for_update()
    ).first()
    if row is None:
        raise not_found("notification")
    return row


@routes.add("POST", "/dispatch/notifications/{id}/fail")
def fail(call: Call) -> Response:
    """Records a failed delivery; with `dead` it leaves the queue as a dead letter."""
    call.internal()
    fields, user_id = call.fields, call.query.need("user_id")
    error = fields.opt_text("error") or ""
    attempts, dead = fields.opt_int("attempts", 0, 2**31) or 0, fields.flag("dead") or False
    t = notifications.c
    with call.mc.storage.write(user_id) as tx:
        row = _row(tx, call.params["id"], user_id)
        if row.delivered_at is not None:
            return json_response({"status": "delivered"})
        changes: Object = {"error": error, "attempts": attempts}
        if dead:
            changes |= {"dead_at": func.coalesce(t.dead_at, tx.at), "leased_until": None}
        tx.conn.execute(update(notifications).where(t.seq == row.seq).values(changes))
        if dead and row.dead_at is None:
            note_death(tx, user_id)
    return json_response({"status": "dead" if dead or row.dead_at is not None else "failed"})


@routes.add("POST", "/dispatch/notifications/{id}/requeue")
def requeue(call: Call) -> Response:
    """Puts a dead letter back into the queue with its attempts at zero."""
    service, user_id = call.internal(), call.query.need("user_id")
    t = notifications.c
    with call.mc.storage.write(user_id) as tx:
        row = _row(tx, call.params["id"], user_id)
        if row.delivered_at is not None:
            raise conflict("already_delivered", "the notification was delivered already")
        if row.dead_at is not None:
            # Its text has been sent under its id: another one must not take its place.
            again = tx.conn.execute(
                update(notifications)
                .where(t.seq == row.seq)
                .values(dead_at=None, error=None, attempts=0, leased_until=None, collapse_key=None)
                .returning(notifications)
            ).one()
            tell(tx, again, "notification.requeued")
            act = Act("notification.requeued", user_id, ("notification", row.id))
            record(tx, service.actor(call.trace_id), act)
    return json_response({"status": "queued"})


def _dead_letter(row: Any) -> Object:
    return delivery(row) | {"error": row.error or "", "failed_at": stamp(row.dead_at)}


@routes.add("GET", "/dispatch/dead")
def dead(call: Call) -> Response:
    """The dead letters, newest first."""
    call.internal()
    limit, before = paging(call.query)
    t = notifications.c
    query = select(notifications).where(t.dead_at.is_not(None))
    if before is not None:
        query = query.where(t.seq < before)
    with call.mc.storage.read() as conn:
        return json_response(page(conn.execute(query.order_by(t.seq.desc()).limit(limit + 1)), limit, _dead_letter))
