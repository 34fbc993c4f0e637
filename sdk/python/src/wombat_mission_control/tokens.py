"""Agent tokens: one pinned algorithm, every claim required, clocks may differ a little."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from .errors import unauthorized
from .mentions import is_role, is_user_id
from .settings import Settings

#: The claims that a token must have.
CLAIMS = ["type", "user_id", "agent_role", "sub", "iss", "iat", "exp", "jti"]


@dataclass(frozen=True)
class Claims:
    """What a valid token says."""

    user_id: str
    role: str
    #: When it ends, in seconds since 1970.
    expires_at: int
    #: When it was issued, in milliseconds since 1970.
    issued_at_ms: int
    #: Whether it is for storing what the user said.
    speaks_for_user: bool
    #: All claims as they came.
    raw: Mapping[str, Any]

    @property
    def is_nobodys(self) -> bool:
        """Whether it acts for nobody, as the daemon does for what is the same for all."""
        return self.user_id == "wombat" and self.role == "system"


class TokenVerifier:
    """Verifies agent tokens. The algorithm is the verifier's to say, never the token's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def verify(self, token: str) -> Claims:
        """What a token says; 401 for one that does not count."""
        settings = self._settings
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:
                raise jwt.InvalidTokenError("it has extensions that nobody knows here")
            raw = jwt.decode(
                token,
                settings.agent_key,
                algorithms=[settings.algorithm],
                issuer="wombat",
                leeway=settings.leeway,
                options={"require": CLAIMS},
            )
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
            text = "the agent token has expired or is not valid yet: compare the clocks of both sides"
            raise unauthorized(text) from None
        except jwt.InvalidAlgorithmError:
            text = f"the agent token is not signed with {settings.algorithm}: set the same AGENT_JWT_ALGORITHM on both sides"
            raise unauthorized(text) from None
        except (jwt.MissingRequiredClaimError, jwt.InvalidIssuerError, jwt.InvalidAudienceError) as error:
            raise _wrong_claims(str(error)) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise unauthorized("the agent token is not valid: check AGENT_JWT_SECRET on both sides") from None
        return _claims(raw)


def _wrong_claims(what: str) -> Exception:
    return unauthorized(f"the agent token is signed with the right key, but its claims are not the contract's: {what}")


def _claims(raw: Mapping[str, Any]) -> Claims:
    user_id, role = raw["user_id"], raw["agent_role"]
    texts = ("user_id", "agent_role", "sub", "iss", "jti", "type")
    if not all(isinstance(raw[name], str) and raw[name] for name in texts):
        raise _wrong_claims("one of them is no text")
    if raw["type"] != "agent":
        raise _wrong_claims("its type is not agent")
    if raw["sub"] != f"wombat:{role}":
        raise _wrong_claims("sub is not wombat:{agent_role}")
    if not is_user_id(user_id) or not is_role(role):
        raise _wrong_claims("user_id or agent_role is no such name")
    times = (raw["iat"], raw["exp"], raw.get("nbf", 0))
    if any(isinstance(time, bool) or not isinstance(time, (int, float)) for time in times):
        raise _wrong_claims("a time is no number")
    speaks = raw.get("on_behalf_of") == user_id
    return Claims(user_id, role, int(raw["exp"]), _issued_at_ms(raw), speaks, dict(raw))


def _issued_at_ms(raw: Mapping[str, Any]) -> int:
    """When it was made: an id that is a UUID of version 7 tells more exactly than `iat`, which is a little back."""
    start, end = int(raw["iat"]) * 1000, int(raw["exp"]) * 1000
    try:
        made = uuid.UUID(raw["jti"])
    except ValueError:
        return start
    ms = made.int >> 80
    return ms if made.version == 7 and start < ms < end else start
