"""Django under WSGI, and Ninja's own endpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import INTERNAL, SECRET, Server
from .tokens import token

PREFIX = "/api/mission-control"


def test_an_endpoint_of_ninja_knows_who_calls(tmp_path: Path) -> None:
    import httpx

    server = Server("django_app", f"sqlite:///{tmp_path}/a.db")
    try:
        assert httpx.get(f"{server.url}/own/me", headers={"X-Agent-Token": token()}).json() == {"user_id": "ann"}
        for headers in ({}, {"X-Agent-Token": "none"}, {"X-Internal-Token": INTERNAL}):
            refused = httpx.get(f"{server.url}/own/me", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    finally:
        server.stop()


def test_the_contract_under_wsgi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/w.db")
    monkeypatch.setenv("AGENT_JWT_SECRET", SECRET)
    monkeypatch.setenv("INTERNAL_API_TOKEN", INTERNAL)
    from django.test import Client

    from . import django_app

    client = Client(headers={"X-Agent-Token": token()})

    def send(method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        # Servers pass the path as it was sent: Gunicorn in this variable, others in REQUEST_URI.
        return client.generic(method, PREFIX + path, data, "application/json", headers=headers, RAW_URI=PREFIX + path)

    task = send("POST", "/tasks", {"title": "Ü", "idempotency_key": "k"}).json()
    again = send("POST", "/tasks", {"title": "Ü", "idempotency_key": "k"})
    assert (again.json(), again["Idempotent-Replayed"]) == (task, "true")
    assert send("PUT", "/runs/a%2Fb", {"session_key": "user:ann:scout", "task_id": task["id"]}).json()["run_key"] == "a/b"
    assert send("POST", "/tasks", {"title": "x" * 3_000_000}).status_code == 413
    assert send("DELETE", "/tasks").status_code == 405
    assert send("GET", f"/tasks/{task['id']}", **{"X-Agent-Token": token("bob")}).status_code == 404
    stream = send("GET", "/events", **{"Last-Event-ID": "0"})
    chunks = iter(stream.streaming_content)
    assert next(chunks).startswith(b": connected") and b"event: task.created" in next(chunks)
    stream.close()
    django_app.mc.upkeep.stop()
