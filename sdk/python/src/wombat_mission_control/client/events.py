"""The events of a run's stream, each with a type of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..jsonio import Object, loads
from .model import DaemonError, RunAnswer, answer_of, error_of


@dataclass(frozen=True)
class Started:
    """The run has begun."""

    run_key: str
    task_id: str
    raw: Object


@dataclass(frozen=True)
class Chunk:
    """More text of the turn `step`."""

    text: str
    step: int | None


@dataclass(frozen=True)
class Restarted:
    """Text of the turn `step` counts no more from character `start` on; the chunks that follow replace it."""

    step: int | None
    start: int
    reason: str


@dataclass(frozen=True)
class ToolCalled:
    """The agent calls a tool."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True)
class ToolReturned:
    """A tool has answered."""

    id: str
    name: str
    ok: bool
    duration_ms: int
    error: str | None


@dataclass(frozen=True)
class Done:
    """The run is over, or waits for a person (`answer.is_waiting`): the last event."""

    answer: RunAnswer


@dataclass(frozen=True)
class Failed:
    """The run has failed: the last event."""

    error: DaemonError


@dataclass(frozen=True)
class Other:
    """An event that this version does not know."""

    type: str
    raw: Object


Event = Started | Chunk | Restarted | ToolCalled | ToolReturned | Done | Failed | Other


def event_of(kind: str, raw: Object) -> Event:
    """Reads an event."""
    if kind == "start":
        return Started(str(raw.get("run_key") or ""), str(raw.get("task_id") or ""), raw)
    if kind == "chunk":
        return Chunk(str(raw.get("data") or ""), raw.get("step"))
    if kind == "restarted":
        return Restarted(raw.get("step"), int(raw.get("from") or 0), str(raw.get("reason") or ""))
    if kind == "tool_call":
        return ToolCalled(str(raw.get("id") or ""), str(raw.get("name") or ""), raw.get("arguments"))
    if kind == "tool_result":
        return ToolReturned(
            str(raw.get("id") or ""), str(raw.get("name") or ""), bool(raw.get("ok")), int(raw.get("duration_ms") or 0),
            raw.get("error"),
        )
    if kind == "done":
        return Done(answer_of(raw))
    if kind == "error":
        return Failed(error_of(int(raw.get("status") or 500), raw))
    return Other(kind, raw)


class Parser:
    """Reads server-sent events as their bytes arrive, and remembers the last id."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        #: Whether the last event has come.
        self.is_over = False
        self.reset()

    def reset(self) -> None:
        """Forgets what of an event has come: the stream is opened anew."""
        self._left = b""
        self._id: str | None = None
        self._kind = ""
        self._data: list[str] = []

    def feed(self, more: bytes) -> list[Event]:
        """Takes what comes next; the events that are complete with it."""
        *lines, self._left = (self._left + more).split(b"\n")
        events = [self.line(line.removesuffix(b"\r").decode("utf-8", "replace")) for line in lines]
        return [event for event in events if event is not None]

    def line(self, line: str) -> Event | None:
        """Takes a line; the event that it ends, if any."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id" and "\0" not in value:
                self._id = value
            elif name == "event":
                self._kind = value
            elif name == "data":
                self._data.append(value)
            return None
        kind, data = self._kind, "\n".join(self._data)
        self._kind, self._data = "", []
        # An event counts as read once it is whole.
        self.last_id = self.last_id if self._id is None else self._id
        if not data:
            return None
        raw = loads(data)
        event = event_of(kind or str(raw.get("type", "")), raw)
        self.is_over = isinstance(event, (Done, Failed))
        return event


def text_of(events: Iterable[Event]) -> str:
    """The text that a stream has shown, with what was replaced replaced."""
    turns: dict[int | None, str] = {}
    for event in events:
        if isinstance(event, Chunk):
            turns[event.step] = turns.get(event.step, "") + event.text
        elif isinstance(event, Restarted):
            turns[event.step] = turns.get(event.step, "")[: event.start]
    return "".join(turns.values())
