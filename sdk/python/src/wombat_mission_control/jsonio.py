"""JSON as the contract has it: objects, exact integers, one spelling to compare by; times; ids."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from datetime import datetime, timezone
from typing import Any

from .errors import ContractError

#: The largest body without a limit of its own, in bytes.
MAX_BODY = 2 * 1024 * 1024

Object = dict[str, Any]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def loads(text: str | bytes) -> Any:
    """Reads JSON, and nothing that only looks like it."""
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)


def dumps(value: Any) -> str:
    """Writes JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def malformed(why: str) -> ContractError:
    """400: a body that is no JSON object."""
    return ContractError(400, "malformed_json", why)


def parse_object(body: bytes) -> Object:
    """Reads a body; one without a byte is an empty object."""
    if not body:
        return {}
    try:
        value = loads(body.decode("utf-8"))
        if b"\\ud" in body or b"\\uD" in body:
            # Half a surrogate pair is no text.
            dumps(value).encode("utf-8")
    except RecursionError:
        raise malformed("the body is nested too deeply") from None
    except ValueError as error:
        raise malformed(f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise malformed("the body must be a JSON object")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def canonical(value: Any) -> str:
    """One text for equal values: keys sorted, `1.0` as `1`."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(timezone.utc)


def stamp(moment: datetime | None) -> str | None:
    """A time as it is answered."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def without_none(**fields: Any) -> Object:
    """An object without the fields that are absent."""
    return {name: value for name, value in fields.items() if value is not None}


def new_id() -> str:
    """A new id that sorts by time (UUID version 7)."""
    ms = time.time_ns() // 1_000_000
    value = (ms & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
