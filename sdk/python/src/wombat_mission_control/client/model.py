"""What is sent to the daemon, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..jsonio import Object, without_none


class DaemonError(Exception):
    """An error of the daemon, or of the way to it (`status` 0)."""

    def __init__(
        self, status: int, error: str, code: str | None = None, details: Any = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{error} ({code or status})")
        self.status = status
        self.error = error
        self.code = code
        self.details = details
        #: After how many seconds to try again, where that is said.
        self.retry_after = retry_after

    @property
    def is_temporary(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status in (0, 408, 429, 502, 503, 504)


def error_of(status: int, body: Any, retry_after: str | None = None) -> DaemonError:
    """The error that an answer is."""
    wait = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return DaemonError(status, body["error"], body.get("code"), body.get("details"), wait)
    return DaemonError(status, f"the answer is no JSON of the daemon (status {status})", retry_after=wait)


@dataclass(frozen=True)
class SendRequest:
    """A message to an agent."""

    user_id: str
    role: str
    message: str | None = None
    task_id: str | None = None
    task_title: str | None = None
    #: Makes the run safe to repeat.
    idempotency_key: str | None = None
    #: Goes on with a run that waits, failed or was interrupted.
    resume_run_key: str | None = None
    #: Answers to the questions of that run, by their ids.
    answers: Mapping[str, Any] | None = None
    #: `{"schema": …}`: the reply has to be JSON of this schema.
    output: Mapping[str, Any] | None = None
    attachments: list[Mapping[str, Any]] | None = None
    metadata: Mapping[str, Any] | None = None
    limits: Mapping[str, Any] | None = None
    #: Whether the run goes on when its caller leaves.
    detached: bool | None = None
    #: Any other field of the daemon's API.
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def session_key(self) -> str:
        """The session of the role."""
        return f"user:{self.user_id}:{self.role}"

    def body(self) -> Object:
        """The JSON object that is sent."""
        return dict(self.more) | without_none(
            user_id=self.user_id, session_key=self.session_key, message=self.message, task_id=self.task_id,
            task_title=self.task_title, idempotency_key=self.idempotency_key, resume_run_key=self.resume_run_key,
            answers=None if self.answers is None else dict(self.answers), output=self.output,
            attachments=self.attachments, metadata=self.metadata, limits=self.limits, detached=self.detached,
        )


@dataclass(frozen=True)
class WaitingFor:
    """A call or a question that a run waits for."""

    id: str
    kind: str
    tool: str
    arguments: Object
    question: str | None
    options: list[str] | None
    raw: Object


@dataclass(frozen=True)
class RunAnswer:
    """What a run has come to."""

    #: `ok`, `awaiting_approval` or `awaiting_answer`.
    status: str
    response: str | None
    run_key: str | None
    task_id: str | None
    message_id: str | None
    #: The parsed reply of a run with `output`.
    output: Any
    #: What the run waits for.
    tool_requests: list[WaitingFor]
    raw: Object

    @property
    def is_waiting(self) -> bool:
        """Whether a person has to decide or answer before it goes on."""
        return self.status in ("awaiting_approval", "awaiting_answer")


@dataclass(frozen=True)
class RunStatus:
    """Where a detached run stands."""

    run_key: str
    status: str
    task_id: str | None
    #: The answer of a run that is over, or waits.
    answer: RunAnswer | None
    error: DaemonError | None
    raw: Object


@dataclass(frozen=True)
class ToolRequest:
    """A tool request of the backend."""

    id: str
    kind: str
    status: str
    tool: str
    arguments: Object
    run_key: str
    task_id: str
    raw: Object


def _waiting(raw: Object) -> WaitingFor:
    return WaitingFor(
        str(raw.get("id", "")), str(raw.get("kind", "approval")), str(raw.get("tool", "")), raw.get("arguments") or {},
        raw.get("question"), raw.get("options"), raw,
    )


def answer_of(raw: Object) -> RunAnswer:
    """Reads what `send` answers."""
    return RunAnswer(
        str(raw.get("status", "")), raw.get("response"), raw.get("run_key"), raw.get("task_id"), raw.get("message_id"),
        raw.get("output"), [_waiting(one) for one in raw.get("tool_requests") or []], raw,
    )


def status_of(raw: Object) -> RunStatus:
    """Reads where a detached run stands."""
    answer, failed = raw.get("answer"), raw.get("error")
    error = None
    if isinstance(failed, dict):
        error = error_of(int(failed.get("status", 500)), failed)
    return RunStatus(
        str(raw.get("run_key", "")), str(raw.get("status", "")), raw.get("task_id"),
        answer_of(answer) if isinstance(answer, dict) else None, error, raw,
    )


def tool_request_of(raw: Object) -> ToolRequest:
    """Reads a tool request."""
    return ToolRequest(
        str(raw["id"]), str(raw.get("kind", "approval")), str(raw.get("status", "")), str(raw.get("tool", "")),
        raw.get("arguments") or {}, str(raw.get("run_key", "")), str(raw.get("task_id", "")), raw,
    )
