"""A worker whose replica comes and goes: `REGISTRY`. Tells when it did what, on the clock of the whole machine.

`lives`: so many replicas one after the other, each announced, called for a moment and drained. `flips`: one replica
that stays announced and goes NOT_SERVING and SERVING again.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Any

from backends import announce
from backends.replica import Replica
from backends.spec import ReplicaSpec
from tests.benchmarks.programs.talk import questions, say

_CALLS = 5
_WAIT_S = 1.0


async def _lives(registry: str, count: int, linger_s: float, rng: random.Random) -> list[dict[str, Any]]:
    """Each with `announced_s`, just before its record was written, and `ended_s`, just before it said NOT_SERVING."""
    lives: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        spec = ReplicaSpec(id=f"n{number}", registry=registry, linger_s=linger_s, grace_s=0.5)
        async with Replica(spec) as replica:
            announced_s = _written_s[-1]
            await _until_called(replica, replica.calls)
            await asyncio.sleep(rng.uniform(0, 0.02))  # in step with nothing
            ended_s = time.monotonic()
            await replica.drain()
        lives.append({"id": spec.id, "announced_s": announced_s, "ended_s": ended_s})
    return lives


async def _flips(registry: str, count: int, pause_s: float, rng: random.Random) -> list[dict[str, Any]]:
    """Each with `ended_s`, just before NOT_SERVING, and `begun_s`, just before SERVING again."""
    flips: list[dict[str, Any]] = []
    async with Replica(ReplicaSpec(id="flip", registry=registry, linger_s=0.2, grace_s=0.5)) as replica:
        names = ("", *replica.services)
        await _until_called(replica, 0)
        for _ in range(count):
            await asyncio.sleep(rng.uniform(0, 0.02))
            ended_s = time.monotonic()
            replica._health.set_all(names, serving=False)
            await asyncio.sleep(pause_s)
            so_far = replica.calls
            begun_s = time.monotonic()
            replica._health.set_all(names, serving=True)
            await _until_called(replica, so_far)
            flips.append({"id": "flip", "ended_s": ended_s, "begun_s": begun_s})
        await replica.drain()
    return flips


async def _until_called(replica: Replica, so_far: int) -> None:
    """A few calls have come; or none came for a whole second, which the figures will tell."""
    end_s = time.monotonic() + _WAIT_S
    while replica.calls < so_far + _CALLS and time.monotonic() < end_s:  # noqa: ASYNC110 -- nobody tells of calls
        await asyncio.sleep(0.001)


_written_s: list[float] = []


class _TimedRecord(announce.Record):
    """Remembers when it was written, from just before: the replica does it at the end of its start."""

    def write(self) -> None:
        _written_s.append(time.monotonic())
        super().write()


def main() -> None:
    registry = sys.argv[1]
    announce.Record = _TimedRecord  # type: ignore[misc]
    say(ready=True)
    for question in questions():
        rng = random.Random(question["seed"])  # noqa: S311 -- to be repeated by its seed, not to be secret
        if "lives" in question:
            say(changes=asyncio.run(_lives(registry, question["lives"], question["linger_s"], rng)))
        else:
            say(changes=asyncio.run(_flips(registry, question["flips"], question["pause_s"], rng)))


if __name__ == "__main__":
    main()
