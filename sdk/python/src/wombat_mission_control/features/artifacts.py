"""Long results of tools, whole: kept with their run until they expire."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, func, insert, select, tuple_, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, invalid
from ..jsonio import Object, now, stamp
from ..mediatypes import parse_media_type
from ..settings import MAX_UPLOAD
from ..storage.engine import Tx
from ..storage.tables import run_artifacts
from .run_rows import check_key, find, need, scope_of_role

if TYPE_CHECKING:
    from ..core import MissionControl

routes = Routes("artifacts")

#: As how many bytes a small one counts: what is known of it takes room, too.
LEAST = 1024
#: How many are deleted at a time, so that other writes do not wait long.
AT_A_TIME = 50

_INERT = {
    "content-disposition": "attachment", "x-content-type-options": "nosniff", "content-security-policy": "sandbox",
    "cache-control": "private, no-store",
}


def _hash_of(call: Call) -> str:
    sha256 = call.params["sha256"]
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise invalid("sha256", "must be 64 hexadecimal digits in lower case")
    return sha256


def _media_type(call: Call) -> str:
    declared = call.request.headers.get("content-type")
    if declared is None:
        return "text/plain"
    kind = parse_media_type(declared)
    if kind is None:
        raise invalid("Content-Type", "must be a media type, such as text/plain")
    return kind


def _text(call: Call, sha256: str) -> str:
    """The body: text whose hash is the one in the path."""
    data, most = call.request.body, call.mc.settings.artifact_max_bytes
    if len(data) > most:
        text = f"the result is larger than is kept, {most} bytes"
        raise ContractError(413, "artifact_too_large", text, {"max_bytes": most})
    if hashlib.sha256(data).hexdigest() != sha256:
        raise invalid("sha256", "is not that of the body")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError:
        content = "\0"
    if "\0" in content:
        raise invalid("body", "must be UTF-8 without NUL")
    return content


def _check_room(tx: Tx, user_id: str, size: int, quota: int) -> None:
    t = run_artifacts.c
    counted = case((t.size < LEAST, LEAST), else_=t.size)
    query = select(func.coalesce(func.sum(counted), 0)).where(t.user_id == user_id, t.expires_at > tx.at)
    used = int(tx.conn.execute(query).scalar_one())
    if used + max(size, LEAST) > quota:
        text = f"the user's long results have {used} bytes by now, and may have {quota} with this one"
        raise ContractError(413, "quota_exceeded", text, {"quota_bytes": quota, "used_bytes": used})


@routes.add("PUT", "/runs/{run_key}/artifacts/{sha256}", MAX_UPLOAD)
def put(call: Call) -> Response:
    """Keeps a long result of a run. One that is there is kept anew from now on."""
    scope, run_key, sha256 = call.write_scope(), check_key(call.params["run_key"]), _hash_of(call)
    if call.request.headers.get("content-encoding") not in (None, "", "identity"):
        raise ContractError(415, "unsupported_media_type", "the body must not be compressed: leave Content-Encoding out")
    kind, scope, settings = _media_type(call), scope_of_role(scope, call.query), call.mc.settings
    content, size, t = _text(call, sha256), len(call.request.body), run_artifacts.c
    with call.mc.write(scope) as tx:
        run = need(tx.conn, scope, run_key)
        expires_at = tx.at + timedelta(seconds=settings.artifact_ttl_secs)
        answer: Object = {"sha256": sha256, "size": size, "expires_at": stamp(expires_at)}
        this = (t.run_seq == run.seq) & (t.sha256 == sha256)
        there = update(run_artifacts).where(this, t.expires_at > tx.at).values(expires_at=expires_at)
        if tx.conn.execute(there).rowcount:
            return json_response(answer)
        _check_room(tx, scope.user_id, size, settings.artifact_quota_bytes)
        # One that has expired may not have been deleted yet.
        tx.conn.execute(delete(run_artifacts).where(this))
        tx.conn.execute(
            insert(run_artifacts).values(
                run_seq=run.seq, user_id=scope.user_id, sha256=sha256, size=size, media_type=kind, content=content,
                created_at=tx.at, expires_at=expires_at,
            )
        )
    return json_response(answer, 201)


@routes.add("GET", "/runs/{run_key}/artifacts/{sha256}")
def get(call: Call) -> Response:
    """A long result, to be saved and never shown."""
    scope, sha256, t = call.read_scope(), _hash_of(call), run_artifacts.c
    scope = scope_of_role(scope, call.query)
    with call.mc.storage.read() as conn:
        run = find(conn, scope, call.params["run_key"])
        kept = select(t.media_type, t.content).where(t.sha256 == sha256, t.expires_at > now())
        row = None if run is None else conn.execute(kept.where(t.run_seq == run.seq)).first()
    if row is None:
        raise ContractError(404, "artifact_not_found", "there is no such result, or it has expired")
    return Response(200, {"content-type": row.media_type} | _INERT, row.content.encode())


def delete_expired(mc: MissionControl) -> None:
    """Deletes long results that have expired."""
    t = run_artifacts.c
    while True:
        with mc.storage.write() as tx:
            is_old = t.expires_at <= tx.at
            some = select(t.run_seq, t.sha256).where(is_old).limit(AT_A_TIME)
            # The time is looked at again for one that is put anew at this moment.
            gone = delete(run_artifacts).where(tuple_(t.run_seq, t.sha256).in_(some), is_old)
            many = tx.conn.execute(gone).rowcount
        if many < AT_A_TIME:
            return
