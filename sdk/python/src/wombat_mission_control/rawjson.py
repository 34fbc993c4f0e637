"""Parts of a JSON text as they were sent: what a person approves has all its digits, in its order."""

from __future__ import annotations

import json
import re
from decimal import Decimal

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def raw_field(text: str, name: str) -> str | None:
    """The text of a field of a JSON object; `ValueError` where it stands twice. The text is valid JSON."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return None
    found: str | None = None
    at = _skip(text, at + 1)
    while text[at : at + 1] == '"':
        key, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        if key == name:
            if found is not None:
                raise ValueError(f"{name} is given twice")
            found = text[start:at]
        at = _skip(text, at)
        at = _skip(text, at + 1) if text[at : at + 1] == "," else len(text)
    return found


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def lost_number(text: str) -> str | None:
    """The first number of a JSON text that is another one once it is read by whoever reads doubles and integers of 64 bits."""
    lost: list[str] = []

    def whole(digits: str) -> int:
        number = int(digits)
        if not -(2**63) <= number < 2**64 and Decimal(repr(float(number))) != number:
            lost.append(digits)
        return number

    def double(digits: str) -> float:
        number = float(digits)
        if Decimal(repr(number)) != Decimal(digits):
            lost.append(digits)
        return number

    json.loads(text, parse_int=whole, parse_float=double)
    return lost[0] if lost else None
