"""The README, as a new user would try it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx

from .conftest import INTERNAL, ROOT, free_port, settings
from .tokens import token


def test_the_five_minutes_of_the_readme(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(# app\.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "app.py").write_text(blocks[0])
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=tmp_path, env=settings(""))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, headers={"X-Agent-Token": token()}) as http:
            for _ in range(300):
                try:
                    assert http.get("/api/me").json() == {"name": "Ann", "books": 0}
                    break
                except httpx.ConnectError:
                    assert server.poll() is None
                    time.sleep(0.1)
            order = {"arguments": {"title": "Emma"}}
            for _ in range(2):
                # Sent twice under one key, and done once.
                answer = http.post("/api/tools/order_book", json=order, headers={"Idempotency-Key": "k"})
                assert answer.json() == {"ordered": "Emma", "books": 1}, answer.text
            assert http.get("/api/me").json()["books"] == 1
            wrong = http.post("/api/tools/order_book", json={"arguments": {"title": ""}})
            assert (wrong.status_code, list(wrong.json()["details"]["fields"])) == (400, ["title"])
            assert http.post("/api/mission-control/tasks", json={"title": "t"}).status_code == 200
            stranger = {"X-Agent-Token": token("bob")}
            assert http.get("/api/me", headers=stranger).status_code == 404
            assert http.post("/api/mission-control/tasks", json={"title": "t"}, headers=stranger).status_code == 404
            assert http.get("/api/me", headers={"X-Agent-Token": "none"}).status_code == 401
            service = {"X-Internal-Token": INTERNAL, "X-On-Behalf-Of": "ann"}
            assert http.get("/api/mission-control/tasks", headers=service | {"X-Agent-Token": token()}).status_code == 200
    finally:
        server.terminate()
        server.wait(20)
