"""The application's own tools: functions that agents call for their user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from sqlalchemy import Connection

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import invalid_fields, not_found
from ..jsonio import Object
from ..scope import Agent, Scope
from ..storage.engine import Tx

routes = Routes()


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool: for whom, with what, and the key that makes a write safe to repeat."""

    agent: Agent
    arguments: Object
    idempotency_key: str | None
    #: The application's user, as `find_user` found it.
    user: Any
    #: The transaction in which the call is answered once for its key: write by it, and both happen or neither.
    connection: Connection


#: A function of the application; what it returns is answered as JSON.
ToolFunction = Callable[[ToolCall], Any]


@dataclass(frozen=True)
class Tool:
    """A tool as it is offered."""

    name: str
    description: str
    #: The JSON Schema of its arguments.
    parameters: Object
    function: ToolFunction

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.parameters)

    def check(self, arguments: Object) -> None:
        """400 with the names of arguments that do not fit."""
        wrong: dict[str, str] = {}
        for error in self._validator.iter_errors(arguments):
            path = [str(part) for part in error.absolute_path]
            if error.validator == "required" and isinstance(error.instance, dict):
                for name in error.validator_value:
                    if name not in error.instance:
                        wrong[".".join([*path, name])] = "is required"
            else:
                wrong.setdefault(".".join(path) or "arguments", error.message[:200])
        if wrong:
            raise invalid_fields(wrong)


@routes.add("GET", "/api/tools")
def list_tools(call: Call) -> Response:
    """The tools of the application: the same for all."""
    call.anyone()
    tools = call.mc.tools.values()
    items = [{"name": one.name, "description": one.description, "parameters": one.parameters} for one in tools]
    return json_response({"tools": items})


@routes.add("POST", "/api/tools/{name}")
def call_tool(call: Call) -> Response:
    """Calls a tool for the agent's user; a write happens once for its idempotency key."""
    agent = call.agent()
    tool = call.mc.tools.get(call.params["name"])
    if tool is None:
        raise not_found("tool")
    arguments = call.fields.obj("arguments") or {}
    tool.check(arguments)
    key = call.idempotency_key
    scope: Scope = agent.scope(call.trace_id)

    def make(tx: Tx) -> Any:
        return tool.function(ToolCall(agent, arguments, key, call.user, tx.conn))

    return call.create(scope, f"tools/{tool.name}", key, make)
