"""What an attempt is, how it is judged, and the tables that docs/SECURITY.md quotes."""

import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable

BLOCKED, DESIGN, BREACH, BROKEN = "blocked", "by design", "BREACH", "BROKEN"


@dataclass
class Attempt:
    """One thing that an attacker tries. `run` answers whether the same act by somebody entitled had its
    effect, and whether the attacker's had; both are read from what was called, stored, sent or shown."""

    attacker: str
    title: str
    run: Callable[[Any], tuple[Any, Any]]
    # Why the effect is allowed to happen, and the section of docs/SECURITY.md that says so.
    design: str = ""
    outcome: str = ""
    detail: str = ""

    def judge(self, stage: Any) -> None:
        try:
            works, happened = self.run(stage)
        except Exception:
            self.outcome, self.detail = BROKEN, traceback.format_exc(limit=-3)
            return
        self.detail = f"control: {works!r:.300}; effect: {happened!r:.300}"
        if not works:
            self.outcome = BROKEN
        elif not happened:
            self.outcome = BLOCKED
        else:
            self.outcome = DESIGN if self.design else BREACH


ATTEMPTS: list[Attempt] = []


def attempt(attacker: str, title: str, design: str = "") -> Callable[[Any], Any]:
    """Registers an attempt of an attacker."""

    def register(run: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any], tuple[Any, Any]]:
        ATTEMPTS.append(Attempt(attacker, title, run, design))
        return run

    return register


def tables(attempts: list[Attempt]) -> str:
    """The counts of each attacker, then what remains by design."""
    rows: dict[str, Counter[str]] = {}
    for one in attempts:
        rows.setdefault(one.attacker, Counter())[one.outcome] += 1
    # A control that fails proves nothing; it counts as a breach.
    total = sum(rows.values(), Counter())
    lines = ["| attacker | attempts | blocked | by design | breached |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, row in [*rows.items(), ("all", total)]:
        counts = [row.total(), row[BLOCKED], row[DESIGN], row[BREACH] + row[BROKEN]]
        lines.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    lines += ["", "| attacker | what remains | why |", "| --- | --- | --- |"]
    for one in attempts:
        if one.outcome == DESIGN:
            lines.append(f"| {one.attacker} | {one.title} | {one.design} |")
    return "\n".join(lines)
