"""A program: a client process as `lbdemo call` is one, on the loop that suits its calls, with a channel of ours.

    python -m tests.support.client_process [--plane-fails-for SECONDS] CALLS IN_FLIGHT ADDRESS ADDRESS…

It calls all addresses but the last, then, when its registry has that one too, all of them; or for so many seconds each
time, while its control plane fails again and again. One JSON object tells: the `loop`, the events `taken` on the
polling thread, `answers` by replica before and after, how often the main thread `slept`, the `policies` of its threads,
and how many `lives` of the control plane ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends import core_environment

core_environment.prepare(os.environ)

from lb_client import aio  # noqa: E402 -- gRPC reads the environment when it is imported
from lb_client.cli.client_loop import give_way, loop_for, where_answers_come  # noqa: E402
from lb_client.driver import CallDriver, Load  # noqa: E402
from protos import helloworld_pb2  # noqa: E402
from resolver import runtime  # noqa: E402
from resolver.testing import ManualRegistry  # noqa: E402

if TYPE_CHECKING:
    from lb_client.records import CallRecord

_METHOD = "/helloworld.Greeter/SayHello"
_REQUEST = helloworld_pb2.HelloRequest(name="you").SerializeToString()


class _Answers:
    def __init__(self) -> None:
        self.by_replica: Counter[str] = Counter()

    def add(self, record: CallRecord) -> None:
        self.by_replica[record.replica or record.status] += 1


def _sleeps() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


async def _main(load: Load, addresses: list[str], trouble: contextlib.AbstractContextManager[None]) -> dict[str, Any]:
    answers, slept = [], 0
    with ManualRegistry(addresses[:-1]) as registry:
        async with aio.insecure_channel(registry.target) as channel:
            for known in (addresses[:-1], addresses):
                registry.set(known)
                while len((await _drive(channel, Load(count=len(known) * 4))).by_replica) < len(known):
                    pass  # not all are connected
                give_way(load)
                before = _sleeps()
                with trouble:
                    answers.append(dict((await _drive(channel, load)).by_replica))
                slept += _sleeps() - before
    loop = asyncio.get_running_loop()
    threads = [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208 -- names only
    return {
        "loop": type(loop).__name__,
        "taken": getattr(loop, "taken", 0),
        "answers": answers,
        "slept": slept,
        "policies": sorted({os.sched_getscheduler(thread) for thread in threads}),
    }


async def _drive(channel: Any, load: Load) -> _Answers:
    answers = _Answers()
    await where_answers_come(CallDriver(channel, _METHOD, _REQUEST, answers, load).run())
    return answers


class _Trouble:
    """Ends one life of the control plane after the other, each with calls of its own under way."""

    def __init__(self) -> None:
        self.lives = 0

    def __enter__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._make, name="trouble", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _make(self) -> None:
        while not self._over.wait(0.3):
            plane = runtime._current
            if plane is not None and plane._loop is not None:
                with contextlib.suppress(RuntimeError):  # it is between two lives
                    plane._loop.call_soon_threadsafe(self._end_life_of, plane)

    def _end_life_of(self, plane: Any) -> None:
        for task in asyncio.all_tasks():
            if task.get_name() == "control plane":
                plane._goes_on = False
                self.lives += task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plane-fails-for", type=float)
    parser.add_argument("calls", type=int)
    parser.add_argument("in_flight", type=int)
    parser.add_argument("addresses", nargs="+")
    given = parser.parse_args()
    seconds: float | None = given.plane_fails_for
    load = Load(count=None if seconds else given.calls, duration_s=seconds, concurrency=given.in_flight)
    trouble = _Trouble()
    with asyncio.Runner(loop_factory=lambda: loop_for(load)) as runner:
        told = runner.run(_main(load, given.addresses, trouble if seconds else contextlib.nullcontext()))
    print(json.dumps(told | {"lives": trouble.lives}))


if __name__ == "__main__":
    main()
