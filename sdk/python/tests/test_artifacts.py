"""Long results: kept with their run, for its user and role, within bounds, until they expire."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select, text

from wombat_mission_control import MissionControl, Settings, any_user
from wombat_mission_control.api import Headers, Response, query_of
from wombat_mission_control.features.artifacts import delete_expired
from wombat_mission_control.features.retention import expire
from wombat_mission_control.jsonio import dumps, loads, now
from wombat_mission_control.migrations import upgrade
from wombat_mission_control.storage.tables import run_artifacts, runs

from .conftest import INTERNAL, SECRET
from .tokens import token

TEXT = '\ufeff["größe", 1]'


def control(database: str, **more: Any) -> MissionControl:
    mc = MissionControl(database, Settings(SECRET, internal_token=INTERNAL, lead_roles=frozenset({"lead"}), **more), any_user)
    mc.storage.create_all()
    begin(mc, "r1")
    return mc


def agent(user: str = "ann", role: str = "scout") -> dict[str, str]:
    return {"x-agent-token": token(user, role)}


def person(user: str = "ann") -> dict[str, str]:
    return {"x-internal-token": INTERNAL, "x-on-behalf-of": user}


def send(
    mc: MissionControl, who: dict[str, str], method: str, path: str, body: bytes = b"", kind: str = "application/json"
) -> Response:
    path, _, query = path.partition("?")
    raw = [("content-type", kind.encode()), *((name, value.encode()) for name, value in who.items())]
    return mc.handle(mc.begin(method, f"/api/mission-control{path}", Headers(raw), query_of(query)), body)


def begin(mc: MissionControl, run: str, user: str = "ann", role: str = "scout") -> None:
    who = agent(user, role)
    task = loads(send(mc, who, "POST", "/tasks", dumps({"title": "t"}).encode()).body)["id"]
    body = {"session_key": f"user:{user}:{role}", "task_id": task, "status": "running"}
    assert send(mc, who, "PUT", f"/runs/{run}", dumps(body).encode()).status == 200


def path(run: str, content: str) -> str:
    return f"/runs/{run}/artifacts/{hashlib.sha256(content.encode()).hexdigest()}"


def put(mc: MissionControl, who: dict[str, str], run: str, content: str) -> tuple[int, Any]:
    answer = send(mc, who, "PUT", path(run, content), content.encode())
    return answer.status, loads(answer.body)


def code(answer: Response) -> tuple[int, str]:
    return answer.status, loads(answer.body)["code"]


def count(mc: MissionControl) -> int:
    with mc.storage.read() as conn:
        return conn.execute(select(func.count()).select_from(run_artifacts)).scalar_one()


def test_a_result_is_kept_once_for_its_user_and_role(database: str) -> None:
    mc = control(database)
    status, made = put(mc, agent(), "r1", TEXT)
    assert (status, made["size"]) == (201, len(TEXT.encode())) and made["expires_at"] > "2"
    time.sleep(0.002)
    status, again = put(mc, agent(), "r1", TEXT)
    assert status == 200 and again["expires_at"] > made["expires_at"] and count(mc) == 1
    for who, query in ((agent(), ""), (person(), ""), (agent(role="lead"), ""), (agent(role="lead"), "?role=scout")):
        kept = send(mc, who, "GET", path("r1", TEXT) + query)
        assert (kept.status, kept.body.decode()) == (200, TEXT)
        assert kept.headers["content-type"] == "application/json" and kept.headers["content-disposition"] == "attachment"
        assert kept.headers["x-content-type-options"] == "nosniff" and kept.headers["content-security-policy"] == "sandbox"
    for who, query in ((agent("bob"), ""), (agent(role="writer"), ""), (person("bob"), ""), (agent(role="lead"), "?role=writer")):
        assert code(send(mc, who, "GET", path("r1", TEXT) + query)) == (404, "artifact_not_found")
        assert code(send(mc, who, "PUT", path("r1", TEXT) + query, TEXT.encode())) == (404, "not_found")
    for run, content in (("r1", "other"), ("r2", TEXT)):
        assert code(send(mc, agent(), "GET", path(run, content))) == (404, "artifact_not_found")
    assert put(mc, agent(), "r2", TEXT)[0] == 404


def test_what_is_no_such_text_or_too_much_is_refused(database: str) -> None:
    mc = control(database, artifact_max_bytes=2_000, artifact_quota_bytes=3_000)
    wrong = [(path("r1", "a"), b"b"), ("/runs/r1/artifacts/xyz", b"b"), (path("r1", "a\0"), b"a\0")]
    wrong.append((f"/runs/r1/artifacts/{hashlib.sha256(bytes([255])).hexdigest()}", b"\xff"))
    for where, body in wrong:
        assert code(send(mc, agent(), "PUT", where, body)) == (400, "invalid_payload")
    assert code(send(mc, agent(), "PUT", path("r1", "a"), b"a", "no type")) == (400, "invalid_payload")
    packed = send(mc, agent() | {"content-encoding": "gzip"}, "PUT", path("r1", "a"), b"a")
    assert code(packed) == (415, "unsupported_media_type") and count(mc) == 0
    status, refused = put(mc, agent(), "r1", "x" * 2_001)
    assert (status, refused["code"], refused["details"]) == (413, "artifact_too_large", {"max_bytes": 2_000})
    assert put(mc, agent(), "r1", "y" * 1_990)[0] == 201
    # A small one counts as a kilobyte, in any run of the user.
    begin(mc, "r2")
    status, refused = put(mc, agent(), "r2", "z")
    assert (status, refused["code"]) == (413, "quota_exceeded")
    assert refused["details"] == {"quota_bytes": 3_000, "used_bytes": 1_990}
    # What is there takes no more room, and others have their own.
    assert put(mc, agent(), "r1", "y" * 1_990)[0] == 200
    begin(mc, "r1", "bob")
    assert put(mc, agent("bob"), "r1", "z")[0] == 201
    for limit in ({"artifact_max_bytes": 2**30}, {"artifact_ttl_secs": 0}, {"artifact_quota_bytes": -1}):
        with pytest.raises(ValueError, match="artifact_"):
            Settings(SECRET, **limit)


def test_it_expires_and_is_deleted_then(database: str) -> None:
    mc = control(database, artifact_ttl_secs=1, artifact_quota_bytes=1_024)
    put(mc, agent(), "r1", "text")
    time.sleep(1.01)
    assert code(send(mc, agent(), "GET", path("r1", "text"))) == (404, "artifact_not_found")
    # Expired ones take no room, and are put anew.
    assert put(mc, agent(), "r1", "text")[0] == 201 and count(mc) == 1
    delete_expired(mc)
    assert count(mc) == 1
    time.sleep(1.01)
    mc.upkeep.run_once()
    assert count(mc) == 0


def test_it_is_exported_and_goes_with_its_user_or_its_run(database: str) -> None:
    mc = control(database, retention_days={"runs": 1})
    begin(mc, "r2", "bob")
    put(mc, agent(), "r1", TEXT)
    put(mc, agent("bob"), "r2", "bob's")
    lines = send(mc, person(), "GET", "/users/ann/agent-data").stream
    assert lines is not None
    told = [loads(line) for line in b"".join(lines).splitlines()]
    (item,) = [line["item"] for line in told if line["kind"] == "artifacts"]
    assert (item["content"], item["run_key"], item["user_id"]) == (TEXT, "r1", "ann")
    erased = loads(send(mc, person(), "DELETE", "/users/ann/agent-data?messages=delete").body)
    assert erased["counts"]["artifacts"] == 1 and count(mc) == 1
    with mc.storage.write("bob") as tx:
        tx.conn.execute(runs.update().values(status="completed", updated_at=now().replace(year=2001)))
    assert expire(mc) == {"runs": 1} and count(mc) == 0


def test_a_database_of_before_gets_the_table(database: str) -> None:
    engine = create_engine(database)
    upgrade(engine, "0002")
    with engine.begin() as conn:
        at = "'2026-01-01 00:00:00'"
        conn.execute(text(
            "INSERT INTO wombat_runs (run_key, user_id, role, status, created_at, updated_at) "
            f"VALUES ('r1', 'ann', 'scout', 'running', {at}, {at})"
        ))
    upgrade(engine)
    mc = MissionControl(engine, Settings(SECRET, internal_token=INTERNAL), any_user)
    assert put(mc, agent(), "r1", TEXT)[0] == 201
    engine.dispose()
