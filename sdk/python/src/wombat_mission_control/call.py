"""One call of an endpoint: who makes it, and what it holds."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from .api import Match, Request, Response, created
from .errors import ContractError, conflict, forbidden, invalid, not_found, unauthorized
from .fields import Fields, Query
from .jsonio import Object, canonical, parse_object
from .mentions import is_user_id
from .scope import Agent, Caller, Fence, Person, Scope, Service, Tenant
from .settings import Identity
from .storage.engine import Tx
from .storage.tables import idempotency
from .tokens import Claims

if TYPE_CHECKING:
    from .core import MissionControl

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}")


class Call:
    """A call of an endpoint. Nobody's objects can be reached without asking it who calls."""

    def __init__(self, mc: MissionControl, request: Request, match: Match) -> None:
        self.mc = mc
        self.request = request
        self.match = match
        #: What the path holds.
        self.params = match.params
        self.query = Query(request.query)
        self._claims: Claims | None = None
        self._body: Object | None = None
        #: The application's user, as `find_user` found it.
        self.user: object | None = None
        #: Who was found to call, for the audit log.
        self.agent_seen: Agent | None = None

    # What it holds.

    @property
    def raw(self) -> Object:
        """The body: a JSON object."""
        if self._body is None:
            headers, body = self.request.headers, self.request.body
            if headers.get("content-encoding") not in (None, "", "identity"):
                text = "the body must not be compressed: leave Content-Encoding out"
                raise ContractError(415, "unsupported_media_type", text)
            kind = (headers.get("content-type") or "").lower()
            if body and not kind.startswith("application/json"):
                text = "the body must be JSON: set Content-Type: application/json"
                raise ContractError(415, "unsupported_media_type", text)
            self._body = parse_object(body)
        return self._body

    @property
    def fields(self) -> Fields:
        """The fields of the body."""
        return Fields(self.raw)

    @property
    def idempotency_key(self) -> str | None:
        """The header that makes a write safe to repeat."""
        return self.request.headers.get("idempotency-key")

    @property
    def trace_id(self) -> str | None:
        """The trace that the caller names."""
        own = self.request.headers.get("x-trace-id")
        if own is not None and _TRACE_ID.fullmatch(own):
            return own
        parent = _TRACEPARENT.fullmatch(self.request.headers.get("traceparent") or "")
        return parent.group(1) if parent else None

    # Who calls.

    def _claims_of_token(self) -> Claims:
        if self._claims is None:
            token = self.request.headers.get("x-agent-token")
            if token is None:
                raise unauthorized("the header X-Agent-Token is missing")
            claims = self.mc.verifier.verify(token)
            self.mc.refuse_erased(claims.user_id, claims.issued_at_ms)
            self._claims = claims
        return self._claims

    def _find_user(self, identity: Identity) -> None:
        self.user = self.mc.find_user(identity)
        if self.user is None:
            raise not_found("user")

    def agent(self) -> Agent:
        """The agent whose token the call carries."""
        claims = self._claims_of_token()
        self._find_user(Identity(claims.user_id, claims.role, claims.raw))
        is_lead = claims.role in self.mc.settings.lead_roles
        self.agent_seen = Agent(
            claims.user_id, claims.role, is_lead, claims.speaks_for_user, claims.expires_at, claims.issued_at_ms
        )
        return self.agent_seen

    def is_nobodys(self) -> bool:
        """Whether an agent calls that acts for nobody, as the daemon does for what is the same for all."""
        return self._claims_of_token().is_nobodys

    def _is_agents(self) -> bool:
        headers = self.request.headers
        return "x-agent-token" in headers and "x-internal-token" not in headers

    def _check_internal(self) -> None:
        headers, known = self.request.headers, self.mc.settings.internal_token
        # An invalid agent token is refused even beside a valid internal one.
        if "x-agent-token" in headers:
            self._claims_of_token()
        given = headers.get("x-internal-token")
        if given is None or known is None:
            raise unauthorized("the header X-Internal-Token is missing or wrong")
        one, other = (hashlib.sha256(text.encode()).digest() for text in (given, known))
        if not hmac.compare_digest(one, other):
            raise unauthorized("the header X-Internal-Token is missing or wrong")

    def internal(self) -> Service:
        """A service that holds the internal token, such as the dispatcher."""
        if self._is_agents():
            self.agent()
            raise forbidden("an agent may not do this")
        self._check_internal()
        return Service()

    def person(self) -> Person:
        """A person, on whose behalf a service acts."""
        if self._is_agents():
            self.agent()
            raise forbidden("only a person may do this, not an agent")
        self._check_internal()
        user_id = self.request.headers.get("x-on-behalf-of")
        if user_id is None or not is_user_id(user_id):
            raise unauthorized("the header X-On-Behalf-Of is missing or names no user")
        self._find_user(Identity(user_id))
        return Person(user_id)

    def service(self) -> Service:
        """A service, and the person on whose behalf it acts, if any."""
        self.internal()
        if "x-on-behalf-of" not in self.request.headers:
            return Service()
        return Service(self.person().user_id)

    def alone(self) -> Service:
        """A service that acts for nobody in particular."""
        service = self.service()
        if service.on_behalf_of is not None:
            raise forbidden("only a service may do this, for nobody in particular")
        return service

    def tenant(self) -> Tenant:
        """An agent of a user, or the user."""
        return self.person() if "x-internal-token" in self.request.headers else self.agent()

    def caller(self) -> Caller:
        """An agent, or a service; whoever it acts for does not count."""
        if "x-internal-token" in self.request.headers:
            self._check_internal()
            return Service()
        return self.agent()

    def check_token(self) -> None:
        """Refuses a call without a valid token, whatever it is for."""
        if "x-internal-token" in self.request.headers:
            self._check_internal()
        else:
            self._claims_of_token()

    def anyone(self) -> None:
        """Whoever may ask what there is at all: also an agent of nobody, whom no table of users has."""
        if "x-internal-token" in self.request.headers:
            self._check_internal()
        elif not self._claims_of_token().is_nobodys:
            self.agent()

    def named_user(self, user_id: str, field: str = "user_id") -> str:
        """A user that a service names."""
        if not is_user_id(user_id):
            raise invalid(field, "is not a user id")
        self._find_user(Identity(user_id))
        return user_id

    # Whose objects it may touch.

    def read_scope(self) -> Scope:
        """Whose objects it may read."""
        return self.tenant().scope(self.trace_id)

    def write_scope(self, tenant: Tenant | None = None) -> Scope:
        """Whose objects it may write, and under which lease."""
        scope = (tenant or self.tenant()).scope(self.trace_id)
        return replace(scope, fence=self._fence())

    def _fence(self) -> Fence | None:
        text = self.request.headers.get("x-session-fence")
        if text is None:
            return None
        found = re.fullmatch(r"\s*(.*):([0-9]{1,18})\s*", text)
        if not found:
            raise invalid("X-Session-Fence", "must be {lease_id}:{fence}")
        return Fence(found.group(1), int(found.group(2)))

    # Creates that happen once.

    def create(self, scope: Scope, endpoint: str, key: str | None, make: Callable[[Tx], Object]) -> Response:
        """Creates an object, at most once for an idempotency key."""
        return created(*self.create_once(scope, endpoint, key, make))

    def create_once(
        self, scope: Scope, endpoint: str, key: str | None, make: Callable[[Tx], Object]
    ) -> tuple[Object, bool]:
        """The object, and whether it was there. A key is the role's own; those of tasks, which roles share, the user's."""
        role = "" if endpoint == "tasks" else scope.own_role or ""
        body = canonical(self.raw)
        with self.mc.write(scope) as tx:
            if key is not None:
                t = idempotency.c
                known = tx.conn.execute(
                    select(t.body, t.response).where(
                        t.user_id == scope.user_id, t.endpoint == endpoint, t.key == key, t.role == role
                    )
                ).first()
                if known is not None:
                    if known.body != body:
                        text = "the idempotency key was used for another body"
                        raise conflict("idempotency_conflict", text, {"original": known.response})
                    return known.response, True
            made = make(tx)
            if key is not None:
                tx.conn.execute(
                    insert(idempotency).values(
                        user_id=scope.user_id, endpoint=endpoint, key=key, role=role, body=body, response=made, created_at=tx.at
                    )
                )
            return made, False
