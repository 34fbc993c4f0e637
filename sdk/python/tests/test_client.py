"""The client, against a daemon that breaks off its streams."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from wombat_mission_control import MissionControl, Settings, any_user
from wombat_mission_control.client import (
    Approvals, AsyncDaemon, Chunk, Daemon, DaemonError, Done, Event, Failed, Restarted, SendRequest, Started, ToolCalled,
)
from wombat_mission_control.client.events import Parser, text_of

from .conftest import INTERNAL, SECRET, Server
from .test_queue import call
from .tokens import token

#: All events of a run, with a separator of lines in its text that is none of the stream's.
TOLD: list[tuple[int | None, str, Any]] = [
    (0, "start", {"run_key": "k", "task_id": "t"}), (1, "chunk", {"data": "Hel\u2028", "step": 0}),
    (2, "restarted", {"step": 0, "from": 3, "reason": "resumed"}), (3, "chunk", {"data": "lo ü", "step": 0}),
    (4, "tool_call", {"id": "c", "name": "greet", "arguments": {"a": 1}}),
    (None, "done", {"status": "ok", "response": "Hello ü", "run_key": "k"}),
]


class FakeDaemon(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    opened: list[str | None] = []

    def log_message(self, *_arguments: Any) -> None:
        pass

    def _json(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["x-agent-daemon-key"] != "key":
            self._json(401, {"error": "no key", "code": "missing_daemon_key"})
        elif self.path == "/api/agents/runs":
            self._json(202, {"run_key": "k", "task_id": "t", "status": "queued"})
        elif self.path == "/api/agents/stream":
            self._stream(TOLD)
        elif body.get("resume_run_key"):
            self._json(200, {"status": "ok", "response": str(body["answers"]), "run_key": "k"})
        else:
            waiting = {"id": "q", "kind": "question", "tool": "ask", "arguments": {}, "question": "Which?"}
            self._json(200, {"status": "awaiting_answer", "run_key": "k", "tool_requests": [waiting]})

    def do_GET(self) -> None:
        if not self.path.endswith("/stream"):
            failed = {"status": 503, "error": "away", "code": "llm_unavailable", "details": None}
            self._json(200, {"run_key": "k", "status": "failed", "error": failed})
            return
        assert self.headers["x-wombat-session"] == "user:ann:scout"
        after = self.headers["last-event-id"]
        self.opened.append(after)
        rest = [one for one in TOLD if after is None or one[0] is None or one[0] > int(after)]
        # Two events at a time, and half of a third: then the connection is gone.
        self._stream(rest if len(rest) <= 3 else rest[:3], cut=len(rest) > 3)

    def _stream(self, events: list[tuple[int | None, str, Any]], cut: bool = False) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        text = ""
        for number, kind, data in events:
            text += "" if number is None else f"id: {number}\r\n"
            text += f"event: {kind}\r\ndata: {json.dumps(data | {'type': kind}, ensure_ascii=False)}\r\n\r\n"
        data = text.encode()
        self.wfile.write(data[:-20] if cut else data)
        self.close_connection = True


@pytest.fixture
def url() -> Iterator[str]:
    FakeDaemon.opened = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeDaemon)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def check(events: list[Event]) -> None:
    assert isinstance(events[0], Started) and events[0].run_key == "k"
    assert events[1:4] == [Chunk("Hel\u2028", 0), Restarted(0, 3, "resumed"), Chunk("lo ü", 0)]
    assert events[4] == ToolCalled("c", "greet", {"a": 1})
    assert isinstance(events[5], Done) and events[5].answer.response == "Hello ü"
    assert len(events) == 6 and text_of(events) == "Hello ü"


def test_a_stream_has_typed_events(url: str) -> None:
    with Daemon(url, "key") as daemon:
        check(list(daemon.stream(SendRequest("ann", "scout", "hello"))))


def test_a_stream_that_breaks_off_goes_on_where_it_was(url: str) -> None:
    with Daemon(url, "key") as daemon:
        check(list(daemon.stream(SendRequest("ann", "scout", "hello", detached=True))))
    assert FakeDaemon.opened == [None, "1", "3"]


def test_the_same_with_an_event_loop(url: str) -> None:
    async def run() -> list[Event]:
        async with AsyncDaemon(url, "key") as daemon:
            assert (await daemon.send(SendRequest("ann", "scout", "hello"))).is_waiting
            assert (await daemon.resume("ann", "scout", "k", {"q": 1})).response == "{'q': 1}"
            return [event async for event in daemon.follow("k", "ann", "scout")]

    check(asyncio.run(run()))
    assert FakeDaemon.opened == [None, "1", "3"]


def test_questions_are_answered_and_errors_have_codes(url: str) -> None:
    with Daemon(url, "key") as daemon:
        waits = daemon.send(SendRequest("ann", "scout", "hello"))
        assert waits.is_waiting and waits.tool_requests[0].question == "Which?"
        assert daemon.resume("ann", "scout", "k", {"q": "red"}).response == "{'q': 'red'}"
        status = daemon.run("k", "ann", "scout")
        assert status.error is not None and (status.error.code, status.error.is_temporary) == ("llm_unavailable", True)
    with Daemon(url) as daemon, pytest.raises(DaemonError) as refused:
        daemon.send(SendRequest("ann", "scout", "hello"))
    assert (refused.value.status, refused.value.code) == (401, "missing_daemon_key")
    with Daemon("http://127.0.0.1:9") as daemon, pytest.raises(DaemonError, match="cannot be reached"):
        daemon.agents()


def test_an_event_may_come_in_pieces() -> None:
    parser, events = Parser(), []
    for byte in 'id: 7\nevent: error\ndata: {"error": "ü", "code": "c"}\n\n: comment\n\n'.encode():
        events += parser.feed(bytes([byte]))
    assert len(events) == 1 and isinstance(events[0], Failed) and events[0].error.error == "ü"
    assert (parser.last_id, parser.is_over) == ("7", True)


def _request(mc: MissionControl, key: str) -> str:
    task = call(mc, "POST", "/tasks", {"title": "t"}, x_agent_token=token())[1]["id"]
    body = {
        "task_id": task, "run_key": "r", "session_key": "user:ann:scout", "tool": "pay", "arguments": {"sum": 1},
        "idempotency_key": key,
    }
    return str(call(mc, "POST", "/tool-requests", body, x_agent_token=token())[1]["id"])


def test_a_person_decides_at_the_applications_own_pages_and_over_http(database: str) -> None:
    mc = MissionControl(database, Settings(SECRET, internal_token=INTERNAL), any_user)
    mc.storage.create_all()
    person, first, second = mc.person("ann"), _request(mc, "a"), _request(mc, "b")
    assert [one["id"] for one in person.pending()] == [first, second]
    assert person.approve(first, "fine", {"sum": 2})["edited"] == {"arguments": {"sum": 2}}
    assert mc.person("bob").pending() == []
    server = Server("fastapi_app", database)
    try:
        approvals = Approvals(server.url, INTERNAL, "ann")
        assert [one.tool for one in approvals.pending()] == ["pay"]
        assert approvals.deny(second).status == "denied"
        # The same decision again is answered as before.
        assert approvals.deny(second).status == "denied"
        with pytest.raises(DaemonError) as refused:
            approvals.approve(second)
        assert refused.value.code == "already_decided"
    finally:
        server.stop()
