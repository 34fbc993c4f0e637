"""What a backend does by itself: questions end, schedules are due, what is old goes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from ..call import Call
from ..errors import ContractError
from ..jsonio import now
from ..storage import tables as t
from .artifacts import delete_expired
from .audit import Act, record, record_at_most
from .deltas import forget_old
from .delivery import tell_due
from .erasing import KEPT, go_on
from .files import forget_gone, users_of_gone
from .retention import expire
from .schedules import make_due_slots, recompute
from ..scope import system
from .tool_requests import expire_questions

if TYPE_CHECKING:
    from ..core import MissionControl

log = logging.getLogger("wombat_mission_control")

#: How many of a role's denied calls of one endpoint are recorded in an hour.
MAX_DENIED = 10
#: For how long keys of creates are kept.
KEYS_KEPT = timedelta(hours=48)


class Upkeep:
    """Does what is due, in one thread of each process. Instances share the work: each piece is done once."""

    def __init__(self, mc: MissionControl) -> None:
        self._mc = mc
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        self._noted_poll = 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether the backend stops: event streams end then."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begins, unless it has begun."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="wombat-upkeep", daemon=True)
                self._thread.start()

    def end_streams(self) -> None:
        """Ends the event streams, so that a server that waits for its connections can stop."""
        self._stop.set()
        self._mc.storage.wake()

    def stop(self) -> None:
        """Ends; waits for the piece of work that is going on."""
        self.end_streams()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    def before_poll(self) -> None:
        """Makes what is due before the queue is read."""
        if time.monotonic() - self._noted_poll >= 1:
            self._noted_poll = time.monotonic()
            self._try("schedules", lambda: make_due_slots(self._mc))

    def _run(self) -> None:
        self._try("start", self._begin)
        while not self._stop.wait(1.0):
            self.run_once()

    def run_once(self) -> None:
        """Does all that is due at this moment."""
        mc = self._mc
        self._every("questions", 1, lambda: expire_questions(mc))
        self._every("schedules", 1, lambda: make_due_slots(mc))
        self._every("digests", 5, self._digests)
        self._every("erasures", 30, lambda: go_on(mc))
        self._every("old", 300, self._forget)
        self._every("files", 300, self._files)
        self._every("artifacts", 300, lambda: delete_expired(mc))
        if mc.settings.retention_days:
            self._every("retention", 3600, lambda: expire(mc))

    def _every(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        if time.monotonic() >= self._next.get(name, 0.0):
            self._next[name] = time.monotonic() + seconds
            self._try(name, work)

    def _try(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except ContractError as error:
            # The database is away: it is done the next time.
            log.warning("%s could not be done: %s", name, error)
        except Exception:
            log.exception("%s could not be done", name)

    def _begin(self) -> None:
        with self._mc.storage.write() as tx:
            record(tx, system(), Act("backend.started", details={"library": "wombat-mission-control (Python)"}))
        recompute(self._mc)

    def _digests(self) -> None:
        due = t.dead_letter_digests.c
        with self._mc.storage.read() as conn:
            users = list(conn.execute(select(due.user_id).where(due.due_at <= now()).limit(100)).scalars())
        for user_id in users:
            with self._mc.storage.write(user_id) as tx:
                tell_due(tx, user_id)

    def _forget(self) -> None:
        lease, newer = t.leases, t.leases.alias()
        later = select(newer.c.seq).where(
            newer.c.session_key == lease.c.session_key, newer.c.task_id == lease.c.task_id, newer.c.fence > lease.c.fence
        )
        with self._mc.storage.write() as tx:
            conn, at = tx.conn, tx.at
            conn.execute(delete(t.idempotency).where(t.idempotency.c.created_at < at - KEYS_KEPT))
            conn.execute(delete(lease).where(lease.c.expires_at < at - timedelta(days=2), later.exists()))
            conn.execute(delete(t.reservations).where(t.reservations.c.expires_at < at - timedelta(days=2)))
            conn.execute(delete(t.budget_warnings).where(t.budget_warnings.c.period_end < at - timedelta(days=2)))
            conn.execute(delete(t.heartbeat_slots).where(t.heartbeat_slots.c.created_at < at - timedelta(days=90)))
            conn.execute(delete(t.memories).where(t.memories.c.expires_at <= at))
            conn.execute(delete(t.erased_runs).where(t.erased_runs.c.erased_at < at - KEPT))
            old = select(t.approval_rules.c.seq).where(t.approval_rules.c.expires_at < at - timedelta(days=366))
            conn.execute(delete(t.approval_rule_uses).where(t.approval_rule_uses.c.rule_seq.in_(old)))
            conn.execute(delete(t.approval_rules).where(t.approval_rules.c.seq.in_(old)))
            forget_old(tx)

    def _files(self) -> None:
        with self._mc.storage.read() as conn:
            users = users_of_gone(conn)
        for user_id in users:
            with self._mc.storage.write(user_id) as tx:
                forget_gone(tx, user_id)

    def note_denied(self, call: Call, path: str, error: ContractError) -> None:
        """Records a call of an agent that acts as another role, or as a person."""
        agent = call.agent_seen
        if error.status != 403 or agent is None:
            return
        act = Act("access.denied", agent.user_id, None, {"method": call.request.method, "path": path})
        scope = agent.scope(call.trace_id)

        def work() -> None:
            with self._mc.write(scope) as tx:
                record_at_most(tx, scope.actor, act, MAX_DENIED)

        self._try("a denied call", work)
