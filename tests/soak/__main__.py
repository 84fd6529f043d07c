"""`python -m tests.soak`: faults at random from a printed seed; exit code 0 when nothing leaked, no call is missing."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import processes
from tests.soak.play import play


def main() -> int:
    """0 when all is well, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Faults at random, while calls run.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="repeats the faults of another run")
    parser.add_argument("--rate", type=float, help="calls a second, if not as many as the ledger can take")
    parser.add_argument("--quiet", action="store_true", help="do not tell each fault")
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="lbs-", dir="/tmp") as state:
        processes.clean_environment(Path(state))
        began_s = time.monotonic()

        def told(line: str) -> None:
            if not given.quiet:
                print(line, file=sys.stderr, flush=True)

        outcome = play(given.seed, given.minutes * 60, rate=given.rate, told=told)
    for line in outcome.facts:
        print(line)
    for line in outcome.wrong:
        print(f"WRONG: {line}")
    print(f"{'Something is wrong' if outcome.wrong else 'All is well'} after {time.monotonic() - began_s:.0f} s, "
          f"seed {given.seed}")  # fmt: skip
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
