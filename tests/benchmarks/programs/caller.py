"""A worker with one channel, ours or bare. Asked for calls, it makes them and tells the time and the CPU they took."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from lb_client.cli.client_loop import give_way, loop_for, where_answers_come
from lb_client.driver import CallDriver, Load
from tests.benchmarks.programs.channels import METHOD, REQUEST, ChannelChoice, say_hello, say_hello_aio
from tests.benchmarks.programs.talk import questions, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from lb_client.records import CallRecord

_WARM_CALLS = 100


Driven = tuple[int, float | None]
"""How many calls failed, and the median latency of the others in seconds."""


class _Latencies:
    """Every call's, to the nanosecond: a histogram's are 2 % apart, as much as what is looked for."""

    def __init__(self) -> None:
        self.failed = 0
        self._answered_s: list[float] = []

    def add(self, record: CallRecord) -> None:
        if record.status == "OK":
            self._answered_s.append(record.latency_s)
        else:
            self.failed += 1

    def median_s(self) -> float | None:
        return statistics.median(self._answered_s) if self._answered_s else None


def _blocking(channel: grpc.Channel) -> Callable[[int, int], Driven]:
    """One call after the other."""
    call = say_hello(channel)

    def drive(count: int, _concurrency: int) -> Driven:
        latencies_s = []
        for _ in range(count):
            start_s = time.monotonic()
            call(REQUEST, timeout=5.0)
            latencies_s.append(time.monotonic() - start_s)
        return 0, statistics.median(latencies_s)

    return drive


def _asyncio(channel: grpc.aio.Channel, loop: asyncio.AbstractEventLoop) -> Callable[[int, int], Driven]:
    """What an application does on its loop, which runs all the time: it awaits its calls, so many at once."""
    call = say_hello_aio(channel)

    def drive(count: int, concurrency: int) -> Driven:
        latencies_s: list[float] = []
        numbers = iter(range(count))

        async def call_on() -> None:
            for _ in numbers:
                start_s = time.monotonic()
                try:
                    await call(REQUEST, timeout=5.0)
                except grpc.aio.AioRpcError:
                    continue
                latencies_s.append(time.monotonic() - start_s)

        async def all_at_once() -> None:
            await asyncio.gather(*(call_on() for _ in range(concurrency)))

        asyncio.run_coroutine_threadsafe(all_at_once(), loop).result()
        return count - len(latencies_s), statistics.median(latencies_s) if latencies_s else None

    return drive


def _as_command(channel: grpc.aio.Channel, loop: asyncio.AbstractEventLoop) -> Callable[[int, int], Driven]:
    """By the driver of `lbdemo call`."""

    def drive(count: int, concurrency: int) -> Driven:
        latencies = _Latencies()
        load = Load(count=count, concurrency=concurrency)
        give_way(load)
        driving = CallDriver(channel, METHOD, REQUEST, latencies, load).run()
        asyncio.run_coroutine_threadsafe(where_answers_come(driving), loop).result()
        return latencies.failed, latencies.median_s()

    return drive


async def _answer_on_a_loop(choice: ChannelChoice) -> None:
    drive = _as_command if choice.command else _asyncio
    async with choice.open_aio() as channel:
        await asyncio.to_thread(_answer, drive(channel, asyncio.get_running_loop()))


def _answer(drive: Callable[[int, int], Driven]) -> None:
    drive(_WARM_CALLS, 1)
    say(ready=True)
    for question in questions():
        # CPU is that of the process, all its threads: gRPC's, and our control plane's.
        cpu_s, wall_s = time.process_time(), time.monotonic()
        failed, p50_s = drive(question["calls"], question["concurrency"])
        wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
        say(wall_s=wall_s, cpu_s=cpu_s, failed=failed, p50_s=p50_s)


def main() -> None:
    choice = ChannelChoice.of_arguments()
    if choice.gives_way and sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # gRPC's threads inherit it
    if not choice.aio:
        with choice.open() as channel:
            _answer(_blocking(channel))
        return
    load = Load(concurrency=choice.command)
    with asyncio.Runner(loop_factory=(lambda: loop_for(load)) if choice.command else None) as runner:
        runner.run(_answer_on_a_loop(choice))


if __name__ == "__main__":
    main()
