"""A worker that calls without end while things are done to the replicas, and accounts for every call: `JSON`.

Asked `so_far` it tells the counts; `accident`, it kills a part of its own control plane; `end`, it stops, asks the
cluster what the replicas wrote down, and tells what became of each call that was not answered well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from backends.state import StateFolder
from lb_client import aio
from lb_client.cli.call_witnesses import ask_cluster
from lb_client.driver import CallDriver, Load
from lb_client.history.history import _date_deaths
from lb_client.ledger.book import CallBook
from lb_client.ledger.journals import Journals
from lb_client.ledger.labels import CallLabels
from lb_client.ledger.reconcile import reconcile
from lb_client.policy import Retry, RoundRobin
from resolver import runtime
from tests.benchmarks.programs.channels import METHOD, REQUEST, say_hello_aio
from tests.benchmarks.programs.talk import say

if TYPE_CHECKING:
    from lb_client.records import CallRecord

_SLOW_S = 1.0
_MOST_TOLD = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What to do, as the benchmark sends it.

    Attributes:
        target: What to call.
        cluster: Whose replicas write down what reaches them; "" for a target without a cluster.
        concurrency: Calls in flight; at most so many with a rate.
        rate: Calls a second on schedule; None for a closed loop.
        retry: Attempts of gRPC's own retries; 0 for none.
        attempt_s: A deadline for each attempt; None for none.
        deadline_s: Each call's.
        health_check: Whether the health of endpoints is followed.
        zone: Whose endpoints come first; "" for no preference.
    """

    target: str
    cluster: str = ""
    concurrency: int = 64
    rate: float | None = None
    retry: int = 0
    attempt_s: float | None = None
    deadline_s: float = 5.0
    health_check: bool = True
    zone: str = ""


class _Log:
    """Takes the records: counts, a book for the ledger, and the moments of what went slowly or wrong."""

    def __init__(self) -> None:
        self.book = CallBook()
        self.calls = self.failed = self.slow = 0
        self.retried = 0
        self.told: list[tuple[float, float, str, str, str]] = []
        self.first_s: dict[str, list[float]] = {}  # of each replica, when its calls ended after a pause
        self._last_s: dict[str, float] = {}
        self.statuses: dict[str, int] = {}

    def add(self, record: CallRecord) -> None:
        self.book.add(record)
        self.calls += 1
        self.retried += record.previous_attempts > 0
        end_s = record.start_s + record.latency_s
        if record.status != "OK":
            self.failed += 1
            key = f"{record.status}: {record.details}"
            self.statuses[key] = self.statuses.get(key, 0) + 1
        if record.latency_s > _SLOW_S:
            self.slow += 1
        if (record.status != "OK" or record.latency_s > _SLOW_S) and len(self.told) < _MOST_TOLD:
            self.told.append((record.start_s, end_s, record.status, record.details, record.replica))
        if record.status == "OK":
            if end_s - self._last_s.get(record.replica, 0.0) > 0.5:
                self.first_s.setdefault(record.replica, []).append(end_s)
            self._last_s[record.replica] = max(end_s, self._last_s.get(record.replica, 0.0))


async def _keep(orders: Orders) -> None:
    log, labels = _Log(), CallLabels()
    policy = RoundRobin(retry=Retry(attempts=orders.retry) if orders.retry else None)
    load = Load(
        count=None,
        duration_s=3600.0,
        concurrency=orders.concurrency if orders.rate is None else 5000,
        rate=orders.rate,
        deadline_s=orders.deadline_s,
        attempt_s=orders.attempt_s,
    )
    async with aio.insecure_channel(
        orders.target, policy=policy, zone=orders.zone, health_check=orders.health_check
    ) as channel:
        driver = CallDriver(channel, METHOD, REQUEST, log, load, labels=labels)
        # Connected first, as any run of calls is: a target that is just being looked up has nobody to call yet.
        await say_hello_aio(channel)(REQUEST, wait_for_ready=True, timeout=30.0)
        running = asyncio.create_task(driver.run())
        say(ready=True)
        loop = asyncio.get_running_loop()
        accident: Accident | None = None
        while True:
            line = await loop.run_in_executor(None, sys.stdin.readline)
            question: dict[str, Any] = json.loads(line) if line else {"end": True}
            if "accident" in question:
                accident = Accident(question["accident"])
                say(at_s=accident.at_s)
            elif "end" in question:
                break
            else:
                returned_s = accident.returned_s if accident else None
                say(
                    calls=log.calls,
                    failed=log.failed,
                    first_s=log.first_s,
                    returned_s=returned_s,
                    book_bytes=16 * len(log.book._kinds),
                )
        driver.stop()
        run = await running
    say(
        calls=log.calls,
        failed=log.failed,
        slow=log.slow,
        retried=log.retried,
        statuses=log.statuses,
        told=log.told,
        first_s=log.first_s,
        elapsed_s=run.elapsed_s,
        late=run.late,
        ledger=await _ledger(orders, log, labels),
    )


async def _ledger(orders: Orders, log: _Log, labels: CallLabels) -> dict[str, Any] | None:
    if not orders.cluster:
        return None
    told = await ask_cluster(StateFolder.of(orders.cluster), labels.run)
    deaths = [(event.at_s, event.replica) for event in told.events if event.kind == "died"]
    journals = told.journals or Journals(missing="the cluster does not answer")
    _date_deaths(journals, deaths)
    ledger, _, _ = reconcile(labels.run, log.book, labels.used, journals, deaths=deaths)
    return {**asdict(ledger), "fates": [[asdict(fate), number] for fate, number in ledger.fates], "replicas": []}


class Accident:
    """Cancels the control plane's tasks of that name, or its main task.

    Attributes:
        at_s: When.
        returned_s: When core had its stream again, or at once where it kept it; None while it has not.
    """

    def __init__(self, what: str) -> None:
        plane = runtime._current
        assert plane is not None
        assert plane._loop is not None
        self._plane, self._loop, self._what = plane, plane._loop, what
        self.returned_s: float | None = None
        with contextlib.suppress(RuntimeError):  # between two lives
            self._loop.call_soon_threadsafe(self._cancel)
        self._streams = plane.ads
        self.at_s = time.monotonic()
        self._watching = asyncio.create_task(self._watch())

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            name = "main" if _is_main(task) else task.get_name()
            if name.startswith(self._what):
                task.cancel()

    async def _watch(self) -> None:
        end_s = self.at_s + 0.3
        while self._plane.ads is self._streams and self._streams.streams and time.monotonic() < end_s:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.002)
        while not self._plane.ads.streams:  # noqa: ASYNC110 -- likewise
            await asyncio.sleep(0.002)
        self.returned_s = time.monotonic()


def _is_main(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "ControlPlane._main"


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL + 1)  # what is done to replicas and control plane is no news here
    asyncio.run(_keep(Orders(**json.loads(sys.argv[1]))))
