"""Transactions: who writes is alone with its user's objects; events and audit entries come in order of commits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import ContractError
from ..jsonio import dumps, now
from .tables import events, metadata

#: The longest field of an event, in bytes of JSON. Longer ones are left out: a reader can get the object.
MAX_FIELD = 4_000
#: For how long events are kept.
EVENTS_KEPT = timedelta(hours=48)
#: The number of the advisory lock under which events get their numbers.
_ORDER_LOCK = 0x77_6F_6D_62_61_74


class Tx:
    """A write of one user's objects (or of the queue's). It commits when its block ends, or not at all."""

    def __init__(self, conn: Connection, is_postgres: bool) -> None:
        self.conn = conn
        self.is_postgres = is_postgres
        self.at: datetime = now()
        #: Whether it has committed events.
        self.told = False
        self._events: list[dict[str, Any]] = []
        self._last: list[Callable[[Tx], None]] = []

    def emit(self, user_id: str, kind: str, id_name: str, obj: dict[str, Any], role: str | None = None) -> None:
        """Tells of a change, in the transaction that makes it. With a role, agents of others do not hear of it."""
        data = {name: value for name, value in obj.items() if _is_short(value)}
        if "id" in data:
            data[id_name] = data["id"]
        data |= {"type": kind, "user_id": user_id}
        self._events.append({"user_id": user_id, "role": role, "kind": kind, "data": dumps(data), "created_at": self.at})

    def at_commit(self, work: Callable[[Tx], None]) -> None:
        """Does something right before the commit, while nobody else is there: what is numbered without gaps."""
        self._last.append(work)

    def lock_user(self, user_id: str) -> None:
        """Waits for other writes of this user's objects."""
        if self.is_postgres:
            self.conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"wombat:{user_id}", 0))))

    def lock_order(self) -> None:
        """Waits for the commits of others that number something. Nothing else is waited for afterwards."""
        if self.is_postgres:
            self.conn.execute(select(func.pg_advisory_xact_lock(_ORDER_LOCK)))

    def finish(self) -> bool:
        """Writes what comes last; whether there were events. Nothing is locked after this lock, so nobody waits in a ring."""
        if not self._events and not self._last:
            return False
        self.lock_order()
        for work in self._last:
            work(self)
        if self._events:
            self.conn.execute(insert(events), self._events)
        return bool(self._events)


def _is_short(value: Any) -> bool:
    if value is None or isinstance(value, (bool, int, float)):
        return True
    text = value if isinstance(value, str) else dumps(value)
    return len(text.encode("utf-8", "replace")) <= MAX_FIELD


