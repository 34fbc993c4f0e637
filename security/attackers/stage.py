"""One attacker's stage: the real programs, and an application that anybody may have written."""

import http.client
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

from model import Model
from wire import INTERNAL, KEY, MC, PROVIDER_KEY, SECRET, Answer, Handler, Stranger, call, claims, serve, token

LISTENS = re.compile(r"listening on http://[^:/ \"]+:(\d+)")


def until(found: Callable[[], Any], seconds: float = 15) -> Any:
    """Waits for a condition; returns what it was at the end."""
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


class Program:
    """A program of ours as a process."""

    def __init__(self, folder: Path, argv: list[str], environment: dict[str, str]) -> None:
        self.log_file = folder / f"{Path(argv[0]).name}-{os.urandom(3).hex()}.log"
        log = self.log_file.open("w")
        self.process = subprocess.Popen(argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        listening = lambda: LISTENS.search(self.log) or self.process.poll() is not None
        found = until(listening, 30)
        self.port = int(found.group(1)) if isinstance(found, re.Match) else 0

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def memory(self) -> float:
        """The most memory that it has had, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Hit(dict[str, Any]):
    """A call that reached the application."""

    def __repr__(self) -> str:
        return f"{self['role']} of {self['user']}: {self['method']} {self['path']} {self['body'][:80]}"


class Application:
    """The customer's application: it verifies agent tokens, does what it is asked for its user, and passes
    everything of the contract on to the reference backend."""

    def __init__(self, mission_control: int) -> None:
        self.mission_control = mission_control
        # What reached the application itself: method, path, body, user, role.
        self.hits: list[Hit] = []
        # What it answers, by the beginning of a path: JSON, or a function of the hit.
        self.answers: dict[str, Any] = {}
        self.tokens: list[str] = []
        self.document: Any = None
        # What the daemon asked people for.
        self.requests: list[dict[str, Any]] = []
        self.port = serve(self)

    def answer(self, request: Handler, body: bytes) -> None:
        path = urlsplit(request.path).path
        if agent := request.headers.get("x-agent-token"):
            self.tokens.append(agent)
        if path == "/openapi.json":
            return request.say(200 if self.document else 404, self.document)
        if path.startswith((MC, "/api/tools")):
            return self.pass_on(request, body)
        hit = Hit({"method": request.command, "path": request.path, "body": body.decode(errors="replace"), "token": agent or ""})
        hit |= {"headers": {name.lower(): value for name, value in request.headers.items()}}
        hit |= {"user": claims(agent)["user_id"], "role": claims(agent)["agent_role"]} if agent else {"user": "", "role": ""}
        self.hits.append(hit)
        for start, answer in self.answers.items():
            if request.path.startswith(start):
                answer = answer(hit) if callable(answer) else answer
                return request.say(*answer) if isinstance(answer, tuple) else request.say(200, answer)
        request.say(200, {"ok": True})

    def pass_on(self, request: Handler, body: bytes) -> None:
        if request.command == "POST" and request.path == f"{MC}/tool-requests":
            self.requests.append(json.loads(body))
        connection = http.client.HTTPConnection("127.0.0.1", self.mission_control, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = ("retry-after", "idempotent-replayed")
        headers = {name: value for name, value in answer.getheaders() if name.lower() in kept}
        request.say(answer.status, data, headers, answer.getheader("content-type") or "application/json")
        connection.close()

    def reached(self, mark: str, **fields: str) -> list[Hit]:
        """The calls that carry a mark in path or body."""
        found = [hit for hit in self.hits if mark in hit["path"] or mark in hit["body"]]
        return [hit for hit in found if all(hit[name] == value for name, value in fields.items())]


class Stage:
    """A backend, an application before it, a model, a workspace, and daemons."""

    def __init__(self, programs: Path, folder: Path, **environment: str) -> None:
        self.programs, self.folder = programs, folder
        self.workspace = folder / "workspace"
        (self.workspace / "souls").mkdir(parents=True)
        self.running: list[Program] = []
        self.marks = 0
        self.model, self.stranger = Model(), Stranger()
        self.base = {"PATH": os.environ["PATH"], "HOME": str(folder), "WOMBAT_LOG_FORMAT": "json"}
        self.mission_control = self.backend("data", **environment)
        self.application = Application(self.mission_control.port)
        self.daemon: Program | None = None

    def close(self) -> None:
        for program in self.running:
            program.stop()

    def mark(self) -> str:
        """A word that stands nowhere else."""
        self.marks += 1
        return f"mark{self.marks}x{os.urandom(4).hex()}"

    # Programs

    def backend(self, data: str, **environment: str) -> Program:
        mine = {"MC_PORT": "0", "MC_DATA_DIR": str(self.folder / data), "AGENT_JWT_SECRET": SECRET, "INTERNAL_API_TOKEN": INTERNAL}
        return self.start("wombat-mission-control", MC_DEMO="true", **mine | environment)

    def environment(self, **environment: str) -> dict[str, str]:
        mine = {
            "WOMBAT_PORT": "0",
            "WOMBAT_WORKSPACE": str(self.workspace),
            "AGENT_JWT_SECRET": SECRET,
            "AGENT_DAEMON_API_KEY": KEY,
            "BACKEND_URL": f"http://127.0.0.1:{self.application.port}",
            "LLM_PROVIDER": "openai",
            "OPENAI_API_KEY": PROVIDER_KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.model.port}/v1",
            "WOMBAT_RETRY_DELAY_MS": "10",
            "WOMBAT_RETRY_MAX_DELAY_MS": "40",
            "WOMBAT_PROTOCOLS": "a2a,ag-ui,openai,mcp",
        }
        return {name: value for name, value in (mine | environment).items() if value}

    def start_daemon(self, **environment: str) -> Program:
        """A daemon of its own; an empty value removes a variable."""
        return self.start("wombat-daemon", **self.environment(**environment))

    def start(self, name: str, *arguments: str, **environment: str) -> Program:
        program = Program(self.folder, [str(self.programs / name), *arguments], self.base | environment)
        self.running.append(program)
        return program

    def dispatch(self) -> str:
        """One round of the dispatcher."""
        urls = {"BACKEND_URL": f"http://127.0.0.1:{self.mission_control.port}", "AGENT_DAEMON_URL": f"http://127.0.0.1:{self.daemon.port}"}
        return self.run("wombat-dispatcher", "--once", **urls, INTERNAL_API_TOKEN=INTERNAL, AGENT_DAEMON_API_KEY=KEY)

    def run(self, name: str, *arguments: str, **environment: str) -> str:
        """Runs a program to its end; returns what it said."""
        argv = [str(self.programs / name), *arguments]
        ran = subprocess.run(argv, env=self.base | environment, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return (ran.stdout + ran.stderr).decode(errors="replace")

    # The workspace

    def write(self, path: str, text: str) -> None:
        file = self.workspace / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def skill(self, *endpoints: str, name: str = "shop", text: str = "") -> None:
        head = f"---\nname: {name}\ndescription: The application.\n---\n{text}\n"
        self.write(f"skills/{name}/SKILL.md", head + "```http\n" + "\n".join(endpoints) + "\n```\n")

    def roles(self, **tools: dict[str, list[str]]) -> None:
        agents = [{"role": role, "session_key_template": f"user:{{userId}}:{role}", "tools": rules} for role, rules in tools.items()]
        self.write("agent-config.json", json.dumps({"agents": agents}, indent=1))

    def servers(self, **servers: dict[str, Any]) -> None:
        self.write("mcp.json", json.dumps({"mcpServers": servers}))

    # Callers

    def http(self, method: str, path: str, body: Any = None, headers: Any = (), daemon: Program | None = None, **more: Any) -> Answer:
        """A call of the daemon with its key."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        return call((daemon or self.daemon).port, method, path, body, [("x-agent-daemon-key", KEY), *pairs], **more)

    def send(self, text: str | None, user: str = "ann", role: str = "scout", daemon: Program | None = None, **more: Any) -> Answer:
        body = {"user_id": user, "session_key": f"user:{user}:{role}", "message": text, "task_title": self.mark()} | more
        return self.http("POST", "/api/agents/send", {name: value for name, value in body.items() if value is not None}, daemon=daemon)

    def agent(self, agent: str, method: str, path: str, body: Any = None) -> Answer:
        """A call of the backend with an agent token."""
        return call(self.mission_control.port, method, MC + path, body, {"x-agent-token": agent})

    def person(self, user: str, method: str, path: str, body: Any = None) -> Answer:
        return call(self.mission_control.port, method, MC + path, body, {"x-internal-token": INTERNAL, "x-on-behalf-of": user})

    def service(self, method: str, path: str, body: Any = None) -> Answer:
        return call(self.mission_control.port, method, MC + path, body, {"x-internal-token": INTERNAL})

    def decide(self, answer: Answer, user: str = "ann", status: str = "approved") -> list[Answer]:
        """A person decides what an answer waits for."""
        waiting = answer["tool_requests"] or []
        return [self.person(user, "PATCH", f"/tool-requests/{one['id']}", {"status": status}) for one in waiting]

    def resume(self, answer: Answer, user: str = "ann", role: str = "scout", daemon: Program | None = None) -> Answer:
        return self.send(None, user, role, daemon, resume_run_key=answer["run_key"], task_title=None)

    def task(self, user: str, title: str, role: str = "scout") -> str:
        return self.agent(token(user, role), "POST", "/tasks", {"title": title})["id"]

    def stored(self, user: str) -> str:
        """All tasks, messages and documents of a user, as text."""
        tasks = self.person(user, "GET", "/tasks?limit=200")
        lists = [f"/messages?limit=200&task_id={task['id']}" for task in tasks["items"] or []]
        return tasks.text + "".join(self.person(user, "GET", path).text for path in [*lists, "/documents?limit=200"])
