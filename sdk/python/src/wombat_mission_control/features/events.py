"""Events as they happen: server-sent events, which a client resumes by `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from ..api import Response, Routes
from ..call import Call
from ..errors import ContractError, invalid
from ..jsonio import dumps
from ..scope import Actor, Scope
from ..storage.tables import events
from . import deltas
from .erasing import erased_since
from .run_rows import need, scope_of_role

if TYPE_CHECKING:
    from ..core import MissionControl

routes = Routes("events_sse")

KEEP_ALIVE = 15.0
#: How often other processes' events are looked for.
LOOK_AGAIN = 0.5
#: How often a stream looks whether this process has written some.
TICK = 0.05
BATCH = 100
#: The most streams of one role of a user, or of one person, in this process.
MAX_STREAMS = 32

_open: Counter[str] = Counter()
_open_lock = threading.Lock()


@dataclass
class _Heard:
    """A run whose words are wanted, too."""

    seq: int
    run_key: str
    #: The last of its events that was sent.
    after: int


class Stream:
    """An open stream. It reads when its connection has room, so that a slow reader costs one batch of memory."""

    def __init__(
        self, mc: MissionControl, user_id: str | None, role: str | None, after: int, heard: _Heard | None
    ) -> None:
        self.mc = mc
        self.user_id = user_id
        #: The role that must not hear of what concerns only the user's others.
        self.role = role
        self.after = after
        self.heard = heard
        self.expires_at: float | None = None
        self.issued_at_ms: int | None = None
        self._looked_at = 0.0
        self._seen = -1
        self._spoke_at = time.monotonic()

    def is_over(self) -> bool:
        """Whether the token has ended, or the backend stops."""
        return self.mc.upkeep.is_stopping or (self.expires_at is not None and self.expires_at <= time.time())

    def is_due(self) -> bool:
        """Whether it is time to look for something new."""
        return self._seen != self.mc.storage.changes or time.monotonic() - self._looked_at >= LOOK_AGAIN

    def look(self) -> bytes | None:
        """What is new, or a comment where nothing was for long; nothing where there is nothing to say."""
        self._seen, self._looked_at = self.mc.storage.changes, time.monotonic()
        text = self._events() or self._deltas()
        if not text and time.monotonic() - self._spoke_at >= KEEP_ALIVE:
            text = ": keep-alive\n\n"
        if not text:
            return None
        self._spoke_at, self._seen = time.monotonic(), -1
        return text.encode()

    def _events(self) -> str:
        t = events.c
        newest = self.mc.storage.newest_event()
        if newest <= self.after:
            return ""
        query = select(t.id, t.kind, t.data).where(t.id > self.after, t.id <= newest)
        if self.user_id is not None:
            query = query.where(t.user_id == self.user_id)
        if self.role is not None:
            query = query.where(or_(t.role.is_(None), t.role == self.role))
        with self.mc.storage.read() as conn:
            if self.user_id is not None and self.issued_at_ms is not None:
                erased_since(conn, self.user_id, self.issued_at_ms)
            rows = conn.execute(query.order_by(t.id).limit(BATCH)).all()
        # Numbers come in the order of commits: nothing that is not there yet has a lower one.
        self.after = rows[-1].id if len(rows) == BATCH else newest
        return "".join(f"id: {row.id}\nevent: {row.kind}\ndata: {row.data}\n\n" for row in rows)

    def _deltas(self) -> str:
        if self.heard is None:
            return ""
        with self.mc.storage.read() as conn:
            told = deltas.read(conn, self.heard.seq, self.heard.after, 256)["events"]
        if not told:
            return ""
        self.heard.after = told[-1]["id"]
        data = {"run_key": self.heard.run_key, "events": told, "type": "run.delta", "user_id": self.user_id}
        return f"event: run.delta\ndata: {dumps(data)}\n\n"


async def _chunks(stream: Stream, place: str) -> AsyncIterator[bytes]:
    try:
        # Some clients count a stream as open once the first bytes arrive.
        yield b": connected\n\n"
        while not stream.is_over():
            if stream.is_due():
                try:
                    text = await asyncio.to_thread(stream.look)
                except ContractError:
                    # Who listens connects again, and resumes after the last event.
                    return
                if text is not None:
                    yield text
                    continue
            await asyncio.sleep(TICK)
    finally:
        _leave(place)


def _join(place: str) -> None:
    with _open_lock:
        if _open[place] >= MAX_STREAMS:
            text = f"{MAX_STREAMS} event streams of this role are open; close one"
            raise ContractError(429, "too_many_streams", text)
        _open[place] += 1


def _leave(place: str) -> None:
    with _open_lock:
        _open[place] -= 1
        if _open[place] <= 0:
            del _open[place]


def _start(call: Call) -> int:
    """The event after which the stream begins."""
    newest = call.mc.storage.newest_event()
    seen = (call.request.headers.get("last-event-id") or "").strip()
    if not seen:
        return newest
    if not re.fullmatch(r"[0-9]{1,18}", seen):
        raise invalid("Last-Event-ID", "is not an id of an event")
    # A larger number than the newest is another database's: begin with what comes next.
    return min(int(seen), newest)


def _hear(call: Call, scope: Scope | None) -> _Heard | None:
    run_key = call.query.text("run_key")
    if run_key is None:
        return None
    if scope is None:
        raise invalid("run_key", "needs a user: send X-On-Behalf-Of beside the internal token")
    with call.mc.storage.read() as conn:
        row = need(conn, scope_of_role(scope, call.query), run_key)
        return _Heard(row.seq, run_key, deltas.last_id(conn, row.seq))


@routes.add("GET", "/events")
def listen(call: Call) -> Response:
    """The changes of a user's objects; for a service those of all users' objects."""
    scope: Scope | None = None
    expires_at: float | None = None
    if "x-internal-token" in call.request.headers:
        service = call.service()
        if service.on_behalf_of is not None:
            scope = Scope(service.on_behalf_of, Actor("person", service.on_behalf_of))
        place = f"person {service.on_behalf_of}" if scope else "services"
    elif call.is_nobodys():
        scope, place = Scope("wombat", Actor("agent", "wombat", "system"), "system"), "agent wombat:system"
    else:
        agent = call.agent()
        scope, expires_at, place = agent.scope(), agent.expires_at, f"agent {agent.user_id}:{agent.role}"
    heard = _hear(call, scope)
    stream = Stream(
        call.mc, scope.user_id if scope else None, scope.role if scope else None, _start(call), heard
    )
    if expires_at is not None and scope is not None:
        stream.expires_at, stream.issued_at_ms = expires_at, scope.issued_at_ms
    _join(place)
    headers = {"content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"}
    return Response(200, headers, stream=_Chunks(stream, place))


class _Chunks:
    """The bytes of a stream: for servers that wait without a thread, and for those with one for each stream."""

    def __init__(self, stream: Stream, place: str) -> None:
        self.stream, self.place = stream, place

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _chunks(self.stream, self.place)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield b": connected\n\n"
            while not self.stream.is_over():
                try:
                    text = self.stream.look()
                except ContractError:
                    return
                if text is not None:
                    yield text
                else:
                    self.stream.mc.storage.wait(self.stream.mc.storage.changes, LOOK_AGAIN)
        finally:
            _leave(self.place)

