"""Standing rules: calls that need no approval for a while, because a person has said so."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update

from .. import jcs
from ..api import Response, Routes, created, json_response
from ..call import Call
from ..errors import conflict, forbidden, invalid, not_found
from ..fields import Fields
from ..jsonio import Object, canonical, new_id, now, stamp, without_none
from ..mentions import is_role, session_key
from ..paging import page, paging
from ..schemas import Condition
from ..scope import Agent, Scope
from ..storage.engine import Tx
from ..storage.tables import approval_rule_uses, approval_rules, tool_requests
from .audit import Act, record
from .questions import check_until, mismatch
from .run_rows import check_key
from .tool_requests import MAX_TOOL, check_waits

routes = Routes("approval_rules")

MAX_USES = 1_000_000_000


def sha256_of(value: Any) -> str:
    """The SHA-256 of the canonical form (RFC 8785) of a value."""
    try:
        text = jcs.canonical(value)
    except ValueError:
        # A number that RFC 8785 does not know is written as it is.
        text = canonical(value)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class NewRule:
    """A rule to be written, whose fields were checked."""

    role: str
    tool: str
    when: Object | None
    expires_at: datetime
    max_uses: int | None
    parameters_sha256: str | None
    #: The tool request with whose decision it is made.
    tool_request_id: str | None = None


def rule(row: Any) -> Object:
    """A rule as it is answered."""
    return without_none(
        id=row.id, role=row.role, tool=row.tool, when=row.fits, expires_at=stamp(row.expires_at),
        max_uses=row.max_uses, uses=row.uses, author=without_none(type=row.author_type, id=row.author_id),
        parameters_sha256=row.parameters_sha256, tool_request_id=row.tool_request_id, created_at=stamp(row.created_at),
    )


def _checked(fields: Fields, role: str | None, tool: str | None) -> NewRule:
    under = fields.under
    if role is None or not is_role(role):
        raise invalid(f"{under}role", "must be letters, digits, _ and -")
    if tool is None or not tool.strip():
        raise invalid(f"{under}tool", "must not be empty")
    fields.need("expires_at")
    until = fields.opt_time("expires_at")
    assert until is not None
    check_until(f"{under}expires_at", until)
    digest = fields.opt_text("parameters_sha256")
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
        raise invalid(f"{under}parameters_sha256", "must be 64 hexadecimal digits in lower case")
    when = fields.raw.get("when")
    if when is not None:
        try:
            Condition(when)
        except ValueError as error:
            raise invalid(f"{under}when", str(error)) from None
    return NewRule(role, tool, when, until, fields.opt_int("max_uses", 1, MAX_USES), digest)


def within(fields: Fields, role: str, request: Any) -> NewRule:
    """A rule that is made with the decision about a request, of whose role and tool it is."""
    for name, own in (("role", role), ("tool", request.tool)):
        if fields.opt_text(name) not in (None, own):
            raise invalid(f"rule.{name}", "is not that of the request: leave it out")
    new = _checked(fields, role, request.tool)
    return NewRule(new.role, new.tool, new.when, new.expires_at, new.max_uses, new.parameters_sha256, request.id)


def _known_parameters(conn: Connection, user_id: str, new: NewRule, request_id: str | None) -> str | None:
    """The schema of a tool's arguments as a request has it, or the role's newest request for the tool."""
    t = tool_requests.c
    query = select(t.parameters, t.session_key, t.asked_by).where(
        t.user_id == user_id, t.tool == new.tool, t.kind == "approval", t.parameters.is_not(None)
    )
    if request_id is not None:
        query = query.where(t.id == request_id)
    for row in conn.execute(query.order_by(t.seq.desc()).limit(200)):
        # Requests of a run below another one stand under that one's session.
        asker = row.asked_by["role"] if row.asked_by else None
        own = asker == new.role or (asker is None and row.session_key == session_key(user_id, new.role))
        if request_id is not None or own:
            return sha256_of(row.parameters)
    return None


def in_force(at: datetime) -> Any:
    """Which rules hold."""
    t = approval_rules.c
    return t.revoked_at.is_(None) & (t.expires_at > at) & or_(t.max_uses.is_(None), t.uses < t.max_uses)


def insert_rule(tx: Tx, scope: Scope, new: NewRule, most: int) -> Object:
    """Writes a rule, if the user has less than `most` in force."""
    t = approval_rules.c
    held = select(func.count()).select_from(approval_rules).where(t.user_id == scope.user_id, in_force(tx.at))
    if tx.conn.execute(held).scalar_one() >= most:
        raise conflict("too_many_rules", f"the user has {most} rules in force already", {"most": most})
    digest = new.parameters_sha256 or _known_parameters(tx.conn, scope.user_id, new, new.tool_request_id)
    if digest is None and new.tool_request_id is not None:
        # What the agent has not said this time.
        digest = _known_parameters(tx.conn, scope.user_id, new, None)
    row = tx.conn.execute(
        insert(approval_rules)
        .values(
            id=new_id(), user_id=scope.user_id, role=new.role, tool=new.tool, fits=new.when, expires_at=new.expires_at,
            max_uses=new.max_uses, author_type=scope.actor.type, author_id=scope.own_role or scope.actor.user_id,
            parameters_sha256=digest, tool_request_id=new.tool_request_id, created_at=tx.at,
        )
        .returning(approval_rules)
    ).one()
    details = {"expires_at": stamp(row.expires_at), "max_uses": row.max_uses}
    if new.when is not None:
        # Which calls it allows can be proven by it.
        details["when_sha256"] = sha256_of(new.when)
    _record(tx, scope, "approval_rule.created", row, details)
    return rule(row)


def _record(tx: Tx, scope: Scope, name: str, row: Any, details: Object) -> None:
    about = {"role": row.role, "tool": row.tool}
    record(tx, scope.actor, Act(name, row.user_id, ("approval_rule", row.id), about | details))


def _row_of(conn: Connection, scope: Scope, rule_id: str) -> Any:
    t = approval_rules.c
    query = select(approval_rules).where(t.id == rule_id, t.user_id == scope.user_id)
    if scope.role is not None:
        query = query.where(t.role == scope.role)
    row = conn.execute(query).first()
    if row is None:
        raise not_found("approval rule")
    return row


@routes.add("GET", "/approval-rules")
def list_rules(call: Call) -> Response:
    """The rules in force, oldest first."""
    tenant, (limit, after) = call.tenant(), paging(call.query)
    role, tool = call.query.text("role"), call.query.text("tool")
    if isinstance(tenant, Agent) and role is not None:
        tenant.must_act_as("role", role)
    scope, t = tenant.scope().of_role(role), approval_rules.c
    with call.mc.storage.read() as conn:
        query = select(approval_rules).where(t.user_id == scope.user_id, in_force(now()))
        if scope.role is not None:
            query = query.where(t.role == scope.role)
        if tool is not None:
            query = query.where(t.tool == tool)
        if after is not None:
            query = query.where(t.seq > after)
        return json_response(page(conn.execute(query.order_by(t.seq).limit(limit + 1)), limit, rule))


@routes.add("POST", "/approval-rules")
def create_rule(call: Call) -> Response:
    """Writes a rule, by a person."""
    scope, fields = call.person().scope(call.trace_id), call.fields
    key = fields.filled("idempotency_key")
    new = _checked(fields, fields.opt_text("role"), fields.opt_text("tool", MAX_TOOL))
    most = call.mc.settings.rules_per_user
    return call.create(scope, "approval-rules", key, lambda tx: insert_rule(tx, scope, new, most))


@routes.add("DELETE", "/approval-rules/{id}")
def revoke_rule(call: Call) -> Response:
    """Takes a rule back. Repeating it is harmless."""
    scope, t = call.person().scope(call.trace_id), approval_rules.c
    with call.mc.write(scope) as tx:
        row = _row_of(tx.conn, scope, call.params["id"])
        if row.revoked_at is None:
            tx.conn.execute(update(approval_rules).where(t.seq == row.seq).values(revoked_at=tx.at))
            _record(tx, scope, "approval_rule.revoked", row, {})
    return Response(204)


def _void(row: Any, at: datetime, digest: str | None) -> str | None:
    """Why a rule does not hold at this moment."""
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at <= at:
        return "expired"
    if row.max_uses is not None and row.uses >= row.max_uses:
        return "used_up"
    if row.author_id is None:
        return "author"
    if None not in (row.parameters_sha256, digest) and row.parameters_sha256 != digest:
        return "schema"
    return None


@routes.add("POST", "/approval-rules/{id}/uses")
def use_rule(call: Call) -> Response:
    """Uses a rule for a call that fits it, right before the call. Its repeat is answered the same, whatever has
    become of the rule."""
    tenant, fields = call.tenant(), call.fields
    if not isinstance(tenant, Agent):
        raise forbidden("a rule is used by the agent that makes the call")
    scope = call.write_scope(tenant)
    key, run_key = fields.text("idempotency_key"), check_key(fields.text("run_key"))
    fields.need("arguments")
    arguments, digest = fields.obj("arguments") or {}, fields.opt_text("parameters_sha256")
    body = canonical({"run_key": run_key, "arguments": arguments})
    t, u = approval_rules.c, approval_rule_uses.c
    with call.mc.write(scope) as tx:
        row = _row_of(tx.conn, scope, call.params["id"])
        known = tx.conn.execute(
            select(u.body, u.uses).where(u.rule_seq == row.seq, u.idempotency_key == key)
        ).first()
        if known is not None:
            answer = {"rule_id": row.id, "uses": known.uses}
            if known.body != body:
                text = "the idempotency key was used for another call"
                raise conflict("idempotency_conflict", text, {"original": answer})
            return created(answer, True)
        check_waits(tx, row.user_id, row.role, run_key)
        reason = _void(row, tx.at, digest)
        if reason is not None:
            raise conflict("rule_void", f"the rule does not hold: {reason}", {"reason": reason})
        misfit = None if row.fits is None else Condition(row.fits).misfit(arguments)
        if misfit is not None:
            raise mismatch("arguments_mismatch", [misfit])
        uses = row.uses + 1
        bound = {"uses": uses, "parameters_sha256": func.coalesce(t.parameters_sha256, digest)}
        tx.conn.execute(update(approval_rules).where(t.seq == row.seq).values(bound))
        used = {"rule_seq": row.seq, "idempotency_key": key, "run_key": run_key, "body": body, "uses": uses}
        tx.conn.execute(insert(approval_rule_uses).values(used | {"created_at": tx.at}))
        details = {"run_key": run_key, "arguments_sha256": sha256_of(arguments)}
        _record(tx, scope, "approval_rule.used", row, details)
    return created({"rule_id": row.id, "uses": uses}, False)
