"""Files of users: what people and agents attach to messages."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, delete, insert, or_, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, invalid
from ..jsonio import Object, new_id, now
from ..mediatypes import media_type_of, parse_media_type
from ..scope import Actor
from ..settings import MAX_UPLOAD
from ..storage.engine import Tx
from ..storage.tables import files
from .audit import Act, record

routes = Routes("files")

#: For how long a file is kept that no message names.
UNREFERENCED = timedelta(hours=24)
#: As how many bytes a small file counts: what is known of it takes room, too.
LEAST = 4 * 1024
MOST_FILES = 256 * 1024

_INERT = {
    "x-content-type-options": "nosniff", "content-security-policy": "sandbox", "cache-control": "private, no-store",
}
_KNOWN = [column for column in files.c if column.name != "bytes"]


def _file(row: Any) -> Object:
    return {
        "file_id": row.id, "name": row.name, "media_type": row.media_type, "size": row.size, "sha256": row.sha256,
    }


def _unknown(file_id: str) -> ContractError:
    return ContractError(404, "file_not_found", f"there is no file {file_id!r}", {"file_id": file_id})


def _find(conn: Connection, user_id: str, file_id: str, columns: Sequence[Any] = _KNOWN) -> Any:
    t = files.c
    kept = or_(t.is_attached, t.put_at > now() - UNREFERENCED)
    row = conn.execute(select(*columns).where(t.id == file_id, t.user_id == user_id, kept)).first()
    if row is None:
        raise _unknown(file_id)
    return row


def attach(tx: Tx, user_id: str, named: Sequence[Any]) -> list[Object]:
    """The files that a new message names, each once, which are kept from now on."""
    attached: dict[str, Object] = {}
    for one in named:
        file_id = one.get("file_id") if isinstance(one, dict) else None
        if not isinstance(file_id, str):
            raise invalid("attachments", "must be objects with a file_id")
        if file_id not in attached:
            row = _find(tx.conn, user_id, file_id)
            tx.conn.execute(update(files).where(files.c.seq == row.seq).values(is_attached=True, put_at=tx.at))
            attached[file_id] = _file(row)
    return list(attached.values())


def forget_gone(tx: Tx, user_id: str) -> None:
    """Deletes a user's files that no message names."""
    t = files.c
    gone = tx.conn.execute(
        delete(files)
        .where(t.user_id == user_id, ~t.is_attached, t.put_at <= tx.at - UNREFERENCED)
        .returning(t.id, t.size)
    ).all()
    for row in gone:
        act = Act("file.deleted", user_id, ("file", row.id), {"size": row.size, "unreferenced": True})
        record(tx, Actor("system"), act)


def _check_name(name: str) -> str:
    if not name or len(name.encode()) > 255:
        raise invalid("name", "must have 1 to 255 bytes")
    if re.search(r"[/\\\x00-\x1f\x7f-\x9f]", name):
        raise invalid("name", "must not hold /, \\ or a control character")
    return name


def _used(conn: Connection, user_id: str, least: int) -> int:
    # What is there counts as a small file at least.
    sizes = conn.execute(select(files.c.size).where(files.c.user_id == user_id)).scalars()
    return sum(max(size, least) for size in sizes)


@routes.add("PUT", "/files", MAX_UPLOAD)
def put_file(call: Call) -> Response:
    """Keeps a file: one with equal bytes, name and type that is there already, or this one."""
    scope, name = call.write_scope(), _check_name(call.query.need("name"))
    headers, settings = call.request.headers, call.mc.settings
    if headers.get("content-encoding") not in (None, "", "identity"):
        raise ContractError(415, "unsupported_media_type", "the body must not be compressed: leave Content-Encoding out")
    declared = headers.get("content-type")
    if declared is not None and parse_media_type(declared) is None:
        raise invalid("Content-Type", "must be a media type, such as text/csv")
    data = call.request.body
    if len(data) > settings.file_max_bytes:
        details = {"max_bytes": settings.file_max_bytes}
        raise ContractError(413, "file_too_large", f"a file has at most {settings.file_max_bytes} bytes", details)
    kind, digest = media_type_of(declared, name, data), hashlib.sha256(data).hexdigest()
    t, quota = files.c, settings.file_quota_bytes
    with call.mc.write(scope) as tx:
        forget_gone(tx, scope.user_id)
        equal = (t.user_id == scope.user_id) & (t.sha256 == digest) & (t.name == name) & (t.media_type == kind)
        known = tx.conn.execute(update(files).where(equal).values(put_at=tx.at).returning(*_KNOWN)).first()
        if known is not None:
            return json_response(_file(known))
        least = min(max(quota // MOST_FILES, 1), LEAST)
        used = _used(tx.conn, scope.user_id, least)
        if used + max(len(data), least) > quota:
            details = {"quota_bytes": quota, "used_bytes": used}
            raise ContractError(413, "quota_exceeded", "the user's files have no room for it", details)
        row = tx.conn.execute(
            insert(files)
            .values(
                id=new_id(), user_id=scope.user_id, name=name, media_type=kind, size=len(data), sha256=digest,
                bytes=data, put_at=tx.at,
            )
            .returning(*_KNOWN)
        ).one()
        record(tx, scope.actor, Act("file.stored", scope.user_id, ("file", row.id), {"size": row.size}))
    return json_response(_file(row), 201)


def _disposition(name: str) -> str:
    """`attachment` with the file's name (RFC 6266): in ASCII, and as it is."""
    # Whoever saves the file sees its name as it is: nothing turns it round, and nothing in it is unseen.
    shown = "".join(char for char in name if unicodedata.category(char) not in ("Cf", "Cc", "Zl", "Zp")) or "file"
    plain = "".join(char if " " <= char <= "~" and char not in '"%\\' else "_" for char in shown)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='!#$&+-.^_`|~')}"


@routes.add("GET", "/files/{id}")
def get_file(call: Call) -> Response:
    """A file to be saved, never shown; or what is known of it."""
    scope, meta = call.read_scope(), call.query.flag("meta", False)
    columns = _KNOWN if meta else list(files.c)
    with call.mc.storage.read() as conn:
        row = _find(conn, scope.user_id, call.params["id"], columns)
    if meta:
        return json_response(_file(row))
    headers = {"content-type": row.media_type, "content-disposition": _disposition(row.name)} | _INERT
    return Response(200, headers, bytes(row.bytes))


@routes.add("DELETE", "/files/{id}")
def delete_file(call: Call) -> Response:
    """Deletes a file. Messages that name it keep what they tell of it."""
    scope, t = call.person().scope(call.trace_id), files.c
    with call.mc.write(scope) as tx:
        row = _find(tx.conn, scope.user_id, call.params["id"])
        tx.conn.execute(delete(files).where(t.seq == row.seq))
        record(tx, scope.actor, Act("file.deleted", scope.user_id, ("file", row.id), {"size": row.size}))
    return Response(204)


def users_of_gone(conn: Connection) -> list[str]:
    """Whose files have been there for long without a message that names them."""
    t = files.c
    query = select(t.user_id).distinct().where(~t.is_attached, t.put_at <= now() - UNREFERENCED).limit(100)
    return list(conn.execute(query).scalars())


