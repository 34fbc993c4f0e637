"""A short trial with kills: the long one is `python -m tests.trial`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .trial import run


def test_programs_are_killed_and_nothing_is_lost_or_done_twice(database: str) -> None:
    program = os.environ.get("WOMBAT_MISSION_CONTROL")
    if not program:
        pytest.skip("WOMBAT_MISSION_CONTROL names no program beside which daemon and dispatcher are")
    told = run(Path(program).parent, database, 24, 6, between=(0.5, 1.5), patience=240)
    assert told.startswith("24 replies"), told
