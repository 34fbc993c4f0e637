"""HTTP without a library in between, so that a request is exactly what an attacker sends; tokens."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MC = "/api/mission-control"
SECRET = "signing-secret-0123456789abcdef0123456789abcdef"
INTERNAL = "internal-token-0123456789abcdef0123456789"
KEY = "daemon-key-0123456789abcdef0123456789"
PROVIDER_KEY = "sk-provider-0123456789abcdef"


@dataclass
class Answer:
    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def __getitem__(self, key: str) -> Any:
        body = self.json
        return body.get(key) if isinstance(body, dict) else None


Headers = list[tuple[str, str | bytes]] | dict[str, str]


def call(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Headers = (),
    source: str | None = None,
    timeout: float = 60,
) -> Answer:
    """One request. Headers are sent as they are given, also twice."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=(source, 0) if source else None)
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
        if data is not None and "content-type" not in names:
            pairs.append(("content-type", "application/json"))
        for name, value in [*pairs, ("content-length", str(len(data or b"")))]:
            connection.putheader(name, value if isinstance(value, bytes) else value.encode())
        connection.endheaders(data)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        names = {name.lower() for name, _ in answer.getheaders()}
        return Answer(answer.status, text, {name: answer.getheader(name) or "" for name in names})
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(user: str, role: str, secret: str = SECRET, head: dict[str, Any] | None = None, **claims: Any) -> str:
    """An agent token, or one that is almost one."""
    now = int(time.time())
    body = {"type": "agent", "user_id": user, "agent_role": role, "sub": f"wombat:{role}", "iss": "wombat"}
    body |= {"iat": now, "exp": now + 900, "jti": os.urandom(8).hex()} | claims
    parts = [head or {"alg": "HS256", "typ": "JWT"}, body]
    signed = ".".join(b64(json.dumps(part).encode()) for part in parts)
    return signed + "." + b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


def claims(text: str) -> dict[str, Any]:
    part = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Handler(BaseHTTPRequestHandler):
    """A request for the `answer` of whoever made the server."""

    protocol_version = "HTTP/1.1"
    owner: Any

    def log_message(self, *_: Any) -> None:
        pass

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            self.owner.answer(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = handle_any

    def say(self, status: int, body: Any = None, headers: dict[str, str] | None = None, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        pass


def serve(owner: Any) -> int:
    """Serves `owner.answer(handler, body)`; returns the port."""
    server = Quiet(("127.0.0.1", 0), type("Own", (Handler,), {"owner": owner}))
    Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Stranger:
    """A host that nobody has a reason to call. It remembers who did."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.port = serve(self)
        self.url = f"http://127.0.0.1:{self.port}"

    def answer(self, request: Handler, body: bytes) -> None:
        self.seen.append((f"{request.command} {request.path}", f"{request.path}\n{request.headers}{body.decode(errors='replace')}"))
        request.say(200, {"ok": True})


def listen(port: int, path: str, headers: dict[str, str], heard: list[str], seconds: float) -> None:
    """Reads a stream of events for some seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        heard.append(f"{answer.status}")
        while line := answer.fp.readline():
            heard.append(line.decode())
    except OSError:
        pass
    finally:
        connection.close()
