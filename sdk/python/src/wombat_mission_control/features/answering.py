"""A person's message that answers a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ..errors import ContractError, invalid
from ..jsonio import loads
from ..mentions import mentioned_roles, session_role
from ..scope import Scope
from ..storage.engine import Tx
from ..storage.tables import tool_requests
from .questions import written
from .tool_requests import Settled, decided_already, is_due, row_of, settle


@dataclass(frozen=True)
class Answering:
    """The question that a message answers, and the answer that it is."""

    row: Any
    #: The role that asks.
    role: str
    value: Any

    @property
    def request_id(self) -> str:
        """The question's tool request."""
        return str(self.row.id)


def find(tx: Tx, scope: Scope, author: str, task_id: str, content: str, named: str | None) -> Answering | None:
    """The question that a message answers: the one that it names, or the only one that waits on its task, unless
    the message is to another role or does not fit. What names a question and does not fit it is refused."""
    if author == "agent":
        return None
    if named is not None:
        # Whatever roles it leads, an agent speaks in its own session.
        return _named(tx, scope.of_role(scope.own_role), task_id, content, named)
    return _guessed(tx, scope, task_id, content) if author == "person" else None


def _role(row: Any) -> str:
    return session_role(row.user_id, row.session_key) or ""


def _named(tx: Tx, scope: Scope, task_id: str, content: str, request_id: str) -> Answering:
    row = row_of(tx.conn, scope, request_id)
    if row.task_id != task_id:
        raise invalid("tool_request_id", "is of another task than the message")
    if row.kind != "question":
        raise invalid("tool_request_id", "is a call to approve, not a question: decide it at its /decision")
    if is_due(row):
        raise decided_already("expired")
    if row.status != "pending":
        raise decided_already(row.status)
    return Answering(row, _role(row), written(loads(row.arguments), _role(row), content))


def _guessed(tx: Tx, scope: Scope, task_id: str, content: str) -> Answering | None:
    t = tool_requests.c
    asked = select(tool_requests).where(
        t.task_id == task_id, t.user_id == scope.user_id, t.status == "pending", t.kind == "question", t.expires_at > tx.at
    )
    waiting = tx.conn.execute(asked.order_by(t.seq).limit(2)).all()
    if len(waiting) != 1:
        return None
    row = waiting[0]
    if any(role != _role(row) for role in mentioned_roles(content)):
        return None
    try:
        return Answering(row, _role(row), written(loads(row.arguments), _role(row), content))
    except ContractError:
        return None


def answer(tx: Tx, scope: Scope, found: Answering) -> None:
    """Writes the answer that a message is."""
    settle(tx, scope, found.row, Settled("answered", answer=found.value))
