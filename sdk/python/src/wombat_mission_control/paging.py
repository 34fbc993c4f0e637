"""Pages of lists, and the cursors that lead from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .errors import invalid
from .fields import Query
from .jsonio import Object, dumps

#: The most bytes that the items of a page have as JSON, unless one alone has more.
PAGE_BYTES = 4 * 1024 * 1024
MAX_LIMIT = 200
DEFAULT_LIMIT = 50

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def cursor(seq: int) -> str:
    """The cursor that leads on from a row's number."""
    digits = ""
    while seq > 0:
        seq, digit = divmod(seq, 36)
        digits = _DIGITS[digit] + digits
    return "c" + digits


def seq_of(text: str) -> int | None:
    """The row's number that a cursor was made of; nothing for any other text."""
    try:
        seq = int(text[1:], 36)
    except ValueError:
        return None
    return seq if 0 < seq < 2**63 and cursor(seq) == text else None


def paging(query: Query) -> tuple[int, int | None]:
    """`limit` and `cursor`."""
    limit = query.number("limit", DEFAULT_LIMIT, MAX_LIMIT)
    if limit == 0:
        raise invalid("limit", "must be at least 1")
    text = query.text("cursor")
    if text is None:
        return limit, None
    seq = seq_of(text)
    if seq is None:
        raise invalid("cursor", "is not a cursor from next_cursor")
    return limit, seq


def page(rows: Iterable[Any], limit: int, item: Callable[[Any], Object], seq: str = "seq") -> Object:
    """The page that rows make, of which one more than `limit` was asked for."""
    items: list[Object] = []
    size, last = 0, 0
    for row in rows:
        made = item(row)
        size += len(dumps(made).encode("utf-8", "replace"))
        if len(items) >= limit or (size > PAGE_BYTES and items):
            return {"items": items, "next_cursor": cursor(last)}
        last = getattr(row, seq)
        items.append(made)
    return {"items": items}
