"""JSON Schemas of arguments and answers, and conditions over the arguments of a call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from .jsonio import Object, canonical, dumps

MAX_ERRORS = 20
MAX_BYTES = 8 * 1024
MAX_ARGUMENTS = 32
MAX_DEPTH = 16


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(item, str):
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "pattern" and isinstance(item, str):
                yield item
            elif name == "patternProperties" and isinstance(item, dict):
                yield from item
            yield from _patterns(item)
    elif isinstance(value, list):
        for item in value:
            yield from _patterns(item)


def problem_of(schema: Any) -> str | None:
    """Why a schema cannot be used, if so."""
    if not isinstance(schema, dict):
        return "must be a JSON Schema: an object"
    if any(not reference.startswith("#") for reference in _references(schema)):
        return "is not a usable JSON Schema: it refers to another document"
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        for pattern in _patterns(schema):
            re.compile(pattern)
        # A reference that leads nowhere is found when something is checked.
        list(kind(schema, registry=Registry()).iter_errors(None))
    except SchemaError as error:
        return f"is not a usable JSON Schema: {error.message[:200]}"
    except (re.error, Unresolvable, RecursionError) as error:
        return f"is not a usable JSON Schema: {str(error)[:200]}"
    return None


def errors_of(schema: Any, value: Any) -> list[str]:
    """What of a value does not fit a schema."""
    if isinstance(schema, bool):
        return [] if schema else ["nothing fits the schema"]
    kind = validator_for(schema, default=Draft202012Validator)
    found = []
    try:
        for error in kind(schema, registry=Registry()).iter_errors(value):
            place = "".join(f"/{part}" for part in error.absolute_path)
            found.append(f"{place}: {error.message[:300]}" if place else error.message[:300])
            if len(found) >= MAX_ERRORS:
                break
    except (re.error, Unresolvable, RecursionError) as error:
        return [f"the schema cannot be used: {str(error)[:200]}"]
    return found


# Conditions: {argument: schema}, with dots that lead into objects.

_ALIASES = {
    "gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum", "eq": "const", "in": "enum",
}
_OF_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_OF_TEXTS = {"minLength", "maxLength", "pattern"}
_OF_LISTS = {"items", "prefixItems", "contains", "minContains", "maxContains", "minItems", "maxItems", "uniqueItems"}
_OF_OBJECTS = {
    "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
    "maxProperties", "dependentRequired", "dependentSchemas",
}
_OF_ANY = {"type", "const", "enum"}
_COMBINED = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else"}
_NOTES = {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}
_WORDS = _OF_NUMBERS | _OF_TEXTS | _OF_LISTS | _OF_OBJECTS | _OF_ANY | _COMBINED | _NOTES

_LISTS_OF_SCHEMAS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SCHEMAS = {"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"}
_NAMED_SCHEMAS = {"properties", "patternProperties", "dependentSchemas"}


def _plain(schema: Any, name: str, problems: list[str]) -> Any:
    """A schema of the words of JSON Schema alone."""
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        problems.append(f"{name}: must be a schema, such as {{\"lte\": 50}}")
        return True
    plain: Object = {}
    for given, value in schema.items():
        word = _ALIASES.get(given, given)
        if word not in _WORDS:
            problems.append(f"{name}: {given} is no word of a condition")
        elif word in plain:
            problems.append(f"{name}: {given} stands there twice")
        elif word in _LISTS_OF_SCHEMAS and isinstance(value, list):
            plain[word] = [_plain(item, name, problems) for item in value]
        elif word in _SCHEMAS:
            plain[word] = _plain(value, name, problems)
        elif word in _NAMED_SCHEMAS and isinstance(value, dict):
            plain[word] = {key: _plain(item, f"{name}.{key}", problems) for key, item in value.items()}
        else:
            plain[word] = value
    return plain


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0


class Condition:
    """What the arguments of a call have to fit."""

    def __init__(self, when: Any) -> None:
        """Reads a condition; `ValueError` says what is wrong with it."""
        if not isinstance(when, dict):
            raise ValueError('must be an object of schemas by the names of arguments, such as {"amount": {"lte": 50}}')
        if _depth(when) > MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
        if len(when) > MAX_ARGUMENTS:
            raise ValueError(f"names more than {MAX_ARGUMENTS} arguments")
        if len(dumps(when).encode()) > MAX_BYTES:
            raise ValueError(f"has more than {MAX_BYTES} bytes")
        problems: list[str] = []
        self._rules: list[tuple[str, Any]] = []
        for name, schema in when.items():
            if any(not part.strip() for part in name.split(".")):
                problems.append(f"{name!r}: must name an argument, with dots between names")
                continue
            plain = _plain(schema, name, problems)
            problem = None if isinstance(plain, bool) else problem_of(plain)
            if problem is not None:
                problems.append(f"{name}: {problem}")
            self._rules.append((name, plain))
        if problems:
            raise ValueError("; ".join(problems))

    def misfit(self, arguments: Object) -> str | None:
        """Why a call does not fit, if so. What is missing, or of another type than a word is for, does not."""
        for name, schema in self._rules:
            value: Any = arguments
            for part in name.split("."):
                if not isinstance(value, dict) or part not in value:
                    return f"{name}: is missing"
                value = value[part]
            weighed = _weigh(schema, value)
            if weighed is None:
                return f"{name}: is of another type than the condition is for"
            if not weighed:
                return f"{name}: does not fit {canonical(schema)[:200]}"
        return None


def _all(found: list[bool | None]) -> bool | None:
    return None if None in found else all(found)


def _any(found: list[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _weigh(schema: Any, value: Any) -> bool | None:
    """Whether a value fits; nothing where it is of another type than a word is for."""
    if isinstance(schema, bool):
        return schema
    found = [_weigh_word(schema, word, value) for word in schema if word not in _NOTES and word not in ("then", "else")]
    return _all(found)


def _weigh_word(schema: Object, word: str, value: Any) -> bool | None:
    given = schema[word]
    if word == "allOf":
        return _all([_weigh(item, value) for item in given])
    if word == "anyOf":
        return _any([_weigh(item, value) for item in given])
    if word == "oneOf":
        weighed = [_weigh(item, value) for item in given]
        return None if None in weighed else weighed.count(True) == 1
    if word == "not":
        weighs = _weigh(given, value)
        return None if weighs is None else not weighs
    if word == "if":
        weighs = _weigh(given, value)
        return None if weighs is None else _weigh(schema.get("then" if weighs else "else", True), value)
    if word in _OF_NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return None
    if word in _OF_TEXTS and not isinstance(value, str):
        return None
    if word in _OF_LISTS and not isinstance(value, list):
        return None
    if word in _OF_OBJECTS and not isinstance(value, dict):
        return None
    if word == "properties":
        return _all([_weigh(item, value[name]) for name, item in given.items() if name in value])
    if word == "items":
        rest = value[len(schema.get("prefixItems", [])) :]
        return _all([_weigh(given, item) for item in rest])
    if word == "prefixItems":
        return _all([_weigh(item, one) for item, one in zip(given, value)])
    beside = {
        "additionalProperties": ("properties", "patternProperties"), "contains": ("minContains", "maxContains"),
    }.get(word, ())
    part = {name: schema[name] for name in (word, *beside) if name in schema}
    if "properties" in part:
        part["properties"] = {name: True for name in part["properties"]}
    return not errors_of(part, value)
