"""The chat: how soon a line reaches fifty others, how soon a room is back after a SIGKILL, how rooms spread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, percentile
from tests.benchmarks.row import Bound, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.scale import Scale

NAME = "chat"
_OTHERS = 50
_PER_S = 20
_REPLICAS = 3
_ROOMS = 200


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    subprocess.run([processes.lbdemo(), "up", "--replicas", str(_REPLICAS)], capture_output=True, check=True)
    try:
        target = subprocess.run(
            [processes.lbdemo(), "status", "--target"], capture_output=True, check=True, text=True
        ).stdout.strip()
        yield from _line(scale, target)
        yield _kill(scale, target)
    finally:
        subprocess.run([processes.lbdemo(), "down"], capture_output=True, check=True)


def _line(scale: Scale, target: str) -> Iterator[Row]:
    count = scale.of(300, 100)
    with processes.Worker("chatters", target, "kitchen", str(_OTHERS + 1)) as room:
        waited = room.ask(lines=count, per_s=_PER_S)["waited_s"]
        located = Counter(room.ask(rooms=_ROOMS)["replicas"])
    inputs = {"others": _OTHERS, "lines": count, "lines per s": _PER_S, "replicas": _REPLICAS}
    each = [seconds * 1000 for line in waited for seconds in line]
    last = [max(line) * 1000 for line in waited]
    yield Row(
        benchmark=NAME,
        what="line said → heard by one of the others, p99",
        inputs=inputs,
        figure=percentile(each, 99),
        unit="ms",
        spread=Spread.of(each),
        bound=Bound(high=20),
        note="all of them in one process",
    )
    yield Row(
        benchmark=NAME,
        what="line said → heard by all of the others, p99",
        inputs=inputs,
        figure=percentile(last, 99),
        unit="ms",
        spread=Spread.of(last),
        bound=Bound(high=20),
    )
    yield Row(
        benchmark=NAME,
        what="rooms on the fullest replica / evenly spread",
        inputs={"rooms": _ROOMS, "replicas": _REPLICAS},
        figure=max(located.values()) / (_ROOMS / _REPLICAS),
        note=", ".join(f"{replica} {rooms}" for replica, rooms in sorted(located.items())),
    )


def _kill(scale: Scale, target: str) -> Row:
    rounds = scale.of(10, 3)
    members = 5
    back_ms = []
    for number in range(rounds):
        with processes.Worker("chatters", target, f"room {number}", str(members)) as room:
            victim = room.ask(where=True)["replica"]
            pid = next(replica["pid"] for replica in _replicas() if replica["id"] == victim)
            killed_s = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            back_ms.append(room.ask(after=killed_s)["back_s"] * 1000)
        while not all(replica["health"] == "SERVING" for replica in _replicas()):
            time.sleep(0.1)
    return Row(
        benchmark=NAME,
        what="SIGKILL of its replica → everybody has heard a line in the room's new place, slowest",
        inputs={"members": members, "rounds": rounds, "replicas": _REPLICAS},
        figure=max(back_ms),
        unit="ms",
        spread=Spread.of(back_ms),
        bound=Bound(high=1000),
    )


def _replicas() -> list[dict[str, Any]]:
    status = subprocess.run([processes.lbdemo(), "status", "--json"], capture_output=True, check=True)
    replicas: list[dict[str, Any]] = json.loads(status.stdout)["replicas"]
    return replicas
