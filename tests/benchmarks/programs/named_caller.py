"""A worker with one asyncio channel of ours. Asked for calls, it makes them as `lbdemo call` does, named or not."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import lb_client.aio
from lb_client.driver import CallDriver, Load
from lb_client.history.recording import RunRecording
from lb_client.ledger.labels import CallLabels
from lb_client.records import CallRecorder
from tests.benchmarks.programs.channels import METHOD, REQUEST
from tests.benchmarks.programs.talk import questions, say

if TYPE_CHECKING:
    import grpc.aio

_WARM_CALLS = 200


async def _drive(channel: grpc.aio.Channel, mode: str, calls: int, concurrency: int) -> int:
    """`sums` is a recorder alone, `off` what the command does without a ledger, `on` with one; how many failed."""
    recorder, labels = CallRecorder(), CallLabels() if mode == "on" else None
    recording = recorder if mode == "sums" else RunRecording(recorder, labels, with_latency=mode == "on")
    if isinstance(recording, RunRecording):
        recording.traffic.begin_s = time.monotonic()
    await CallDriver(
        channel, METHOD, REQUEST, recording, Load(count=calls, concurrency=concurrency), labels=labels
    ).run()
    return recorder.failed


async def _answer(target: str) -> None:
    async with lb_client.aio.insecure_channel(target) as channel:
        await _drive(channel, "on", _WARM_CALLS, 4)
        say(ready=True)
        asked = questions()
        while (question := await asyncio.to_thread(next, asked, None)) is not None:
            cpu_s, wall_s = time.process_time(), time.monotonic()
            failed = await _drive(channel, question["mode"], question["calls"], question["concurrency"])
            wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
            say(wall_s=wall_s, cpu_s=cpu_s, failed=failed)


if __name__ == "__main__":
    asyncio.run(_answer(sys.argv[1]))
