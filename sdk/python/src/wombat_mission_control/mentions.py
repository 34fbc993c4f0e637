"""`@role` mentions in texts, and what can be the name of a role or of a user."""

from __future__ import annotations

import re

from .errors import invalid

_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9_-]*")


def is_role(text: str) -> bool:
    """Whether a text can be the name of a role."""
    return _ROLE.fullmatch(text) is not None


def is_user_id(text: str) -> bool:
    """Whether a text can be a user id: not blank, without colons and control characters."""
    return bool(text.strip()) and ":" not in text and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


def mentioned_roles(text: str) -> list[str]:
    """The roles that a text mentions, each once; not in code."""
    roles: list[str] = []
    in_code, before = False, " "
    for at, char in enumerate(text):
        if char == "`":
            # A backtick that is never closed does not open code.
            in_code = not in_code and "`" in text[at + 1 :]
        if char == "@" and not in_code and not (before.isalnum() or before in "_.-@"):
            found = _NAME.match(text, at + 1)
            role = found.group().rstrip("-_") if found else ""
            if is_role(role) and role not in roles:
                roles.append(role)
        before = char
    return roles


def session_key(user_id: str, role: str) -> str:
    """The key of a role's session."""
    return f"user:{user_id}:{role}"


def session_role(user_id: str, key: str) -> str | None:
    """The role in a session key of a user."""
    prefix = f"user:{user_id}:"
    return key[len(prefix) :] if key.startswith(prefix) else None


def check_session(user_id: str, key: str) -> str:
    """The role of a session key; refuses one that is not `user:{user_id}:{role}` of this user."""
    role = session_role(user_id, key)
    if role is None or not is_role(role) or not is_user_id(user_id):
        raise invalid("session_key", "must be user:{user_id}:{role} of the same user")
    return role
