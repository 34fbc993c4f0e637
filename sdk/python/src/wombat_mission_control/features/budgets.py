"""Budgets: limits of users, tenants and roles, reservations before a model call, usage after it.

Amounts are whole billionths of a US dollar, so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, delete, func, insert, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, forbidden, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, new_id, now, stamp, without_none
from ..mentions import is_role, is_user_id
from ..scope import Agent
from ..storage.engine import Tx
from ..storage.tables import budget_warnings, budgets, reservations, usage
from .audit import Act, record
from .profiles import MAX_TEXT, tenant_of

routes = Routes("budgets", "budget_scopes")

NANOS = 1_000_000_000
MAX_LIMIT_USD = 1e9
MAX_CALL_USD = 1e6
#: How long an unsettled reservation counts: longer than any model call takes.
RESERVED_FOR = timedelta(minutes=15)
PERIODS = ("day", "month")


def _nanos(usd: float) -> int:
    return round(usd * NANOS)


def bounds(period: str, at: datetime) -> tuple[datetime, datetime]:
    """Start and end of the period that contains a moment, in UTC."""
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return start, start + timedelta(days=1)
    start = start.replace(day=1)
    return start, (start + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True)
class Payer:
    """Whose calls are paid for."""

    user_id: str
    role: str | None
    tenant_id: str | None


@dataclass(frozen=True)
class Limit:
    """A budget with its current figures."""

    scope: Object
    limit: int | None
    spent: int
    reserved: int
    period: str
    end: datetime
    warn_at: float | None

    @property
    def remaining(self) -> int | None:
        """What is left; nothing where there is no limit."""
        return None if self.limit is None else self.limit - self.spent - self.reserved

    def fits(self, estimate: int) -> bool:
        """Whether an amount fits; where nothing is left, not even nothing does."""
        return self.remaining is None or (self.remaining > 0 and estimate <= self.remaining)

    def figures(self) -> Object:
        """The figures as they are answered."""
        left = None if self.remaining is None else max(self.remaining, 0) / NANOS
        return {
            "limit_usd": None if self.limit is None else self.limit / NANOS, "spent_usd": self.spent / NANOS,
            "reserved_usd": self.reserved / NANOS, "remaining_usd": left, "period": self.period,
            "period_end": stamp(self.end),
        }

    def scoped(self) -> Object:
        """The limit of a scope as it is answered."""
        return self.scope | self.figures() | without_none(warn_at=self.warn_at)


def _sum(conn: Connection, column: Any, *where: Any) -> int:
    # Of whole dollars and of the billionths beside them: the sum of all billionths may not fit into a number.
    whole = func.sum(cast(column // NANOS, BigInteger))
    row = conn.execute(select(func.coalesce(whole, 0), func.coalesce(func.sum(column % NANOS), 0)).where(*where)).one()
    return int(row[0]) * NANOS + int(row[1])


def _within(table: Any, scope: Object) -> list[Any]:
    return [table.c[name] == value for name, value in scope.items()]


def _limit(conn: Connection, row: Any, scope: Object, at: datetime) -> Limit:
    period = row.period if row is not None else "month"
    start, end = bounds(period, at)
    spent = _sum(conn, usage.c.cost_nanos, usage.c.created_at >= start, *_within(usage, scope))
    r = reservations.c
    reserved = _sum(conn, r.estimate_nanos, r.settled_at.is_(None), r.expires_at > at, *_within(reservations, scope))
    limit = None if row is None else row.limit_nanos
    return Limit(scope, limit, spent, reserved, period, end, None if row is None else row.warn_at)


def _scope_of(row: Any) -> Object:
    return {name: getattr(row, name) for name in ("user_id", "tenant_id", "role") if getattr(row, name)}


def _own(call: Call, conn: Connection, user_id: str, at: datetime) -> Limit:
    """The user's own budget, or the default."""
    b = budgets.c
    row = conn.execute(select(budgets).where(b.user_id == user_id, b.tenant_id == "", b.role == "")).first()
    found = _limit(conn, row, {"user_id": user_id}, at)
    default = call.mc.settings.default_budget_usd
    if row is None and default is not None:
        return Limit(found.scope, _nanos(default), found.spent, found.reserved, found.period, found.end, None)
    return found


def _matching(payer: Payer) -> Any:
    """The budgets that a call counts in, but for the user's own."""
    b = budgets.c
    return (
        select(budgets)
        .where(
            b.tenant_id.in_(("", payer.tenant_id or "")), b.user_id.in_(("", payer.user_id)),
            b.role.in_(("", payer.role or "")), or_(b.tenant_id != "", b.role != ""),
        )
        .order_by(b.tenant_id, b.user_id, b.role)
    )


