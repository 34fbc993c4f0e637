"""What a backend can be told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The least bytes of a secret of HS256 (RFC 7518, section 3.2).
MIN_SECRET_BYTES = 32

#: The largest file that can be put, in bytes.
MAX_UPLOAD = 64 * 1024 * 1024

_HMAC = ("HS256", "HS384", "HS512")
_SIGNED = ("RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "PS384", "PS512", "EdDSA")


@dataclass(frozen=True)
class Identity:
    """Whom a call is made for: what is known before the application is asked for its user."""

    #: The user id of the token, of `X-On-Behalf-Of`, or the one that a service names.
    user_id: str
    #: The role of the agent; absent for a person.
    role: str | None = None
    #: All claims of the agent token; empty for a person.
    claims: Mapping[str, Any] = field(default_factory=dict)


#: Finds the application's user; `None` is a 404.
FindUser = Callable[[Identity], object | None]


def any_user(identity: Identity) -> object | None:
    """Takes every user id: for tests, and for applications whose users the token alone tells."""
    return identity


@dataclass(frozen=True)
class Settings:
    """The settings of a backend. Only the key of agent tokens is required."""

    #: The secret, or the public key in PEM, that verifies agent tokens (`AGENT_JWT_SECRET`).
    agent_key: str = field(repr=False)
    #: The one algorithm that agent tokens may have.
    algorithm: str = "HS256"
    #: What services send as `X-Internal-Token`; without it no service may call.
    internal_token: str | None = field(default=None, repr=False)
    #: By how many seconds clocks may differ.
    leeway: int = 60
    #: Roles that may act on the sessions of their user's other roles.
    lead_roles: frozenset[str] = frozenset()
    #: The monthly limit in US dollars of users without a budget of their own.
    default_budget_usd: float | None = None
    #: For how many seconds the daemon may use a profile without asking again.
    profile_max_age: int = 60
    #: How often a detached run is given out without a further step before it has failed.
    orphan_max_attempts: int = 5
    #: The most bytes of a file.
    file_max_bytes: int = 20 * 1024 * 1024
    #: The most bytes of all files of a user.
    file_quota_bytes: int = 1024 * 1024 * 1024
    #: The most bytes of a long result of a tool.
    artifact_max_bytes: int = 8 * 1024 * 1024
    #: The most bytes of all long results of a user.
    artifact_quota_bytes: int = 256 * 1024 * 1024
    #: For how many seconds a long result is kept after it was last put.
    artifact_ttl_secs: int = 7 * 24 * 60 * 60
    #: How many standing rules of a user are in force at most.
    rules_per_user: int = 100
    #: After how many days without a change each kind of object goes; kinds that are absent stay.
    retention_days: Mapping[str, int] = field(default_factory=dict)
    #: Where a person sees a task: a path or an address with `{task_id}` and `{user_id}`.
    task_page: str | None = None

    def __post_init__(self) -> None:
        if self.algorithm not in _HMAC + _SIGNED:
            raise ValueError(f"{self.algorithm} is no algorithm of agent tokens; HS256 is the default")
        if self.algorithm in _HMAC and len(self.agent_key.encode()) < MIN_SECRET_BYTES:
            raise ValueError("AGENT_JWT_SECRET must have at least 32 bytes, the same as in the daemon")
        if self.algorithm in _SIGNED and "PUBLIC KEY" not in self.agent_key:
            raise ValueError(f"{self.algorithm} needs the public key in PEM as agent_key")
        if not 1 <= self.file_max_bytes <= MAX_UPLOAD:
            raise ValueError(f"file_max_bytes must be 1 to {MAX_UPLOAD}: a file is in memory while it is put")
        if not 1 <= self.artifact_max_bytes <= MAX_UPLOAD:
            raise ValueError(f"artifact_max_bytes must be 1 to {MAX_UPLOAD}: a result is in memory while it is put")
        if not 1 <= self.artifact_ttl_secs <= 31_536_000:
            raise ValueError("artifact_ttl_secs must be 1 to 31536000, which is a year")
        if self.artifact_quota_bytes < 0:
            raise ValueError("artifact_quota_bytes must be 0 or more")
        if self.internal_token is not None and not self.internal_token.strip():
            raise ValueError("the internal token must not be blank; leave it out where no service may call")

    @classmethod
    def from_env(cls, **more: Any) -> Settings:
        """Reads `AGENT_JWT_SECRET`, `AGENT_JWT_ALGORITHM` and `INTERNAL_API_TOKEN`; `more` are other fields."""
        given: dict[str, Any] = {
            "agent_key": os.environ.get("AGENT_JWT_SECRET", ""),
            "algorithm": os.environ.get("AGENT_JWT_ALGORITHM") or "HS256",
            "internal_token": os.environ.get("INTERNAL_API_TOKEN") or None,
        }
        return cls(**(given | more))
