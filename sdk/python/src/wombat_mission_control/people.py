"""A person at an application's own pages: the contract's endpoints without HTTP and without a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .api import PREFIX, Headers, Request
from .call import Call
from .errors import ContractError
from .jsonio import Object, dumps, loads, without_none

if TYPE_CHECKING:
    from .core import MissionControl


class _OwnCall(Call):
    """A call that the application makes itself, for a person whom it knows."""

    def _check_internal(self) -> None:
        return None


class People:
    """What a person does: `mc.person(user_id)`. The application says who it is, by its own login."""

    def __init__(self, mc: MissionControl, user_id: str) -> None:
        self._mc = mc
        self._user_id = user_id

    def call(
        self, method: str, path: str, body: Object | None = None, key: str | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Calls an endpoint of the contract for the person; `ContractError` for what it refuses."""
        raw = [("x-internal-token", b""), ("x-on-behalf-of", self._user_id.encode()), ("content-type", b"application/json")]
        if key is not None:
            raw.append(("idempotency-key", key.encode()))
        match = self._mc.router.match(method, PREFIX + path)
        call = _OwnCall(self._mc, Request(method, Headers(raw), dict(query or {})), match)
        response = self._mc.handle(call, b"" if body is None else dumps(body).encode())
        answer: Any = loads(response.body) if response.body else {}
        if response.status >= 400:
            raise ContractError(response.status, answer.get("code", ""), answer["error"], answer.get("details"))
        return answer

    def items(self, path: str, **query: str) -> list[Object]:
        """All items of a list."""
        found: list[Object] = []
        while True:
            page = self.call("GET", path, query=query)
            found += page["items"]
            if "next_cursor" not in page:
                return found
            query["cursor"] = page["next_cursor"]

    def create_task(self, title: str, **more: Any) -> Object:
        """Creates a task."""
        made: Object = self.call("POST", "/tasks", {"title": title} | more)
        return made

    def say(self, task_id: str, content: str, key: str | None = None) -> Object:
        """Writes a message; `@role` in it notifies that role's agent."""
        body = without_none(task_id=task_id, content=content, idempotency_key=key)
        made: Object = self.call("POST", "/messages", body)
        return made

    def pending(self) -> list[Object]:
        """The calls and questions that wait for the person."""
        return self.items("/tool-requests", status="pending")

    def _decide(self, request_id: str, decision: Object, key: str) -> Object:
        path = f"/tool-requests/{quote(request_id, safe='')}/decision"
        made: Object = self.call("POST", path, decision, f"{key}:{request_id}")
        return made

    def approve(self, request_id: str, note: str | None = None, arguments: Object | None = None) -> Object:
        """Approves a call; with other arguments, these are called instead."""
        edited = None if arguments is None else {"arguments": arguments}
        return self._decide(request_id, without_none(status="approved", note=note, edited=edited), "approve")

    def deny(self, request_id: str, note: str | None = None) -> Object:
        """Denies a call, or says that nobody answers a question."""
        return self._decide(request_id, without_none(status="denied", note=note), "deny")

    def answer(self, request_id: str, answer: Any) -> Object:
        """Answers a question."""
        return self._decide(request_id, {"answer": answer}, "answer")
