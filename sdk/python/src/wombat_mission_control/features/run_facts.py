"""What lists of runs show of a run, as its daemon sends it with the run's status."""

from __future__ import annotations

from typing import Any

from ..fields import Fields
from ..jsonio import Object
from ..storage.engine import Tx
from ..words import words_of

#: The most characters that are kept of message and reply.
MAX_TEXT = 4_000
#: Statuses in which nobody works on a run.
OVER = ("completed", "failed", "cancelled", "interrupted")


def changes(tx: Tx, known: Any, status: str, fields: Fields) -> Object:
    """What a `PUT` says of a run that is in this status from now on. Of fields of another type nothing is known."""
    found: Object = {}
    for name in ("model", "provider", "message_id"):
        value = fields.raw.get(name)
        if isinstance(value, str):
            found[name] = value.replace("\0", "")
    if isinstance(fields.raw.get("usage"), dict):
        found["used"] = fields.raw["usage"]
    cost = fields.raw.get("cost_usd")
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        found["cost_usd"] = float(cost)
    error = next((fields.raw[name] for name in ("error_code", "error") if isinstance(fields.raw.get(name), str)), None)
    found["error_code"] = (error or known.error_code) if status == "failed" else None
    if status in OVER:
        found["ended_at"] = known.ended_at or tx.at
        took = (tx.at - known.created_at).total_seconds() * 1000
        found["duration_ms"] = known.duration_ms if known.duration_ms is not None else max(0, int(took))
    else:
        found |= {"ended_at": None, "duration_ms": None}
    texts = {name: fields.raw.get(name) for name in ("asked", "reply")}
    if any(isinstance(text, str) for text in texts.values()):
        for name, text in texts.items():
            kept = text.replace("\0", "")[:MAX_TEXT] if isinstance(text, str) else getattr(known, name)
            found[name] = kept
        found["words"] = words_of(f"{found['asked'] or ''} {found['reply'] or ''}")
    return found
