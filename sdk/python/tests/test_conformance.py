"""The conformance suite against each framework on each database: every feature, no failure, nothing left out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from .conftest import INTERNAL, SECRET, Postgres, Server
from .tokens import token

FEATURES = Path(__file__).resolve().parents[3] / "docs" / "contract.openapi.json"
KINDS = [(app, database) for app in ("fastapi_app", "django_app") for database in ("sqlite", "postgresql")]


def suite() -> str:
    program = os.environ.get("WOMBAT_MISSION_CONTROL")
    if not program:
        pytest.skip("WOMBAT_MISSION_CONTROL names no program with the conformance suite")
    return program


@pytest.fixture(scope="module")
def reports(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """All of them at the same time: the suite waits more than it computes."""
    program, folder = suite(), tmp_path_factory.mktemp("conformance")
    env = os.environ | {"AGENT_JWT_SECRET": SECRET, "INTERNAL_API_TOKEN": INTERNAL}
    servers, runs, found = [], [], {}
    try:
        for app, database in KINDS:
            address = postgres.database() if database == "postgresql" else f"sqlite:///{folder}/{app}.db"
            server = Server(app, address)
            servers.append(server)
            report = found[(app, database)] = folder / f"{app}-{database}.json"
            command = [program, "conformance", "--url", server.url, "--json", str(report)]
            with open(report.with_suffix(".txt"), "w") as out:
                runs.append(subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=folder))
        for run in runs:
            run.wait(300)
    finally:
        for run in runs:
            run.kill()
        for server in servers:
            server.stop()
    return found


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_the_contract_is_kept(reports: dict[tuple[str, str], Path], kind: tuple[str, str]) -> None:
    text = reports[kind].with_suffix(".txt").read_text()
    assert " 0 failed in the required part, 0 failed in optional features" in text, text[-4000:]
    assert "not offered" not in text, text
    checks = json.loads(reports[kind].read_text())
    assert len(json.dumps(checks)) > 10_000


def test_every_feature_of_the_contract_is_announced(tmp_path: Path) -> None:
    server = Server("fastapi_app", f"sqlite:///{tmp_path}/a.db")
    try:
        answer = httpx.get(f"{server.url}/api/mission-control/capabilities", headers={"X-Agent-Token": token()})
        offered = {name for name, is_there in answer.json()["features"].items() if is_there}
    finally:
        server.stop()
    paths = json.loads(FEATURES.read_text())["paths"].values()
    tags = {tag for path in paths for operation in path.values() if isinstance(operation, dict) for tag in operation["tags"]}
    assert len(tags) > 25 and tags - {"required"} - offered == set()


def test_the_audit_log_is_verified_by_the_programs_own_command(tmp_path: Path) -> None:
    program, server = suite(), Server("django_app", f"sqlite:///{tmp_path}/a.db")
    service = {"X-Internal-Token": INTERNAL}
    try:
        url = f"{server.url}/api/mission-control"
        for sum_usd in (1.5, 1e-7, 3):
            limit = {"user_id": "ann", "limit_usd": sum_usd, "period": "day", "warn_at": 0.5}
            assert httpx.put(f"{url}/budget", json=limit, headers=service).status_code == 200
        entries = httpx.get(f"{url}/audit", headers=service).json()["items"]
    finally:
        server.stop()
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    verify = [program, "audit", "verify", str(log)]
    assert len(entries) == 4 and subprocess.run(verify, cwd=tmp_path, env=os.environ).returncode == 0
    log.write_text(log.read_text().replace("1.5", "2.5"))
    assert subprocess.run(verify, cwd=tmp_path, env=os.environ).returncode == 1


def test_a_server_with_open_streams_stops(tmp_path: Path) -> None:
    server = Server("fastapi_app", f"sqlite:///{tmp_path}/a.db")
    headers = {"X-Agent-Token": token()}
    with httpx.stream("GET", f"{server.url}/api/mission-control/events", headers=headers, timeout=20) as stream:
        chunks = stream.iter_bytes()
        assert next(chunks).startswith(b": connected")
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
        assert time.monotonic() - started < 8
