"""What several callers at once must not break: each notification once and in order, each create once."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, func, insert, select

from wombat_mission_control import MissionControl, Settings, any_user
from wombat_mission_control.api import Headers
from wombat_mission_control.features.dispatch import acknowledge, take
from wombat_mission_control.features.notifications import Notice, insert_notice
from wombat_mission_control.jsonio import Object, dumps, loads
from wombat_mission_control.storage.tables import events, tasks

from .conftest import INTERNAL, SECRET, Postgres
from .tokens import token


def control(database: str, **more: object) -> MissionControl:
    mc = MissionControl(database, Settings(SECRET, internal_token=INTERNAL, **more), any_user)
    mc.storage.create_all()
    return mc


def call(mc: MissionControl, method: str, path: str, body: Object, **headers: str) -> tuple[int, Object]:
    raw = [("content-type", b"application/json"), *((name.replace("_", "-"), text.encode()) for name, text in headers.items())]
    made = mc.begin(method, f"/api/mission-control{path}", Headers(raw), {})
    response = mc.handle(made, dumps(body).encode())
    return response.status, loads(response.body)


def at_once(many: int, work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not problems, problems


def test_several_dispatchers_get_each_notification_once_and_in_order(database: str) -> None:
    mc = control(database)
    sessions, each = 12, 8
    for number in range(sessions * each):
        user = f"u{number % sessions}"
        with mc.storage.write(user) as tx:
            insert_notice(tx, Notice(user, f"user:{user}:scout", str(number)))
    seen: dict[str, list[int]] = defaultdict(list)
    lock = threading.Lock()

    def dispatch(_number: int) -> None:
        quiet = 0
        while quiet < 20:
            with mc.storage.write() as tx:
                got = take(tx, 100, 7, 60)
            with lock:
                for one in got:
                    seen[one["session_key"]].append(int(one["content"]))
            quiet = 0 if got else quiet + 1
            with mc.storage.write() as tx:
                acknowledge(tx, [(one["notification_id"], one["user_id"]) for one in got])

    at_once(4, dispatch)
    assert sum(len(got) for got in seen.values()) == sessions * each
    assert all(got == sorted(set(got)) for got in seen.values()), seen


def test_of_equal_creates_at_once_one_makes_it(database: str) -> None:
    mc, made = control(database), []

    def create(_number: int) -> None:
        body = {"title": "once", "idempotency_key": "k"}
        made.append(call(mc, "POST", "/tasks", body, x_agent_token=token()))

    at_once(8, create)
    assert {status for status, _ in made} == {200}
    assert len({body["id"] for _, body in made}) == 1
    with mc.storage.read() as conn:
        assert conn.execute(select(func.count()).select_from(tasks)).scalar_one() == 1


def test_events_are_numbered_in_the_order_of_commits(database: str) -> None:
    mc = control(database)

    def newest() -> int:
        with mc.storage.read() as conn:
            return conn.execute(select(func.coalesce(func.max(events.c.id), 0))).scalar_one()

    other = threading.Thread(target=lambda: call(mc, "POST", "/tasks", {"title": "t"}, x_agent_token=token("bob")))
    with mc.storage.write("ann") as tx:
        tx.lock_order()
        row = {"user_id": "ann", "kind": "k", "data": "{}", "created_at": tx.at}
        first = tx.conn.execute(insert(events).values(row).returning(events.c.id)).scalar_one()
        other.start()
        other.join(1)
        # Who reads now and goes on after the newest number must not miss this one.
        assert newest() < first
    other.join(60)
    assert newest() > first


def test_no_reader_misses_an_event(database: str) -> None:
    mc, seen = control(database), []
    stop = threading.Event()

    def watch() -> None:
        after = 0
        while not stop.is_set():
            with mc.storage.read() as conn:
                rows = conn.execute(select(events.c.id).where(events.c.id > after).order_by(events.c.id)).scalars().all()
            if rows:
                seen.extend(rows)
                after = rows[-1]

    watcher = threading.Thread(target=watch)
    watcher.start()

    def create(number: int) -> None:
        for _ in range(10):
            call(mc, "POST", "/tasks", {"title": "t"}, x_agent_token=token(f"u{number}"))

    at_once(4, create)
    stop.wait(0.3)
    stop.set()
    watcher.join()
    with mc.storage.read() as conn:
        there = conn.execute(select(events.c.id).order_by(events.c.id)).scalars().all()
    assert seen == list(there) and len(seen) == 40


def test_an_engine_of_another_isolation_level_is_no_hindrance(postgres: Postgres) -> None:
    engine = create_engine(postgres.database(), isolation_level="REPEATABLE READ")
    mc = MissionControl(engine, Settings(SECRET, internal_token=INTERNAL), any_user)
    mc.storage.create_all()
    made: list[tuple[int, Object]] = []

    def create(_number: int) -> None:
        body = {"title": "once", "idempotency_key": "k"}
        made.append(call(mc, "POST", "/tasks", body, x_agent_token=token()))

    at_once(8, create)
    assert {status for status, _ in made} == {200} and len({body["id"] for _, body in made}) == 1
    engine.dispose()


def test_a_budget_that_users_share_is_never_overspent(database: str) -> None:
    mc = control(database)
    limit = {"role": "scout", "limit_usd": 1.0, "period": "month"}
    assert call(mc, "PUT", "/budget", limit, x_internal_token=INTERNAL)[0] == 200
    statuses: list[int] = []

    def reserve(number: int) -> None:
        body = {"run_id": "r", "estimate_usd": 0.3, "idempotency_key": f"k{number}"}
        statuses.append(call(mc, "POST", "/budget/reserve", body, x_agent_token=token(f"u{number}"))[0])

    at_once(8, reserve)
    assert sorted(statuses) == [200] * 3 + [402] * 5


def test_a_write_within_a_write_is_refused_at_once(database: str) -> None:
    mc = control(database)
    with mc.storage.write("ann"), pytest.raises(RuntimeError, match="call.connection"), mc.storage.write("ann"):
        pass
    assert mc.person("ann").create_task("t")["title"] == "t"


def test_a_heartbeat_counts_each_time(database: str) -> None:
    mc = control(database)
    for _ in range(2):
        status, body = call(mc, "POST", "/heartbeat", {"user_id": "ann"}, x_agent_token=token())
        assert (status, body["claimed"]) == (200, True)


def test_a_user_whom_the_application_does_not_know_is_a_404(database: str) -> None:
    mc = MissionControl(database, Settings(SECRET, internal_token=INTERNAL), lambda who: who.user_id == "ann" or None)
    mc.storage.create_all()
    assert call(mc, "POST", "/tasks", {"title": "t"}, x_agent_token=token("ann"))[0] == 200
    assert call(mc, "POST", "/tasks", {"title": "t"}, x_agent_token=token("bob"))[0] == 404
    assert call(mc, "GET", "/capabilities", {}, x_agent_token=token("wombat", "system"))[0] == 200