def _of_person(conn: Connection, user_id: str) -> list[Any]:
    """The budgets that calls of any of the user's agents count in, but for the user's own."""
    from ..storage.tables import profiles

    roles = set(conn.execute(select(profiles.c.role).where(profiles.c.user_id == user_id)).scalars()) | {""}
    tenants = {tenant_of(conn, user_id, role or None) for role in roles} - {None}
    b = budgets.c
    query = select(budgets).where(
        b.tenant_id.in_(["", *sorted(str(one) for one in tenants)]), b.user_id.in_(("", user_id)),
        or_(b.tenant_id != "", b.role != ""),
    )
    rows = conn.execute(query.order_by(b.tenant_id, b.user_id, b.role)).all()
    fits = [row for row in rows if not row.tenant_id or not row.role or tenant_of(conn, user_id, row.role) == row.tenant_id]
    return fits


def _answer(own: Limit, scoped: list[Limit]) -> Object:
    limits = [limit.scoped() for limit in (own, *scoped) if limit.limit is not None]
    return own.figures() | {"budgets": limits}


@routes.add("GET", "/budget")
def get_budget(call: Call) -> Response:
    """The user's budget, and all limits that the caller's calls must fit."""
    scope, at = call.read_scope(), now()
    with call.mc.storage.read() as conn:
        own = _own(call, conn, scope.user_id, at)
        if scope.own_role is not None:
            payer = Payer(scope.user_id, scope.own_role, tenant_of(conn, scope.user_id, scope.own_role))
            rows = list(conn.execute(_matching(payer)))
        else:
            rows = _of_person(conn, scope.user_id)
        scoped = [_limit(conn, row, _scope_of(row), at) for row in rows]
    return json_response(_answer(own, scoped))


def _budget_scope(call: Call, fields: Fields) -> Object:
    scope = without_none(
        user_id=fields.filled("user_id"), tenant_id=fields.filled("tenant_id", MAX_TEXT), role=fields.filled("role")
    )
    if not scope:
        raise invalid("user_id", "is required, or tenant_id, or role")
    if "user_id" in scope and not is_user_id(scope["user_id"]):
        raise invalid("user_id", "is not a user id")
    if "role" in scope and not is_role(scope["role"]):
        raise invalid("role", "is not a role")
    return scope


@routes.add("PUT", "/budget")
def put_budget(call: Call) -> Response:
    """Sets a budget of a user, a tenant, a role, or a combination."""
    service, fields = call.service(), call.fields
    scope = _budget_scope(call, fields)
    if service.on_behalf_of is not None:
        # On behalf of a person a service sets that person's budgets only.
        if "user_id" not in scope:
            raise forbidden("only a service sets budgets of several users, for nobody in particular")
        if scope["user_id"] != service.on_behalf_of:
            raise not_found("user")
    limit = _nanos(fields.number("limit_usd", 0, MAX_LIMIT_USD))
    fields.need("period")
    period = fields.choice("period", PERIODS)
    warn_at = fields.opt_number("warn_at", 0, 1)
    key = {name: scope.get(name, "") for name in ("tenant_id", "user_id", "role")}
    with call.mc.storage.write(scope.get("user_id")) as tx:
        tx.conn.execute(delete(budgets).where(*[budgets.c[name] == value for name, value in key.items()]))
        row = tx.conn.execute(
            insert(budgets)
            .values(key | {"limit_nanos": limit, "period": period, "warn_at": warn_at, "updated_at": tx.at})
            .returning(budgets)
        ).one()
        details = without_none(
            limit_usd=limit / NANOS, tenant_id=scope.get("tenant_id"), role=scope.get("role"), warn_at=warn_at, period=period
        )
        record(tx, service.actor(call.trace_id), Act("budget.set", scope.get("user_id"), None, details))
        answer = _limit(tx.conn, row, scope, tx.at).scoped()
    return json_response(answer)


