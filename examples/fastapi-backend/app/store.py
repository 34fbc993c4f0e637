"""Where everything is kept: SQLite here, your own database there."""

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from fastapi import HTTPException

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, user_id TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_of_user ON objects (user_id, kind, seq);
CREATE TABLE IF NOT EXISTS idempotency (
    user_id TEXT NOT NULL, endpoint TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL,
    response TEXT NOT NULL, PRIMARY KEY (user_id, endpoint, key));
"""


def now() -> str:
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


def canonical(value: Any) -> str:
    """Bodies are compared as JSON values, not as bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Conflict(Exception):
    """One key, two bodies."""

    def __init__(self, original: dict[str, Any]) -> None:
        self.original = original


class Store:
    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
        # One connection, and so one at a time. A create looks things up while it holds it.
        self.lock = threading.RLock()

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def create(
        self, user_id: str, kind: str, request: dict[str, Any], make: Callable[[], dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Makes an object once for each key; says whether it was there before."""
        key = request.pop("idempotency_key", None)
        asked = canonical(request)
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                answer, replayed = self._create(user_id, kind, key, asked, make)
                self.db.execute("COMMIT")
                return answer, replayed
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def _create(
        self,
        user_id: str,
        kind: str,
        key: str | None,
        asked: str,
        make: Callable[[], dict[str, Any]],
    ) -> tuple[dict[str, Any], bool]:
        if key is not None:
            row = self.db.execute(
                "SELECT request, response FROM idempotency"
                " WHERE user_id = ? AND endpoint = ? AND key = ?",
                (user_id, kind, key),
            ).fetchone()
            if row is not None:
                original = json.loads(row[1])
                if row[0] != asked:
                    raise Conflict(original)
                return original, True
        at = now()
        made = {"id": str(uuid.uuid4()), **make(), "created_at": at, "updated_at": at}
        body = canonical(made)
        self.db.execute(
            "INSERT INTO objects (id, kind, user_id, body) VALUES (?, ?, ?, ?)",
            (made["id"], kind, user_id, body),
        )
        if key is not None:
            self.db.execute(
                "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)",
                (user_id, kind, key, asked, body),
            )
        return made, False

    def get(self, user_id: str, kind: str, id: str) -> dict[str, Any]:
        """Another user's object is not there, as if it did not exist."""
        rows = self.rows(
            "SELECT body FROM objects WHERE id = ? AND kind = ? AND user_id = ?",
            (id, kind, user_id),
        )
        if not rows:
            raise HTTPException(404, f"there is no such {kind}")
        return json.loads(rows[0][0])

    def page(
        self,
        user_id: str,
        kind: str,
        limit: int,
        cursor: str | None,
        where: dict[str, str | None],
        newest_first: bool = False,
    ) -> dict[str, Any]:
        """A page of objects whose fields are as `where` says."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise HTTPException(400, "the cursor is not one of ours")
        after = int(cursor) if cursor is not None else None
        sql = "SELECT seq, body FROM objects WHERE user_id = ? AND kind = ?"
        values: list[Any] = [user_id, kind]
        for field, value in where.items():
            if value is not None:
                sql += f" AND json_extract(body, '$.{field}') = ?"
                values.append(value)
        if after is not None:
            sql += f" AND seq {'<' if newest_first else '>'} ?"
            values.append(after)
        sql += f" ORDER BY seq {'DESC' if newest_first else ''} LIMIT ?"
        rows = self.rows(sql, (*values, limit + 1))
        page = rows[:limit]
        answer: dict[str, Any] = {"items": [json.loads(body) for _, body in page]}
        if newest_first:
            answer["items"].reverse()
        if len(rows) > limit:
            answer["next_cursor"] = str(page[-1][0])
        return answer

    def by_key(self, user_id: str, kind: str, key: str) -> list[dict[str, Any]]:
        """What was made under a key: nothing, or one object."""
        rows = self.rows(
            "SELECT response FROM idempotency WHERE user_id = ? AND endpoint = ? AND key = ?",
            (user_id, kind, key),
        )
        return [json.loads(row[0]) for row in rows]


store = Store(os.environ.get("DATABASE", "example.db"))
