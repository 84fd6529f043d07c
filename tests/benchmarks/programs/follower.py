"""A worker that never stops calling: `(ours|bare) aio TARGET CONCURRENCY`.

Asked once, it ends and tells every call by who answered.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from lb_client.driver import CallDriver, Load
from lb_client.records import CallRecord, CallRecorder
from tests.benchmarks.programs.channels import METHOD, REQUEST, ChannelChoice
from tests.benchmarks.programs.talk import say


class _CallLog(CallRecorder):
    """Keeps start and end of each call, on the clock that all processes of a machine share."""

    def __init__(self) -> None:
        super().__init__()
        self.by_replica: dict[str, list[tuple[float, float]]] = {}
        self.answered = asyncio.Event()

    def add(self, record: CallRecord) -> None:
        self.calls += 1
        if record.status != "OK":
            self._add_failure(record)
            return
        end_s = record.start_s + record.latency_s
        self.by_replica.setdefault(record.replica, []).append((record.start_s, end_s))
        self.answered.set()


async def _follow(choice: ChannelChoice, concurrency: int) -> None:
    log = _CallLog()
    async with choice.open_aio() as channel:
        load = Load(count=None, duration_s=3600.0, concurrency=concurrency)
        driver = CallDriver(channel, METHOD, REQUEST, log, load)
        running = asyncio.create_task(driver.run())
        await log.answered.wait()
        say(ready=True)
        asked = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), asked.set)
        await asked.wait()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        driver.stop()
        await running
    failures = {f"{status}: {details}": count for (status, details), count in log.failures.items()}
    say(calls=log.calls, failed=log.failed, failures=failures, by_replica=log.by_replica)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # that replicas come and go is no news here
    asyncio.run(_follow(ChannelChoice.of_arguments(sys.argv[1:4]), int(sys.argv[4])))
