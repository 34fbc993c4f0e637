"""Canonical JSON (RFC 8785): equal values give equal bytes in every language."""

from __future__ import annotations

import json
from typing import Any

#: A whole number up to which doubles are exact.
_EXACT = 2**53


def canonical(value: Any) -> str:
    """The canonical form; `ValueError` for a number that is not exact as a double."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _EXACT:
            raise ValueError(f"the number {value} is not exact as a double: send it as a text")
        return str(value)
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, dict):
        # By UTF-16 code units (section 3.2.3).
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    raise ValueError("is no JSON")


def _double(number: float) -> str:
    """A double as ECMAScript writes it (ECMA-262, `Number::toString`)."""
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = (whole + rest).lstrip("0")
    leading = len(whole + rest) - len(digits)
    digits = digits.rstrip("0")
    # The value is 0.digits × 10^point.
    point = int(exponent or 0) + len(whole) - leading
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    shown = digits[0] + ("." + digits[1:] if count > 1 else "")
    power = point - 1
    return f"{sign}{shown}e{'-' if power < 0 else '+'}{abs(power)}"
