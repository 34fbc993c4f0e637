"""What runs tell while they work: kept until some time after the run's last write."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ..api import Response, Routes, json_response
from ..call import Call
from ..errors import ContractError, conflict, forbidden, invalid, stale_fence
from ..jsonio import Object, canonical, loads, now
from ..paging import PAGE_BYTES
from ..scope import Agent, Fence, Scope
from ..storage.engine import Tx
from ..storage.tables import run_deltas, run_told, runs
from .leases import check_fence_of_run
from .run_rows import check_key, need, scope_of_role

routes = Routes("run_stream")

MAX_BYTES = 1024 * 1024
MAX_EVENTS = 256
MAX_ID = 2**53 - 1
IDS_PER_FENCE = 1_000_000
MAX_LIMIT = 1_000
#: The least time between two batches of a run in the long term, and how far ahead of that they may be.
PACE_MS, AHEAD_MS = 50, 950
#: For how long after the run's last write it is kept, and how much of one run.
KEPT = timedelta(hours=1)
MAX_KEPT = 16 * 1024 * 1024
_OVER = ("completed", "cancelled", "failed")


def _stand(conn: Connection, seq: int) -> Any | None:
    return conn.execute(select(run_told).where(run_told.c.run_seq == seq)).first()


def last_id(conn: Connection, seq: int) -> int:
    """The id of the newest event that a run has told."""
    stand = _stand(conn, seq)
    return 0 if stand is None else int(stand.last_id)


def _is_over(conn: Connection, stand: Any) -> bool:
    written = conn.execute(select(runs.c.updated_at).where(runs.c.seq == stand.run_seq)).scalar_one()
    return bool(stand.bytes > 0 and max(stand.written_at, written) + KEPT < now())


def _numbered(row: Any) -> list[Object]:
    return [event | {"id": row.first_id + place} for place, event in enumerate(loads(row.events))]


def read(conn: Connection, seq: int, after: int, limit: int) -> Object:
    """What a run has told after an id."""
    stand = _stand(conn, seq)
    if stand is None:
        return {"events": [], "last_seq": 0, "expired": False}
    answer: Object = {"events": [], "last_seq": stand.last_id, "expired": bool(stand.expired)}
    if _is_over(conn, stand):
        return answer | {"expired": True}
    t = run_deltas.c
    rows = conn.execute(select(run_deltas).where(t.run_seq == seq, t.last_id > after).order_by(t.first_id).limit(limit))
    found: list[Object] = answer["events"]
    size = 0
    for row in rows:
        size += len(row.events)
        if size > PAGE_BYTES and found:
            break
        found += [event for event in _numbered(row) if event["id"] > after]
        if len(found) >= limit:
            break
    del found[limit:]
    return answer


def _batch(call: Call) -> tuple[int, list[str]]:
    fields = call.fields
    items, seq = fields.items("events", MAX_EVENTS), fields.integer("seq")
    fields.need("events")
    if not 1 <= seq <= MAX_ID - len(items):
        raise invalid("seq", "must be a whole number from 1")
    texts = []
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid("events", "must be objects")
        if item.get("id") not in (None, seq + at):
            raise invalid("events", "must have the ids that follow from seq, or none")
        texts.append(canonical({name: value for name, value in item.items() if name != "id"}))
    return seq, texts


def _paced(paced_ms: int, at_ms: int) -> int:
    """From when on the next batch may come; 429 where they come too fast."""
    if paced_ms > at_ms + AHEAD_MS:
        raise ContractError(429, "too_many_deltas", "a run tells at most 20 batches a second; send fewer, larger ones")
    return max(paced_ms, at_ms) + PACE_MS


def _known(tx: Tx, seq: int, newest: int, first: int, texts: list[str]) -> int:
    """How many events of a batch are known already; refuses others under known ids, and any before the newest."""
    if first > newest or not texts:
        return 0
    t = run_deltas.c
    there: dict[int, str] = {}
    for row in tx.conn.execute(select(run_deltas).where(t.run_seq == seq, t.last_id >= first)):
        for place, event in enumerate(loads(row.events)):
            there[row.first_id + place] = canonical(event)
    count = 0
    for at, text in enumerate(texts):
        if first + at > newest:
            break
        if there.get(first + at) != text:
            raise conflict("seq_conflict", "another event has this id", {"last_seq": newest})
        count += 1
    return count


def _add(tx: Tx, scope: Scope, run_key: str, fence: Fence, first: int, texts: list[str]) -> Object:
    row = need(tx.conn, scope, run_key)
    if row.status in _OVER:
        raise conflict("run_finished", "the run is over, and tells nothing any more", {"status": row.status})
    check_fence_of_run(tx, scope, fence, row)
    stand = _stand(tx.conn, row.seq)
    newest, size, expired = (stand.last_id, stand.bytes, stand.expired) if stand else (0, 0, False)
    paced = _paced(stand.paced_ms if stand else 0, int(tx.at.timestamp() * 1000))
    if stand is not None and _is_over(tx.conn, stand):
        tx.conn.execute(delete(run_deltas).where(run_deltas.c.run_seq == row.seq))
        size, expired = 0, True
    known = _known(tx, row.seq, newest, first, texts)
    new = texts[known:]
    if new:
        text = f"[{','.join(new)}]"
        size += len(text.encode())
        if size > MAX_KEPT:
            raise ContractError(413, "deltas_full", "the run has told more than is kept", {"max_bytes": MAX_KEPT})
        newest = first + known + len(new) - 1
        values = {"run_seq": row.seq, "first_id": first + known, "last_id": newest, "events": text}
        tx.conn.execute(insert(run_deltas).values(values))
    changes = {"last_id": newest, "bytes": size, "paced_ms": paced, "expired": expired, "written_at": tx.at}
    if stand is None:
        tx.conn.execute(insert(run_told).values(changes | {"run_seq": row.seq}))
    else:
        tx.conn.execute(update(run_told).where(run_told.c.run_seq == row.seq).values(changes))
    if row.lease_id != fence.lease_id:
        taken = {"lease_id": fence.lease_id, "orphan_until": None}
        tx.conn.execute(update(runs).where(runs.c.seq == row.seq).values(taken))
    return {"last_seq": newest, "cancel_requested": row.cancel_requested}


@routes.add("POST", "/runs/{run_key}/deltas", MAX_BYTES)
def post(call: Call) -> Response:
    """Keeps what a run tells. What is known already changes nothing."""
    tenant, run_key = call.tenant(), check_key(call.params["run_key"])
    if not isinstance(tenant, Agent):
        raise forbidden("only the agent that runs it tells what a run says")
    scope = scope_of_role(call.write_scope(tenant), call.query)
    if scope.fence is None:
        raise invalid("X-Session-Fence", "is required")
    named = call.fields.integer("fence", -(2**63))
    first, texts = _batch(call)
    if named != scope.fence.fence:
        raise stale_fence()
    start = named * IDS_PER_FENCE
    if texts and not (start < first and first + len(texts) - 1 <= start + IDS_PER_FENCE):
        raise invalid("seq", "must be an id of the lease, from fence * 1000000 + 1 on")
    with call.mc.write(scope) as tx:
        answer = _add(tx, scope, run_key, scope.fence, first, texts)
    if texts:
        call.mc.storage.wake()
    return json_response(answer)


@routes.add("GET", "/runs/{run_key}/deltas")
def get(call: Call) -> Response:
    """What a run has told after an id."""
    scope = scope_of_role(call.read_scope(), call.query)
    after = call.query.number("after", 0, 2**62)
    limit = call.query.number("limit", 256, MAX_LIMIT)
    if after > MAX_ID:
        raise invalid("after", "must be a whole number from 0")
    if limit == 0:
        raise invalid("limit", "must be at least 1")
    with call.mc.storage.read() as conn:
        row = need(conn, scope, call.params["run_key"])
        return json_response(read(conn, row.seq, after, limit))


def forget_old(tx: Tx) -> None:
    """Deletes what runs told that were last written long ago, and keeps that they did."""
    t = run_told.c
    query = (
        select(t.run_seq)
        .select_from(run_told.join(runs, runs.c.seq == t.run_seq))
        .where(t.bytes > 0, t.written_at < tx.at - KEPT, runs.c.updated_at < tx.at - KEPT)
        .limit(50)
    )
    old = list(tx.conn.execute(query).scalars())
    if old:
        tx.conn.execute(delete(run_deltas).where(run_deltas.c.run_seq.in_(old)))
        tx.conn.execute(update(run_told).where(t.run_seq.in_(old)).values(bytes=0, expired=True))
