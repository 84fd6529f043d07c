"""`python -m tests.benchmarks [NAME …]`: runs benchmarks one after the other and prints what they found."""

from __future__ import annotations

import argparse
import importlib
import json
import secrets
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import machine, processes
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import as_json, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.row import Row

NAMES = (
    "even",
    "calls",
    "streams",
    "chat",
    "proxy",
    "changes",
    "keeps",
    "policies",
    "zones",
    "commands",
    "memory",
    "ledger",
)


def main(args: Sequence[str] | None = None) -> int:
    """Exit code 0 whatever the figures are; 1 when something could not be measured, 2 for usage."""
    given = _parser().parse_args(args)
    scale = Scale(quick=given.quick, seed=given.seed)
    rows: list[Row] = []
    broken: list[str] = []
    runs: dict[str, dict[str, Any]] = {}
    load_before = machine.load()
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as state:
        processes.clean_environment(Path(state))
        for name in dict.fromkeys(given.names or NAMES):
            print(f"{name} …", end="", file=sys.stderr, flush=True)
            began_s = time.monotonic()
            try:
                rows.extend(importlib.import_module(f"tests.benchmarks.{name}").run(scale))
            except Exception:  # noqa: BLE001 -- the others are still worth their time; it is not hidden
                traceback.print_exc()
                broken.append(name)
            took_s = time.monotonic() - began_s
            runs[name] = {"took_s": round(took_s, 1), "load": machine.load()}
            print(f" {took_s:.0f} s", file=sys.stderr)
    facts = {
        **machine.facts(),
        "quick": scale.quick,
        "seed": scale.seed,
        "load_before": load_before,
        "runs": runs,
        "broken": broken,
    }
    if given.json:
        print(json.dumps(as_json(rows, facts)))
    else:
        _print(rows, facts)
    return 1 if broken else 0


def _print(rows: list[Row], facts: dict[str, Any]) -> None:
    print("{machine}; Python {python}, grpcio {grpcio}, protobuf {protobuf}, lbdemo {lbdemo}".format(**facts))
    after = ", ".join(f"{run['load'][0]} after {name}" for name, run in facts["runs"].items() if run["load"])
    before = facts["load_before"][0] if facts["load_before"] else "unknown"
    few = "; quick: few rounds" if facts["quick"] else ""
    print(f"load (1 minute's average) {before} before, {after}; seed {facts['seed']}{few}")
    print()
    print_rows(rows)
    judged = [row for row in rows if row.verdict]
    missed = [row for row in judged if row.verdict == "MISSED"]
    print(f"{len(judged) - len(missed)} of {len(judged)} bounds hold.")
    if facts["broken"]:
        print(f"Not measured, see above: {facts['broken']}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Speed and memory, with their inputs. It tells and asserts nothing.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all, if none is given")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds: a few minutes instead of a quarter of an hour"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="for what is random; printed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
