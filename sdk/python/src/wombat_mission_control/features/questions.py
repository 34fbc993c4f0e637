"""What counts as an answer to a question, given as JSON or as a person writes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..errors import ContractError, invalid
from ..fields import Fields
from ..jsonio import Object, dumps, loads, now
from ..mentions import mentioned_roles
from ..schemas import errors_of, problem_of

MAX_QUESTION = 2_000
MAX_OPTION = 2_000
MAX_SCHEMA = 8 * 1024
MAX_TTL = 366 * 24 * 3600
DEFAULT_TTL = 604_800
OPTIONS = (2, 20)

NO_ANSWER = "this is a question: give it an answer, or deny it, so that nobody answers"


def mismatch(code: str, errors: list[str]) -> ContractError:
    """400: an answer, or arguments, that do not fit what was asked."""
    what = "the answer does" if code == "answer_mismatch" else "the arguments do"
    return ContractError(400, code, f"{what} not fit: {'; '.join(errors)[:1000]}", {"errors": errors})


def _same(one: str, other: str) -> bool:
    return one.strip().lower() == other.strip().lower()


def _check_options(options: list[Any]) -> None:
    least, most = OPTIONS
    if not least <= len(options) <= most:
        raise invalid("arguments.options", f"must be {least} to {most}")
    for at, one in enumerate(options):
        if not isinstance(one, str) or not one.strip() or len(one) > MAX_OPTION:
            raise invalid("arguments.options", f"must be filled texts of at most {MAX_OPTION} characters")
        if any(_same(one, other) for other in options[:at]):
            raise invalid("arguments.options", "must differ, capitals and outer spaces aside")


def check_until(field: str, until: datetime | None) -> None:
    """Refuses a time in the past, or in more than 366 days."""
    if until is None:
        return
    at = now()
    if until <= at:
        raise invalid(field, "must be in the future")
    if until > at + timedelta(seconds=MAX_TTL):
        raise invalid(field, "must be within 366 days")


def check_question(fields: Fields, arguments: Fields) -> tuple[Object, datetime]:
    """Refuses a question that cannot be asked; the schema of its answer, and until when it waits."""
    arguments.text("question", MAX_QUESTION)
    schema, options = arguments.raw.get("schema"), arguments.raw.get("options")
    if schema is not None and options is not None:
        raise invalid("arguments.schema", "cannot be beside arguments.options: give one of them")
    if schema is not None:
        if len(dumps(schema).encode()) > MAX_SCHEMA:
            raise invalid("arguments.schema", f"must have at most {MAX_SCHEMA} bytes")
        problem = problem_of(schema)
        if problem is not None:
            raise invalid("arguments.schema", problem)
    if options is not None:
        _check_options(arguments.items("options", 10_000))
    ttl, until = fields.opt_int("ttl_secs", 1, MAX_TTL), fields.opt_time("expires_at")
    if ttl is not None and until is not None:
        raise invalid("ttl_secs", "cannot be beside expires_at: give one of them")
    check_until("expires_at", until)
    answer: Object = {"type": "string"} if schema is None else schema
    if options is not None:
        answer = {"enum": options}
    return answer, until or now() + timedelta(seconds=DEFAULT_TTL if ttl is None else ttl)


def given(question: Object, value: Any) -> Any:
    """The answer that a JSON value is; 400 for one that does not fit."""
    options, schema = question.get("options"), question.get("schema")
    if options is not None:
        for option in options:
            if isinstance(value, str) and _same(value, option):
                return option
        raise mismatch("answer_mismatch", [f"must be one of the options: {', '.join(options)}"])
    if schema is None:
        if isinstance(value, str) and value.strip():
            return value
        raise mismatch("answer_mismatch", ["must be a text"])
    errors = errors_of(schema, value)
    if errors:
        raise mismatch("answer_mismatch", errors)
    return value


def _once(pairs: list[tuple[str, Any]]) -> Object:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands there twice")
    return made


def strictly(text: str) -> Any:
    """Reads JSON in which no key stands twice."""
    import json

    loads(text)
    return json.loads(text, object_pairs_hook=_once)


def _addressed_to(role: str, text: str) -> str:
    """A text without white space around it, and without the role that it is addressed to."""
    text = text.strip()
    if not text.startswith(f"@{role}") or mentioned_roles(text)[:1] != [role]:
        return text
    rest = text[len(role) + 1 :]
    rest = rest[1:] if rest[:1] in (",", ":") else rest
    return text if rest and not rest[0].isspace() else rest.strip()


def written(question: Object, role: str, text: str) -> Any:
    """The answer that a person's text is: an option, a text, or else JSON that fits the schema."""
    text = _addressed_to(role, text)
    if question.get("schema") is None:
        return given(question, text)
    try:
        return given(question, text)
    except ContractError:
        pass
    try:
        value = strictly(text)
    except (ValueError, RecursionError) as error:
        errors = [f"must be JSON that fits the question's schema; {error}"]
        raise mismatch("answer_mismatch", errors) from None
    return given(question, value)
