"""Servers of the tests: applications with the library, and PostgreSQL where it is installed."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SECRET = "a-secret-of-tests-with-enough-bytes!"
INTERNAL = "the-internal-token-of-tests"
ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def settings(database: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    own = {"AGENT_JWT_SECRET": SECRET, "INTERNAL_API_TOKEN": INTERNAL, "DATABASE_URL": database, "PYTHONPATH": path}
    return os.environ | own | {"PYTHONDONTWRITEBYTECODE": "1"}


class Server:
    """An application that serves the contract."""

    def __init__(self, app: str, database: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "uvicorn", f"tests.{app}:app", "--port", str(self.port), "--log-level", "warning"]
        self.process = subprocess.Popen(command, env=settings(database), cwd=ROOT)
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"{app} ended with {self.process.returncode}")
            with socket.socket() as made:
                if made.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{app} does not listen")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postgres:
    """A server of its own, below a folder that goes with it."""

    def __init__(self, programs: str, folder: Path) -> None:
        self.port = free_port()
        self._folder, self._programs = folder, programs
        self._made = 0
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", f"{folder}/data", "-U", "wombat", "-A", "trust", "--no-sync")
        options = f"-p {self.port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", "start")

    def _run(self, program: str, *arguments: str) -> None:
        who = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        command = [f"{self._programs}/{program}", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **who)

    def database(self) -> str:
        """The address of a new, empty database."""
        self._made += 1
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "wombat", f"t{self._made}")
        return f"postgresql+psycopg://wombat@127.0.0.1:{self.port}/t{self._made}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [str(Path(shutil.which("initdb") or "/").parent)]
    if not Path(found[-1], "initdb").exists():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not below the folder of pytest, into which only its own user may look.
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    made = Postgres(found[-1], folder)
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    return str(request.getfixturevalue("postgres").database())
