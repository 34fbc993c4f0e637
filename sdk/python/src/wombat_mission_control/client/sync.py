"""The client for programs with threads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx

from ..jsonio import Object, without_none
from .events import Event, Parser
from .model import (
    DaemonError, RunAnswer, RunStatus, SendRequest, ToolRequest, answer_of, error_of, status_of, tool_request_of,
)

#: How often a stream that broke off is opened again without anything new, before it is given up.
MAX_LOST = 8


def json_of(response: httpx.Response) -> Any:
    """The JSON of an answer; `DaemonError` for an error."""
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = None
    if response.is_error or body is None:
        raise error_of(response.status_code, body, response.headers.get("retry-after"))
    return body


def lost(error: httpx.HTTPError) -> DaemonError:
    """What is said of a connection that could not be made, or broke off."""
    return DaemonError(0, f"the daemon cannot be reached: {error}")


def pause(attempt: int, error: DaemonError | None = None) -> float:
    """How long to wait before a stream is opened again."""
    if error is not None and error.retry_after is not None:
        return min(error.retry_after, 30.0)
    return float(min(0.25 * 2**attempt, 5.0))


class Daemon:
    """A client of the daemon: `Daemon("http://127.0.0.1:8081", key)`."""

    def __init__(self, url: str, key: str | None = None, timeout: float = 600.0, http: httpx.Client | None = None) -> None:
        headers = {"x-agent-daemon-key": key} if key else {}
        self._http = http or httpx.Client(base_url=url.rstrip("/"), timeout=httpx.Timeout(timeout, connect=10.0))
        self._headers = headers

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def _json(self, method: str, path: str, body: Object | None = None, **headers: str) -> Any:
        try:
            response = self._http.request(method, path, json=body, headers=self._headers | headers)
        except httpx.HTTPError as error:
            raise lost(error) from error
        return json_of(response)

    def agents(self) -> list[Object]:
        """The roles that the daemon serves."""
        return list(self._json("GET", "/api/agents")["agents"])

    def send(self, request: SendRequest) -> RunAnswer:
        """Sends a message, and waits for the reply."""
        return answer_of(self._json("POST", "/api/agents/send", request.body()))

    def resume(self, user_id: str, role: str, run_key: str, answers: Mapping[str, Any] | None = None) -> RunAnswer:
        """Goes on with a run that waits, failed or was interrupted; with answers to its questions, by their ids."""
        return self.send(SendRequest(user_id, role, resume_run_key=run_key, answers=answers))

    def stream(self, request: SendRequest) -> Iterator[Event]:
        """Sends a message, and shows the run as it happens. Who stops reading aborts it, unless it is detached."""
        if request.detached:
            yield from self.follow(self.start(request), request.user_id, request.role)
            return
        parser = Parser()
        yield from self._read("POST", "/api/agents/stream", parser, request.body(), {})
        if not parser.is_over:
            raise DaemonError(0, "the stream ended before the run did: send the same idempotency_key again")

    def start(self, request: SendRequest) -> str:
        """Starts a run that goes on by itself; its key."""
        body = replace(request, detached=None).body()
        return str(self._json("POST", "/api/agents/runs", body)["run_key"])

    def run(self, run_key: str, user_id: str, role: str) -> RunStatus:
        """Where a detached run stands."""
        headers = {"x-wombat-session": f"user:{user_id}:{role}"}
        return status_of(self._json("GET", f"/api/agents/runs/{quote(run_key, safe='')}", None, **headers))

    def cancel(self, run_key: str, user_id: str, role: str) -> Object:
        """Cancels a run, wherever it is."""
        headers = {"x-wombat-session": f"user:{user_id}:{role}"}
        made: Object = self._json("DELETE", f"/api/agents/runs/{quote(run_key, safe='')}", None, **headers)
        return made

    def follow(self, run_key: str, user_id: str, role: str, after: str | None = None) -> Iterator[Event]:
        """The events of a detached run, from its start or after an id. A stream that breaks off is opened again
        where it was, at whichever instance of the daemon."""
        parser, attempt = Parser(), 0
        parser.last_id = after
        path = f"/api/agents/runs/{quote(run_key, safe='')}/stream"
        while not parser.is_over:
            headers = without_none(**{"x-wombat-session": f"user:{user_id}:{role}", "last-event-id": parser.last_id})
            problem: DaemonError | None = None
            try:
                for event in self._read("GET", path, parser, None, headers):
                    attempt = 0
                    yield event
            except DaemonError as error:
                if not error.is_temporary or attempt >= MAX_LOST:
                    raise
                problem = error
            if not parser.is_over:
                attempt += 1
                if attempt > MAX_LOST:
                    raise problem or DaemonError(0, "the run's stream ends again and again")
                time.sleep(pause(attempt, problem))

    def _read(
        self, method: str, path: str, parser: Parser, body: Object | None, headers: Mapping[str, str]
    ) -> Iterator[Event]:
        sent = self._headers | {"accept": "text/event-stream"} | dict(headers)
        try:
            with self._http.stream(method, path, json=body, headers=sent) as response:
                if response.is_error:
                    response.read()
                    json_of(response)
                parser.reset()
                for more in response.iter_bytes():
                    for event in parser.feed(more):
                        yield event
                    if parser.is_over:
                        return
        except httpx.HTTPError as error:
            raise lost(error) from error


class Approvals:
    """A person's decisions, by a service with the internal token: at any backend of the contract."""

    def __init__(self, url: str, internal_token: str, user_id: str, http: httpx.Client | None = None) -> None:
        self._http = http or httpx.Client(base_url=url.rstrip("/"), timeout=30.0)
        self._headers = {"x-internal-token": internal_token, "x-on-behalf-of": user_id}

    def _json(self, method: str, path: str, body: Object | None = None, key: str | None = None) -> Any:
        headers = self._headers | ({"idempotency-key": key} if key else {})
        try:
            response = self._http.request(method, f"/api/mission-control{path}", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise lost(error) from error
        return json_of(response)

    def pending(self) -> Iterator[ToolRequest]:
        """What waits for the person, oldest first."""
        cursor = ""
        while True:
            page = self._json("GET", f"/tool-requests?status=pending{cursor}")
            yield from (tool_request_of(item) for item in page["items"])
            if not page.get("next_cursor"):
                return
            cursor = f"&cursor={page['next_cursor']}"

    def decide(self, request_id: str, decision: Object, key: str | None = None) -> ToolRequest:
        """Decides about a tool request; with a key it is safe to repeat."""
        return tool_request_of(self._json("POST", f"/tool-requests/{quote(request_id, safe='')}/decision", decision, key))

    def approve(self, request_id: str, note: str | None = None, arguments: Object | None = None) -> ToolRequest:
        """Approves a call; with other arguments, these are called instead."""
        edited = None if arguments is None else {"arguments": arguments}
        return self.decide(request_id, without_none(status="approved", note=note, edited=edited), f"approve:{request_id}")

    def deny(self, request_id: str, note: str | None = None) -> ToolRequest:
        """Denies a call, or says that nobody answers a question."""
        return self.decide(request_id, without_none(status="denied", note=note), f"deny:{request_id}")

    def answer(self, request_id: str, answer: Any) -> ToolRequest:
        """Answers a question."""
        return self.decide(request_id, {"answer": answer}, f"answer:{request_id}")
