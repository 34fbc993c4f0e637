"""The package: its types, its migrations, its wheel in a fresh environment."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from wombat_mission_control import metadata
from wombat_mission_control.migrations import VERSION_TABLE, upgrade

from .conftest import ROOT, SECRET


def test_the_types_are_strict(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "mypy")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_migrations_make_the_tables(database: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_engine(database)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE of_the_application (id INTEGER)"))
    upgrade(engine)
    upgrade(engine)
    with engine.connect() as conn:
        options = {"version_table": VERSION_TABLE}
        differences = compare_metadata(MigrationContext.configure(conn, opts=options), metadata)
        # What is the application's own stays.
        assert [one[0] for one in differences] == ["remove_table"] and differences[0][1].name == "of_the_application"
    engine.dispose()


SCRIPT = f"""
import wombat_mission_control as w, wombat_mission_control.fastapi, wombat_mission_control.client, pathlib, sys
from wombat_mission_control.migrations import upgrade
here = pathlib.Path(w.__file__).resolve()
assert pathlib.Path(sys.prefix).resolve() in here.parents, here
assert (here.parent / "py.typed").exists()
mc = w.MissionControl("sqlite:///own.db", w.Settings({SECRET!r}), w.any_user)
upgrade(mc.storage.engine)
print(len(mc.features), mc.person("ann").create_task("t")["title"])
"""


def test_the_wheel_works_in_a_fresh_environment(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", str(ROOT), str(source)], check=True)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(wheel, check=True)
    (made,) = tmp_path.glob("*.whl")
    fresh = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", str(fresh)], check=True)
    python = str(fresh / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(made)], check=True)
    # What it needs is that of these tests: nothing is fetched.
    env = {"PYTHONPATH": sysconfig.get_paths()["purelib"], "PATH": "/usr/bin:/bin"}
    done = subprocess.run([python, "-c", SCRIPT], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # All features but `tools`, of which there are none.
    assert done.stdout.split() == ["37", "t"], done.stdout
