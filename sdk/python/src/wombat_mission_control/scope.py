"""Who calls, and whose objects a call may touch. Nothing is read or written without one of these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .errors import not_found, role_mismatch
from .mentions import check_session, session_key


@dataclass(frozen=True)
class Fence:
    """The session lease of a write: `X-Session-Fence: {lease_id}:{fence}`."""

    lease_id: str
    fence: int


@dataclass(frozen=True)
class Actor:
    """Who acts, for the audit log."""

    type: Literal["person", "service", "agent", "system"]
    user_id: str | None = None
    role: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True)
class Scope:
    """Whose objects a call may touch, as whom, and under which lease."""

    #: The user: every query has it.
    user_id: str
    #: Who makes it.
    actor: Actor
    #: The one role whose sessions, runs, leases and tool requests it may touch; all of the user's if absent.
    role: str | None = None
    #: The session lease that a write belongs to.
    fence: Fence | None = None
    #: When the token of the agent was issued, in milliseconds since 1970.
    issued_at_ms: int | None = None

    @property
    def own_role(self) -> str | None:
        """The role of the agent that makes the call, lead or not."""
        return self.actor.role if self.actor.type == "agent" else None

    @property
    def session(self) -> str | None:
        """The one session that it may touch; all of the user's if absent."""
        return session_key(self.user_id, self.role) if self.role is not None else None

    def of_role(self, role: str | None) -> Scope:
        """The same for one role, where it may touch all."""
        return self if self.role is not None or role is None else replace(self, role=role)


@dataclass(frozen=True)
class Agent:
    """An agent that acts for a user."""

    user_id: str
    role: str
    #: Whether it may act on the sessions of the user's other roles.
    is_lead: bool
    speaks_for_user: bool
    expires_at: int
    issued_at_ms: int

    def must_act_as(self, field: str, role: str) -> None:
        """Refuses a field that names another role than the token, unless its role is a lead."""
        if not self.is_lead and self.role != role:
            raise role_mismatch(field, self.role)

    def must_be(self, user_id: str) -> None:
        """Refuses a body that names another user than the token."""
        if self.user_id != user_id:
            raise not_found("user")

    def scope(self, trace_id: str | None = None) -> Scope:
        """Whose objects its calls may touch."""
        actor = Actor("agent", self.user_id, self.role, trace_id)
        role = None if self.is_lead else self.role
        return Scope(self.user_id, actor, role, issued_at_ms=self.issued_at_ms)


@dataclass(frozen=True)
class Person:
    """A person, on whose behalf a service acts."""

    user_id: str

    def scope(self, trace_id: str | None = None) -> Scope:
        """All of the person's objects."""
        return Scope(self.user_id, Actor("person", self.user_id, trace_id=trace_id))


@dataclass(frozen=True)
class Service:
    """A service with the internal token, and the person for whom it acts, if any."""

    on_behalf_of: str | None = None

    def actor(self, trace_id: str | None = None) -> Actor:
        """Who acts."""
        if self.on_behalf_of is None:
            return Actor("service", trace_id=trace_id)
        return Actor("person", self.on_behalf_of, trace_id=trace_id)

    def scope_of(self, user_id: str, trace_id: str | None = None) -> Scope:
        """All objects of a user that the service names."""
        return Scope(user_id, self.actor(trace_id))


#: An agent of a user, or the user: both may read the user's objects.
Tenant = Agent | Person
#: An agent, or a service that acts for nobody in particular.
Caller = Agent | Service


def check_tenants_session(tenant: Tenant, key: str) -> str:
    """The role of a session key of this user; refuses a role that this agent must not act as."""
    role = check_session(tenant.user_id, key)
    if isinstance(tenant, Agent):
        tenant.must_act_as("session_key", role)
    return role


def system() -> Actor:
    """The backend itself."""
    return Actor("system")
