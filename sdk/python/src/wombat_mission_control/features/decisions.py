"""A person's word about a tool request: approved or denied, with other arguments, with a rule; or an answer."""

from __future__ import annotations

from typing import Any

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import forbidden, invalid
from ..fields import Fields
from ..jsonio import canonical, loads
from ..mentions import session_role
from ..rawjson import lost_number, raw_field
from ..schemas import errors_of, problem_of
from ..scope import Agent, Scope
from ..storage.engine import Tx
from . import approval_rules, children
from .questions import NO_ANSWER, given, mismatch, strictly
from .run_rows import find_of
from .tool_requests import (
    MAX_WORDS, Settled, decided_already, expire_questions, is_due, row_of, settle, tool_request,
)

routes = Routes("decisions")


@routes.add("PATCH", "/tool-requests/{id}")
def decide_plainly(call: Call) -> Response:
    """Approves or denies a call; denies a question, so that nobody answers."""
    scope, fields = call.person().scope(call.trace_id), call.fields
    fields.need("status")
    status = fields.choice("status", ("approved", "denied"))
    note, key = fields.opt_text("note", MAX_WORDS), call.idempotency_key
    assert status is not None
    expire_questions(call.mc)
    with call.mc.write(scope) as tx:
        row = row_of(tx.conn, scope, call.params["id"])
        if fields.has("arguments") and fields.raw["arguments"] != loads(row.arguments):
            why = "are not those of the request: POST them to its /decision, as edited.arguments"
            raise invalid("arguments", why)
        if row.status != "pending":
            if key is not None and row.decision_key == key and row.status == status:
                return json_response(tool_request(row))
            raise decided_already(row.status)
        if is_due(row):
            raise decided_already("expired")
        if row.kind == "question" and status != "denied":
            raise mismatch("answer_mismatch", [NO_ANSWER])
        row = settle(tx, scope, row, Settled(status, note, key=key))
    return json_response(tool_request(row))


def _check_agent(agent: Agent, row: Any, fields: Fields) -> None:
    """An agent may answer the questions of its own session, and nothing else."""
    if row.kind != "question" or session_role(agent.user_id, row.session_key) != agent.role:
        raise forbidden("only a person may decide this; an agent may answer the questions of its own session")
    beside = ("status", "note", "edited", "rule")
    if "answer" not in fields.raw or any(fields.has(name) for name in beside):
        raise forbidden("an agent may give an answer, and nothing beside it")


def _edited(call: Call, row: Any) -> str | None:
    """Other arguments than the agent's, as they were sent, where they fit the tool's schema."""
    sub = call.fields.sub("edited")
    if sub is None:
        return None
    sub.need("arguments")
    if sub.obj("arguments") is None:
        raise invalid("edited.arguments", "must be an object")
    try:
        text = raw_field(raw_field(call.request.body.decode(), "edited") or "", "arguments")
    except ValueError:
        raise invalid("edited.arguments", "must be given once") from None
    assert text is not None
    try:
        arguments = strictly(text)
    except ValueError as error:
        raise mismatch("arguments_mismatch", [f"edited.arguments: {error}"]) from None
    lost = lost_number(text)
    if lost is not None:
        why = f"edited.arguments: the number {lost[:60]} has more digits than are kept: write fewer, or a text"
        raise mismatch("arguments_mismatch", [why])
    if row.parameters is not None:
        problem = None if isinstance(row.parameters, bool) else problem_of(row.parameters)
        if problem is not None:
            why = f"the tool's schema {problem}, so that other arguments cannot be checked: approve the call as it is, or deny it"
            raise mismatch("arguments_mismatch", [why])
        errors = errors_of(row.parameters, arguments)
        if errors:
            raise mismatch("arguments_mismatch", errors)
    if arguments == loads(row.arguments) and lost_number(row.arguments) is None:
        return None
    return text


def _fit_question(fields: Fields, row: Any) -> Settled:
    for name in ("edited", "rule"):
        if fields.has(name):
            raise invalid(name, "is for a call to approve, and this is a question")
    status = fields.choice("status", ("approved", "denied", "answered"))
    if status == "denied" and not fields.has("answer"):
        return Settled("denied", fields.opt_text("note"))
    if "answer" not in fields.raw:
        raise mismatch("answer_mismatch", [NO_ANSWER])
    if status not in (None, "answered"):
        raise invalid("status", "cannot be beside an answer: leave it out")
    value = given(loads(row.arguments), fields.raw["answer"])
    return Settled("answered", fields.opt_text("note"), answer=value)


def _fit_approval(call: Call, tx: Tx, scope: Scope, row: Any) -> Settled:
    fields = call.fields
    if fields.has("answer"):
        text = "this is a call to approve: send its status, approved or denied"
        raise mismatch("answer_mismatch", [text])
    status = fields.choice("status", ("approved", "denied"))
    if status is None:
        raise invalid("status", "must be approved or denied")
    note = fields.opt_text("note")
    if status == "denied":
        for name in ("edited", "rule"):
            if fields.has(name):
                raise invalid(name, "is for a call that is approved")
        return Settled("denied", note)
    edited, rule_id = _edited(call, row), None
    rule = fields.sub("rule")
    if rule is not None:
        rule_id = _rule(call, tx, scope, row, rule)
    return Settled("approved", note, edited, rule_id=rule_id)


def _rule(call: Call, tx: Tx, scope: Scope, row: Any, rule: Fields) -> str:
    """The rule that is made with a decision: for the role that makes the call, which may be below the one that waits."""
    session = session_role(row.user_id, row.session_key) or ""
    asker = row.asked_by
    new = approval_rules.within(rule, asker["role"] if asker else session, row)
    if asker:
        run = find_of(tx.conn, row.user_id, asker["role"], asker["run_key"])
        if run is None or not children.is_below(tx, run, session, row.run_key):
            why = "would be for a role that has no such run below this one: decide without a rule"
            raise invalid("rule", why)
    made = approval_rules.insert_rule(tx, scope, new, call.mc.settings.rules_per_user)
    return str(made["id"])


@routes.add("POST", "/tool-requests/{id}/decision")
def decide(call: Call) -> Response:
    """Decides about a tool request, once: of several decisions at the same time one counts."""
    tenant, fields = call.tenant(), call.fields
    scope = call.write_scope(tenant)
    fields.opt_text("note", MAX_WORDS)
    key, body = call.idempotency_key, canonical(fields.raw)
    expire_questions(call.mc)
    with call.mc.write(scope) as tx:
        row = row_of(tx.conn, scope, call.params["id"])
        if isinstance(tenant, Agent):
            _check_agent(tenant, row, fields)
        if row.status != "pending":
            if key is not None and row.decision_key == key and row.decision_body == body:
                return json_response(tool_request(row))
            raise decided_already(row.status)
        if is_due(row):
            raise decided_already("expired")
        fitting = _fit_question(fields, row) if row.kind == "question" else _fit_approval(call, tx, scope, row)
        settled = Settled(
            fitting.status, fitting.note, fitting.edited, fitting.answer, fitting.rule_id, key, body
        )
        row = settle(tx, scope, row, settled)
    return json_response(tool_request(row))


