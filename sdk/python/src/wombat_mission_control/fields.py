"""Fields of bodies and queries: each is checked as it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .errors import invalid
from .jsonio import Object

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def storable(name: str, text: str) -> str:
    """Refuses the character that no database column of text holds."""
    if "\0" in text:
        raise invalid(name, "must not have the character U+0000")
    return text


def moment(name: str, text: str) -> datetime:
    """Reads a time of RFC 3339."""
    if not _RFC3339.fullmatch(text):
        raise invalid(name, "must be a time of RFC 3339")
    plain = re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace(" ", "T")).replace("Z", "+00:00")
    plain = re.sub(r":60(?=[.+-])", ":59", plain)
    try:
        return datetime.fromisoformat(plain).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise invalid(name, "must be a time of RFC 3339") from None


class Fields:
    """The fields of a JSON object. `under` is prefixed to names in errors."""

    def __init__(self, raw: Object, under: str = "") -> None:
        self.raw = raw
        self.under = under

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self.raw.get(name) is not None

    def need(self, name: str) -> Any:
        """A field that is required."""
        value = self.raw.get(name)
        if value is None:
            raise invalid(self.under + name, "is required")
        return value

    def opt_text(self, name: str, most: int | None = None) -> str | None:
        """A text, or nothing."""
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise invalid(self.under + name, "must be a text")
        if most is not None and len(value) > most:
            raise invalid(self.under + name, f"must have at most {most} characters")
        return storable(self.under + name, value)

    def text(self, name: str, most: int | None = None) -> str:
        """A text that is required and not blank."""
        self.need(name)
        value = self.opt_text(name, most) or ""
        if not value.strip():
            raise invalid(self.under + name, "must not be empty")
        return value

    def filled(self, name: str, most: int | None = None) -> str | None:
        """A text that is not blank, or nothing."""
        return self.text(name, most) if self.has(name) else None

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """One of these texts, or nothing."""
        value = self.opt_text(name)
        if value is not None and value not in options:
            raise invalid(self.under + name, f"must be {_either(options)}")
        return value

    def opt_int(self, name: str, least: int = 0, most: int = 2**63 - 1) -> int | None:
        """A whole number within bounds, or nothing."""
        value = self.raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(self.under + name, "must be a whole number")
        if not least <= value <= most:
            bounds = f"from {least} to {most}" if most < 2**63 - 1 else f"at least {least}"
            raise invalid(self.under + name, f"must be {bounds}")
        return value

    def integer(self, name: str, least: int = 0, most: int = 2**63 - 1) -> int:
        """A whole number that is required."""
        self.need(name)
        value = self.opt_int(name, least, most)
        assert value is not None
        return value

    def number(self, name: str, least: float, most: float) -> float:
        """A number that is required, within bounds."""
        value = self.need(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise invalid(self.under + name, "must be a number")
        if not least <= value <= most:
            raise invalid(self.under + name, f"must be from {least:g} to {most:g}")
        return float(value)

    def opt_number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds, or nothing."""
        return self.number(name, least, most) if self.has(name) else None

    def flag(self, name: str) -> bool | None:
        """True, false, or nothing."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, bool):
            raise invalid(self.under + name, "must be true or false")
        return value

    def obj(self, name: str) -> Object | None:
        """An object, or nothing."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, dict):
            raise invalid(self.under + name, "must be an object")
        return value

    def sub(self, name: str) -> Fields | None:
        """The fields of an object, or nothing."""
        value = self.obj(name)
        return None if value is None else Fields(value, f"{self.under}{name}.")

    def items(self, name: str, most: int) -> list[Any]:
        """A list; empty where it is absent."""
        value = self.raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid(self.under + name, "must be a list")
        if len(value) > most:
            raise invalid(self.under + name, f"are more than {most}")
        return value

    def texts(self, name: str, most: int, longest: int | None = None) -> list[str]:
        """A list of texts; empty where it is absent."""
        values = self.items(name, most)
        for value in values:
            if not isinstance(value, str) or (longest is not None and len(value) > longest):
                raise invalid(self.under + name, "must be texts" + (f" of at most {longest} characters" if longest else ""))
            storable(self.under + name, value)
        return values

    def opt_time(self, name: str) -> datetime | None:
        """A time of RFC 3339, or nothing."""
        text = self.opt_text(name)
        return None if text is None else moment(self.under + name, text)


def _either(options: Sequence[str]) -> str:
    return options[0] if len(options) == 1 else ", ".join(options[:-1]) + f" or {options[-1]}"


class Query:
    """The parameters of a query."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = params

    def has(self, name: str) -> bool:
        """Whether it is named."""
        return name in self.params

    def text(self, name: str) -> str | None:
        """A text, or nothing."""
        value = self.params.get(name)
        return None if value is None else storable(name, value)

    def need(self, name: str) -> str:
        """A text that is required."""
        value = self.text(name)
        if value is None:
            raise invalid(name, "is required")
        return value

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """One of these texts, or nothing."""
        value = self.text(name)
        if value is not None and value not in options:
            raise invalid(name, f"must be {_either(options)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.choice(name, ("true", "false"))
        return default if value is None else value == "true"

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number; larger ones count as `most`."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", value):
            raise invalid(name, "must be a whole number")
        return min(int(value), most)

    def time(self, name: str) -> datetime | None:
        """A time of RFC 3339, or nothing."""
        value = self.text(name)
        # A plus in a query may stand for a space.
        return None if value is None else moment(name, re.sub(r" (\d\d:\d\d)$", r"+\1", value))
