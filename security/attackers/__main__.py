"""`make attacks`: eight attackers against the real programs, with a model that obeys everything.

Each attempt is judged by its effect, and has a control: the same act by somebody entitled. Ends with 1
when an attempt had an effect that docs/SECURITY.md does not allow, or when a control failed.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import agent_token
import browser
import daemon_key
import mcp_server
import message
import tenant
import tool_answer
import workspace
from score import ATTEMPTS, BREACH, BROKEN, tables

ATTACKERS = [message, tool_answer, mcp_server, agent_token, daemon_key, tenant, workspace, browser]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bin", type=Path, default=Path("target/debug"), help="the folder of the programs")
    arguments.add_argument("--only", default="", help="attackers or attempts whose name holds this text")
    arguments.add_argument("--jobs", type=int, default=4, help="attackers at a time")
    arguments.add_argument("-v", action="store_true", help="each attempt, and what was seen")
    options = arguments.parse_args()
    begun = time.monotonic()

    def attack(attacker) -> None:
        mine = [one for one in ATTEMPTS if one.run.__module__ == attacker.__name__]
        mine = [one for one in mine if options.only in one.attacker or options.only in one.title]
        if not mine:
            return
        with tempfile.TemporaryDirectory() as folder:
            stage = attacker.stage(options.bin.resolve(), Path(folder))
            try:
                for one in mine:
                    one.judge(stage)
                    if options.v:
                        print(f"{one.outcome:9} {one.attacker}: {one.title}; {one.detail}", flush=True)
            finally:
                stage.close()

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(attack, ATTACKERS))
    done = [one for one in ATTEMPTS if one.outcome]
    order = [attacker.__name__ for attacker in ATTACKERS]
    done.sort(key=lambda one: order.index(one.run.__module__))
    print(tables(done))
    print(f"\n{len(done)} attempts in {time.monotonic() - begun:.0f} s.")
    bad = [one for one in done if one.outcome in (BREACH, BROKEN)]
    for one in bad:
        print(f"{one.outcome}: {one.attacker}: {one.title}\n    {one.detail}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
