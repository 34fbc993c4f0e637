"""Notifications are delivered by the real daemon and dispatchers, while programs are killed at random.

    python -m tests.trial --programs ../../target/debug --database sqlite:////tmp/trial.db --notifications 2000

Each notification has one reply in the end, each session's in their order, and there is no dead letter.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from .conftest import INTERNAL, ROOT, SECRET, free_port, settings

SCRIPT = "rules:\n  - when: { user: 'job-(\\d+)-(\\d+)\\.' }\n    say: 'did {1}-{2}'\n"
KEY = "the-key-of-the-daemon-in-trials"
PREFIX = "/api/mission-control"

#: One for all calls: to make one is slow.
_http = httpx.Client(timeout=20)


class World:
    """A backend with the library, a daemon, two dispatchers."""

    def __init__(self, programs: Path, database: str, app: str, folder: Path) -> None:
        (folder / "script.yaml").write_text(SCRIPT)
        self.programs, self.database, self.app, self.folder = programs, database, app, folder
        self.ports = {"backend": free_port(), "daemon": free_port()}
        self.url = f"http://127.0.0.1:{self.ports['backend']}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: dict[str, int] = {}
        self.log = open(folder / "log", "ab")

    def start(self, name: str) -> None:
        env, daemon = settings(self.database), f"http://127.0.0.1:{self.ports['daemon']}"
        env |= {"BACKEND_URL": self.url, "AGENT_DAEMON_API_KEY": KEY, "AGENT_DAEMON_URL": daemon, "RUST_LOG": "warn"}
        if name == "backend":
            port = str(self.ports["backend"])
            command = [sys.executable, "-m", "uvicorn", f"tests.{self.app}:app", "--port", port, "--log-level", "warning"]
            self.running[name] = subprocess.Popen(command, env=env, cwd=ROOT, stdout=self.log, stderr=self.log)
            return
        if name == "daemon":
            env |= {
                "WOMBAT_PORT": str(self.ports["daemon"]), "LLM_PROVIDER": "offline",
                "WOMBAT_WORKSPACE": str(ROOT.parents[1] / "workspace-example" / "workspace"),
                "LLM_OFFLINE_SCRIPT": str(self.folder / "script.yaml"),
            }
        else:
            env |= {
                "DISPATCH_MIN_INTERVAL_SEC": "0.1", "DISPATCH_MAX_INTERVAL_SEC": "1", "DISPATCH_LEASE_SECONDS": "5",
                "DISPATCH_MAX_ATTEMPTS": "60",
            }
        program = self.programs / f"wombat-{name.rstrip('12')}"
        self.running[name] = subprocess.Popen([program], env=env, cwd=self.folder, stdout=self.log, stderr=self.log)

    def wait(self) -> None:
        """Until backend and daemon answer."""
        for port in self.ports.values():
            for _ in range(600):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/livez", timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)

    def kill(self, name: str, away: float) -> None:
        self.running[name].kill()
        self.running[name].wait()
        self.kills[name.rstrip("12")] = self.kills.get(name.rstrip("12"), 0) + 1
        time.sleep(away)
        self.start(name)

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        self.log.close()


def ask(url: str, user: str, method: str, path: str, body: Any = None) -> Any:
    """A call as a person, repeated until it is answered."""
    headers = {"X-Internal-Token": INTERNAL, "X-On-Behalf-Of": user}
    while True:
        try:
            answer = _http.request(method, f"{url}{PREFIX}{path}", json=body, headers=headers)
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        if answer.status_code in (429, 503):
            time.sleep(0.2)
            continue
        answer.raise_for_status()
        return answer.json()


def items(url: str, user: str, path: str) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        page = ask(url, user, "GET", f"{path}{cursor}")
        found += page["items"]
        if "next_cursor" not in page:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def write(world: World, notifications: int, sessions: int) -> list[tuple[str, str, list[str]]]:
    """Makes all notifications, each session's in order."""
    plan = []
    for session in range(sessions):
        user = f"u{session}"
        task = ask(world.url, user, "POST", "/tasks", {"title": "Jobs", "idempotency_key": "jobs"})["id"]
        many = notifications // sessions + (session < notifications % sessions)
        for job in range(many):
            body = {
                "user_id": user, "session_key": f"user:{user}:scout", "task_id": task, "content": f"job-{session}-{job}.",
                "idempotency_key": f"job-{job}",
            }
            ask(world.url, user, "POST", "/notifications", body)
        plan.append((user, task, [f"did {session}-{job}" for job in range(many)]))
    return plan


def check(world: World, plan: list[tuple[str, str, list[str]]]) -> int:
    """Each notification has one reply, in order; how many there are."""
    dead = _http.get(f"{world.url}{PREFIX}/dispatch/dead", headers={"X-Internal-Token": INTERNAL}).json()["items"]
    assert not dead, dead[0]
    count = 0
    for user, task, expected in plan:
        thread = sorted(items(world.url, user, f"/messages?limit=200&task_id={task}"), key=lambda one: one["created_at"])
        said = [one["content"] for one in thread if one["actor_type"] == "agent"]
        assert said == expected, (user, said, expected)
        count += len(said)
    return count


def run(
    programs: Path, database: str, notifications: int, sessions: int, app: str = "fastapi_app", seed: int = 1,
    between: tuple[float, float] = (1.0, 4.0), patience: float = 3600,
) -> str:
    """One trial; what it came to."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        world = World(programs, database, app, Path(folder))
        try:
            for name in ("backend", "daemon"):
                world.start(name)
            world.wait()
            plan = write(world, notifications, sessions)
            began = time.monotonic()
            for name in ("dispatcher1", "dispatcher2"):
                world.start(name)
            waiting = [user for user, _, _ in plan]
            upcoming = began + dice.uniform(*between)
            while waiting:
                assert time.monotonic() - began < patience, f"{len(waiting)} sessions still wait"
                if time.monotonic() >= upcoming:
                    # Dispatchers most often, as they are asked for most of what must not be lost.
                    victim = dice.choice(["dispatcher1", "dispatcher2"] * 2 + ["daemon"] * 2 + ["backend"] * 2)
                    world.kill(victim, dice.uniform(0, 1.0))
                    upcoming = time.monotonic() + dice.uniform(*between)
                if all(one["delivered"] for one in items(world.url, waiting[-1], "/notifications?limit=200")):
                    waiting.pop()
                else:
                    time.sleep(0.3)
            took = time.monotonic() - began
            count = check(world, plan)
        finally:
            world.stop()
    return f"{count} replies, each once and in order, after {took:.0f} s; killed: {world.kills}"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--programs", type=Path, required=True, help="the folder of the programs")
    arguments.add_argument("--database", required=True)
    arguments.add_argument("--notifications", type=int, default=2_000)
    arguments.add_argument("--sessions", type=int, default=100)
    arguments.add_argument("--app", default="fastapi_app")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--between", type=float, default=1.0, help="the shortest time between two kills, in seconds")
    given = arguments.parse_args()
    os.chdir(ROOT)
    between = (given.between, 4 * given.between)
    programs = given.programs.resolve()
    print(run(programs, given.database, given.notifications, given.sessions, given.app, given.seed, between))
