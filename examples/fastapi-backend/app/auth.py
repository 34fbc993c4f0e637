"""Who calls: the one file that every application can take as it is.

Agents bring `X-Agent-Token`, a short-lived JWT that the daemon signs with AGENT_JWT_SECRET. Your own
services bring `X-Internal-Token`, with `X-On-Behalf-Of` where they speak for a person. What your pages
use (a session cookie, say) goes here, too: this example has none.
"""

import hmac
import os
from dataclasses import dataclass
from typing import Annotated, Literal

import jwt
from fastapi import Depends, Header, HTTPException

SECRET = os.environ.get("AGENT_JWT_SECRET", "")
if len(SECRET) < 32:
    raise SystemExit("AGENT_JWT_SECRET must be set, to at least 32 characters, as in the daemon")

INTERNAL_TOKEN = os.environ.get("INTERNAL_API_TOKEN", "")
# The clocks of this machine and the daemon's may differ by so much.
LEEWAY_SECONDS = 60
CLAIMS = ["type", "user_id", "agent_role", "sub", "iss", "iat", "exp", "jti"]


@dataclass(frozen=True)
class Caller:
    """The user that everything is read and written as, and who does it for them."""

    user_id: str
    kind: Literal["agent", "person"]
    role: str | None = None


def agent(token: str) -> Caller:
    try:
        # The algorithm is ours to say, never the token's.
        claims = jwt.decode(
            token,
            SECRET,
            algorithms=["HS256"],
            issuer="wombat",
            leeway=LEEWAY_SECONDS,
            options={"require": CLAIMS},
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, f"the agent token is refused: {error}") from None
    user, role = claims["user_id"], claims["agent_role"]
    is_text = all(isinstance(claim, str) and claim for claim in (user, role))
    if claims["type"] != "agent" or not is_text or claims["sub"] != f"wombat:{role}":
        raise HTTPException(401, "the agent token is refused: its claims do not fit")
    return Caller(user, "agent", role)


def caller(
    x_agent_token: Annotated[str | None, Header(include_in_schema=False)] = None,
    x_internal_token: Annotated[str | None, Header(include_in_schema=False)] = None,
    x_on_behalf_of: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Caller:
    """For every endpoint that serves a user: `me: Caller = Depends(caller)`."""
    if x_agent_token is not None:
        return agent(x_agent_token)
    if x_internal_token is not None and x_on_behalf_of:
        given = x_internal_token.encode()
        if INTERNAL_TOKEN and hmac.compare_digest(given, INTERNAL_TOKEN.encode()):
            return Caller(x_on_behalf_of, "person")
    raise HTTPException(401, "an agent token is needed")


Me = Annotated[Caller, Depends(caller)]