@routes.add("POST", "/budget/reserve")
def reserve(call: Call) -> Response:
    """Reserves an amount before a model call, where it fits each limit."""
    scope, fields = call.write_scope(), call.fields
    run_id, key = fields.text("run_id"), fields.text("idempotency_key")
    estimate = _nanos(fields.number("estimate_usd", 0, MAX_CALL_USD))
    role = scope.own_role

    def make(tx: Tx) -> Object:
        payer = Payer(scope.user_id, role, tenant_of(tx.conn, scope.user_id, role))
        # Locked in one order: calls of several users that share a budget are counted one by one.
        rows = list(tx.conn.execute(_matching(payer).with_for_update()))
        own = _own(call, tx.conn, scope.user_id, tx.at)
        scoped = [_limit(tx.conn, row, _scope_of(row), tx.at) for row in rows]
        full = [limit for limit in (own, *scoped) if not limit.fits(estimate)]
        if full:
            tightest = min(full, key=lambda limit: limit.remaining or 0)
            details = _answer(own, scoped) | {"budget": tightest.scoped()}
            raise ContractError(402, "budget_exceeded", "the estimate does not fit what is left of a budget", details)
        made, until = new_id(), tx.at + RESERVED_FOR
        tx.conn.execute(
            insert(reservations).values(
                id=made, user_id=scope.user_id, role=role, tenant_id=payer.tenant_id, run_id=run_id,
                estimate_nanos=estimate, expires_at=until, created_at=tx.at,
            )
        )
        return {"reservation_id": made, "expires_at": stamp(until)}

    return call.create(scope, "budget/reserve", key, make)


def _warn(tx: Tx, payer: Payer, run_id: str, limit: Limit) -> None:
    """Tells that a budget is nearly spent: once for its period and limit."""
    if limit.limit is None or limit.warn_at is None or limit.spent < round(limit.limit * limit.warn_at):
        return
    w = budget_warnings.c
    key: Object = {name: limit.scope.get(name, "") for name in ("tenant_id", "user_id", "role")}
    key |= {"period": limit.period, "period_end": limit.end, "limit_nanos": limit.limit}
    if tx.conn.execute(select(w.period).where(*[w[name] == value for name, value in key.items()])).first() is None:
        tx.conn.execute(insert(budget_warnings).values(key))
        data = {"budget": limit.scoped(), "run_id": run_id}
        # Other roles need not hear of a role's budget.
        tx.emit(payer.user_id, "budget.warned", "budget_id", data, limit.scope.get("role"))


def _settle(tx: Tx, user_id: str, reservation_id: str) -> Any:
    r = reservations.c
    row = tx.conn.execute(
        update(reservations)
        .where(r.id == reservation_id, r.user_id == user_id)
        .values(settled_at=func.coalesce(r.settled_at, tx.at))
        .returning(r.role, r.tenant_id)
    ).first()
    if row is None:
        raise not_found("reservation")
    return row


@routes.add("POST", "/usage")
def record_usage(call: Call) -> Response:
    """Records what a model call used, and settles its reservation. It is always recorded, also beyond the limit."""
    tenant, fields = call.tenant(), call.fields
    scope = call.write_scope(tenant)
    run_id, role, model = fields.text("run_id"), fields.text("role"), fields.text("model")
    key, reservation_id = fields.text("idempotency_key"), fields.opt_text("reservation_id")
    if isinstance(tenant, Agent):
        tenant.must_act_as("role", role)
    cost = _nanos(fields.number("cost_usd", 0, MAX_CALL_USD))
    tokens = {name: fields.integer(name) for name in ("prompt_tokens", "completion_tokens")}
    estimated = fields.flag("estimated") or False

    def make(tx: Tx) -> Object:
        tenant_id = tenant_of(tx.conn, scope.user_id, role)
        if reservation_id is not None:
            held = _settle(tx, scope.user_id, reservation_id)
            if held.role == role:
                # Its cost goes where the money was held.
                tenant_id = held.tenant_id
        payer, made = Payer(scope.user_id, role, tenant_id), new_id()
        rows = list(tx.conn.execute(_matching(payer).with_for_update()))
        values: Object = {"id": made, "user_id": scope.user_id, "run_id": run_id, "reservation_id": reservation_id, "role": role}
        values |= tokens | {"model": model, "tenant_id": tenant_id, "cost_nanos": cost, "estimated": estimated}
        tx.conn.execute(insert(usage).values(values | {"created_at": tx.at}))
        limits = [_own(call, tx.conn, scope.user_id, tx.at)]
        limits += [_limit(tx.conn, row, _scope_of(row), tx.at) for row in rows if row.warn_at is not None]
        for limit in limits:
            _warn(tx, payer, run_id, limit)
        recorded = tokens | {"run_id": run_id, "role": role, "model": model, "cost_usd": cost / NANOS}
        more = without_none(reservation_id=reservation_id, idempotency_key=key)
        return {"id": made, "estimated": estimated} | recorded | more

    return call.create(scope, "usage", key, make)
