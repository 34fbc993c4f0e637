"""Who calls: people log in by e-mail and password, and get a bearer token for an hour."""

import hashlib
import os
import secrets
import time
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .db import Db, User

SESSION_SECRET = os.environ["SESSION_SECRET"]
bearer = HTTPBearer(auto_error=False)


def hash_password(password: str, salt: str | None = None) -> str:
    salt = salt or secrets.token_hex(16)
    digest = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
    return f"{salt}${digest.hex()}"


def is_password(password: str, stored: str) -> bool:
    return secrets.compare_digest(hash_password(password, stored.split("$")[0]), stored)


def session_token(user: User) -> str:
    claims = {"sub": str(user.id), "exp": int(time.time()) + 3600}
    return jwt.encode(claims, SESSION_SECRET, algorithm="HS256")


def session_claims(credentials: HTTPAuthorizationCredentials | None) -> dict:
    if credentials is None:
        raise jwt.InvalidTokenError("Not authenticated")
    return jwt.decode(credentials.credentials, SESSION_SECRET, algorithms=["HS256"])


def current_user(
    db: Db,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> User:
    try:
        user_id = int(session_claims(credentials)["sub"])
    except (jwt.InvalidTokenError, ValueError) as error:
        raise HTTPException(401, str(error)) from None
    user = db.get(User, user_id)
    if user is None:
        raise HTTPException(401, "Unknown user")
    return user


Me = Annotated[User, Depends(current_user)]
