"""Tokens as the daemon sends them."""

from __future__ import annotations

import time
import uuid
from typing import Any

import jwt

from .conftest import SECRET


def token(user_id: str = "ann", role: str = "scout", key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    at = int(time.time())
    own = {
        "type": "agent", "user_id": user_id, "agent_role": role, "sub": f"wombat:{role}", "iss": "wombat",
        "iat": at - 5, "nbf": at - 5, "exp": at + 900, "jti": str(uuid.uuid4()),
    }
    return jwt.encode(own | claims, key, algorithm)
