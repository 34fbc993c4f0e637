"""Customers' profiles: what narrows the agents of a user."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, delete, insert, select

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import invalid, role_mismatch
from ..fields import Fields
from ..jcs import canonical
from ..jsonio import Object
from ..mentions import is_role
from ..scope import Agent
from ..storage.tables import profiles
from .audit import Act, record

routes = Routes("profile")

MAX_PROMPT_APPEND = 8_000
MAX_TEXT = 128


def _find(conn: Connection, user_id: str, role: str | None) -> Object:
    """A role's own profile, or the one of all roles that have none."""
    t = profiles.c
    query = select(t.body).where(t.user_id == user_id, t.role.in_((role or "", ""))).order_by(t.role.desc()).limit(1)
    return conn.execute(query).scalar() or {}


def tenant_of(conn: Connection, user_id: str, role: str | None) -> str | None:
    """The customer that a user belongs to, as the profile of a role says."""
    tenant = _find(conn, user_id, role).get("tenant_id")
    return tenant if isinstance(tenant, str) and tenant else None


def _digest(body: Object) -> str:
    try:
        return hashlib.sha256(canonical(body).encode()).hexdigest()
    except ValueError as error:
        raise invalid("profile", str(error)) from None


def _answer(call: Call, body: Object, is_new: bool = False) -> Response:
    tag = f'"{_digest(body)}"'
    age = f"private, max-age={call.mc.settings.profile_max_age}"
    headers = {"etag": tag, "cache-control": age}
    known = [] if is_new else (call.request.headers.get("if-none-match") or "").split(",")
    if any(one.strip() == "*" or one.strip().removeprefix("W/") == tag for one in known):
        return Response(304, headers)
    return json_response(body, headers=headers)


def _named(call: Call) -> tuple[str, str | None]:
    """The user and the role that a service names."""
    user_id, role = call.named_user(call.query.need("user_id")), call.query.text("role")
    if role is not None and not is_role(role):
        raise invalid("role", "is not a role")
    return user_id, role


@routes.add("GET", "/profile")
def get_profile(call: Call) -> Response:
    """The profile of a user and role: for the agent that it narrows, or a service."""
    if "x-internal-token" in call.request.headers:
        call.alone()
        user_id, role = _named(call)
    else:
        agent: Agent = call.agent()
        agent.must_be(call.query.text("user_id") or agent.user_id)
        if call.query.text("role") not in (None, agent.role):
            raise role_mismatch("role", agent.role)
        user_id, role = agent.user_id, agent.role
    with call.mc.storage.read() as conn:
        return _answer(call, _find(conn, user_id, role))


def _check(fields: Fields) -> None:
    """Refuses what is out of bounds. Whether a pattern, a model or a zone can be used, the daemon knows."""
    fields.opt_text("prompt_append", MAX_PROMPT_APPEND)
    for name in ("tenant_id", "locale", "timezone"):
        fields.opt_text(name, MAX_TEXT)
    tools, models, limits = fields.sub("tools"), fields.sub("models"), fields.sub("limits")
    if tools is not None:
        tools.texts("allow", 10_000)
        tools.texts("deny", 10_000)
        tools.items("approval", 10_000)
    if models is not None:
        models.text("default")
        models.opt_text("cheap")
        models.opt_text("best")
    if limits is not None:
        limits.opt_int("max_steps", 0, 2**32 - 1)
        limits.opt_int("max_output_tokens", 1, 2**32 - 1)
        limits.opt_number("max_cost_usd", 0, 1e15)
        limits.opt_int("timeout_secs", 1)
    workspace = fields.raw.get("workspace")
    if isinstance(workspace, dict):
        shares = Fields(workspace, "workspace.")
        if sum(shares.integer(name, 0, 2**32 - 1) for name in workspace) != 100:
            raise invalid("workspace", "the percentages must be 100 together")
    elif workspace is not None:
        fields.opt_text("workspace")


@routes.add("PUT", "/profile")
def put_profile(call: Call) -> Response:
    """Replaces a profile. Without a role it is the one of all roles that have none of their own."""
    service = call.alone()
    user_id, role = _named(call)
    _check(call.fields)
    body, t = call.raw, profiles.c
    digest = _digest(body)
    scope = service.scope_of(user_id, call.trace_id)
    with call.mc.write(scope) as tx:
        tx.conn.execute(delete(profiles).where(t.user_id == user_id, t.role == (role or "")))
        row = {"user_id": user_id, "role": role or "", "body": body, "tenant_id": body.get("tenant_id")}
        tx.conn.execute(insert(profiles).values(row | {"updated_at": tx.at}))
        details = {"digest": digest} | ({"role": role} if role is not None else {})
        record(tx, scope.actor, Act("profile.set", user_id, None, details))
    return _answer(call, body, is_new=True)
