"""The client and the library with the real daemon: a tool of the application, an approval, a question, a detached run."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from wombat_mission_control.client import Approvals, Chunk, Daemon, Done, SendRequest, Started, ToolReturned
from wombat_mission_control.client.events import text_of

from .conftest import INTERNAL, SECRET, Server, free_port

KEY = "the-key-of-the-daemon-in-tests"
SCRIPT = """
rules:
  - when: {tool: greet, result: "Zora"}
    say: "Zora is greeted."
  - when: {tool: greet}
    say: "It says: {result.greeting}."
  - when: {tool: ask_user}
    say: "So it is {result.answer}."
  - when: {user: "greet (\\\\w+)"}
    call: [{name: greet, arguments: {name: "{1}"}}]
  - when: {user: "which"}
    call: [{name: ask_user, arguments: {question: "Which colour?", options: [Red, Blue]}}]
  - say: "Hello."
"""
ROLES = """{"agents": [
  {"role": "scout", "tools": {"enable": ["ask_user"]}},
  {"role": "careful", "tools": {"approval": ["greet"]}}
]}"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    program = os.environ.get("WOMBAT_MISSION_CONTROL")
    if not program:
        pytest.skip("WOMBAT_MISSION_CONTROL names no program beside which the daemon is")
    folder, port = tmp_path_factory.mktemp("daemon"), free_port()
    (folder / "config").mkdir()
    (folder / "workspace").mkdir()
    (folder / "config" / "agent-config.json").write_text(ROLES)
    (folder / "workspace" / "SOUL.md").write_text("You are helpful.\n")
    (folder / "script.yaml").write_text(SCRIPT)
    server = Server("fastapi_app", f"sqlite:///{folder}/a.db")
    env = os.environ | {
        "AGENT_JWT_SECRET": SECRET, "INTERNAL_API_TOKEN": INTERNAL, "AGENT_DAEMON_API_KEY": KEY, "BACKEND_URL": server.url,
        "WOMBAT_PORT": str(port), "LLM_PROVIDER": "offline", "LLM_OFFLINE_SCRIPT": str(folder / "script.yaml"),
        "WOMBAT_WORKSPACE": str(folder / "workspace"), "RUST_LOG": "warn",
    }
    daemon = subprocess.Popen([Path(program).parent / "wombat-daemon"], env=env, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.ConnectError:
                assert daemon.poll() is None
            time.sleep(0.1)
        yield server, url
    finally:
        daemon.terminate()
        daemon.wait(20)
        server.stop()


def ask(message: str, role: str = "scout", **more: object) -> SendRequest:
    return SendRequest("ann", role, message, task_title=message, **more)  # type: ignore[arg-type]


def test_a_stream_and_its_repetition(world: tuple[Server, str]) -> None:
    with Daemon(world[1], KEY) as daemon:
        events = list(daemon.stream(ask("greet Bob", idempotency_key="k")))
        assert isinstance(events[0], Started) and isinstance(events[-1], Done)
        assert any(isinstance(event, ToolReturned) and event.name == "greet" and event.ok for event in events)
        assert any(isinstance(event, Chunk) for event in events)
        assert text_of(events) == "It says: Hello Bob, says ann."
        again = daemon.send(ask("greet Bob", idempotency_key="k"))
        assert again.raw["replayed"] and again.message_id == events[-1].answer.message_id


def test_a_detached_run_is_followed(world: tuple[Server, str]) -> None:
    with Daemon(world[1], KEY) as daemon:
        run_key = daemon.start(ask("greet Eve"))
        first = list(daemon.follow(run_key, "ann", "scout"))
        assert text_of(first) == text_of(daemon.follow(run_key, "ann", "scout")) == "It says: Hello Eve, says ann."
        status = daemon.run(run_key, "ann", "scout")
        assert status.status == "completed" and status.answer is not None


def test_a_question_is_answered_and_a_call_approved(world: tuple[Server, str]) -> None:
    server, url = world
    with Daemon(url, KEY) as daemon:
        waits = daemon.send(ask("which one"))
        assert waits.is_waiting and waits.tool_requests[0].options == ["Red", "Blue"] and waits.run_key
        resumed = daemon.resume("ann", "scout", waits.run_key, {waits.tool_requests[0].id: "blue"})
        assert resumed.response == "So it is Blue."
        waits = daemon.send(ask("greet Zoe", "careful"))
        assert waits.status == "awaiting_approval" and waits.run_key
        approvals = Approvals(server.url, INTERNAL, "ann")
        (request,) = approvals.pending()
        assert (request.id, request.arguments) == (waits.tool_requests[0].id, {"name": "Zoe"})
        approvals.approve(request.id, arguments={"name": "Zora"})
        assert daemon.resume("ann", "careful", waits.run_key).response == "Zora is greeted."