class Storage:
    """A database with the contract's tables: PostgreSQL or SQLite."""

    def __init__(self, engine: Engine) -> None:
        if engine.dialect.name not in ("postgresql", "sqlite"):
            raise ValueError(f"the database must be PostgreSQL or SQLite, not {engine.dialect.name}")
        self.is_postgres = engine.dialect.name == "postgresql"
        # Whatever else the application's engine is set to: a statement after a lock sees what the lock waited for.
        self.engine = engine.execution_options(isolation_level="READ COMMITTED") if self.is_postgres else engine
        # SQLite has one writer; who waits in this process waits here, in turn.
        self._turn = threading.RLock()
        self._own = threading.local()
        self._changes = 0
        self._changed = threading.Condition()
        self._cleaned_at: datetime | None = None
        #: How many erasures this process has begun.
        self.erasures = 0
        self._newest, self._newest_seen, self._newest_at = 0, -1, 0.0
        self._newest_lock = threading.Lock()
        if not self.is_postgres:
            event.listen(engine, "connect", _prepare_sqlite)

    @classmethod
    def open(cls, url: str, **options: Any) -> Storage:
        """Opens a database by its address, such as `postgresql+psycopg://…` or `sqlite:///app.db`."""
        if url.startswith("sqlite"):
            options.setdefault("connect_args", {"timeout": 30, "check_same_thread": False})
        else:
            options.setdefault("pool_pre_ping", True)
            options.setdefault("pool_size", 20)
        return cls(create_engine(url, **options))

    def create_all(self) -> None:
        """Makes the tables that are missing: for tests and first steps. Applications use the Alembic migrations."""
        metadata.create_all(self.engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Reads; all statements see one state on SQLite, each the newest on PostgreSQL."""
        with _outages(), self.engine.connect() as conn:
            if not self.is_postgres:
                conn.exec_driver_sql("BEGIN")
            try:
                yield conn
            finally:
                conn.rollback()

    @contextmanager
    def write(self, user_id: str | None = None) -> Iterator[Tx]:
        """Writes: alone with the user's objects where one is named."""
        if getattr(self._own, "writes", False):
            # It would wait for the one around it, which waits for it.
            raise RuntimeError("a write within a write of the same thread: a tool writes by call.connection")
        self._own.writes = True
        told = False
        try:
            if self.is_postgres:
                with self._transaction(user_id) as tx:
                    yield tx
            else:
                with self._turn, self._transaction(user_id) as tx:
                    yield tx
            told = tx.told
        finally:
            self._own.writes = False
        if told:
            self.wake()
            self._clean()

    @contextmanager
    def _transaction(self, user_id: str | None) -> Iterator[Tx]:
        with _outages(), self.engine.connect() as conn:
            if not self.is_postgres:
                conn.exec_driver_sql("BEGIN IMMEDIATE")
            tx = Tx(conn, self.is_postgres)
            try:
                if user_id is not None:
                    tx.lock_user(user_id)
                    tx.at = now()
                yield tx
                told = tx.finish()
                conn.commit()
                tx.told = told
            except BaseException:
                conn.rollback()
                raise

    def wake(self) -> None:
        """Wakes whoever waits for events in this process."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    @property
    def changes(self) -> int:
        """Grows with each write of this process that made events."""
        return self._changes

    def wait(self, seen: int, seconds: float) -> int:
        """Waits until there is a change after `seen`, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, seconds)
            return self._changes

    def newest_event(self) -> int:
        """The number of the newest event; asked of the database twice a second at most, but after each write here."""
        with self._newest_lock:
            seen, at = self._changes, time.monotonic()
            if self._newest_seen != seen or at - self._newest_at >= 0.4:
                with self.read() as conn:
                    self._newest = conn.execute(select(func.coalesce(func.max(events.c.id), 0))).scalar_one()
                self._newest_seen, self._newest_at = seen, at
            return self._newest

    def _clean(self) -> None:
        """Deletes events that are no longer kept, now and then; never the newest, so that numbers are not reused."""
        at = now()
        if self._cleaned_at is not None and at - self._cleaned_at < timedelta(minutes=5):
            return
        self._cleaned_at = at
        newest = select(func.max(events.c.id)).scalar_subquery()
        with self.write() as tx:
            old = select(events.c.id).where(events.c.created_at < at - EVENTS_KEPT).order_by(events.c.id).limit(5_000)
            tx.conn.execute(delete(events).where(events.c.id.in_(old), events.c.id < newest))

    def ping(self) -> None:
        """Whether the database answers; 503 where it does not."""
        with self.read() as conn:
            conn.execute(text("SELECT 1"))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


@contextmanager
def _outages() -> Iterator[None]:
    """A database that is away or busy is a 503, which callers repeat."""
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise _unavailable() from error
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or ""
        # Serialization failure, deadlock, read-only, and the classes of lost connections and shutdowns.
        if error.connection_invalidated or code in ("40001", "40P01", "25006") or code[:2] in ("08", "53", "57"):
            raise _unavailable() from error
        raise


def _unavailable() -> ContractError:
    return ContractError(503, "unavailable", "the database does not answer at present; try again", retry_after=1)
