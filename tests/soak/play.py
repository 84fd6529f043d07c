"""Plays a soak: a cluster of its own, a client that never pauses, faults as drawn, and then the checks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.cluster_client import ClusterClient
from backends.cluster_errors import ClusterError
from backends.fault import NO_FAULT, Fault
from backends.phase import Phase
from backends.state import StateFolder
from tests.benchmarks import processes
from tests.soak.held import Held, growth_mb, processes_below
from tests.soak.plan import drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backends.view import ClusterView, ReplicaView
    from tests.soak import plan

CLUSTER = "soak"
REPLICAS = 3
MOST_CALLS = 450_000
"""The ledger knows 500,000 calls of a run."""

_PARTS = ("main", "source ", "ads reader")
_OF_ONE = {"kill", "drain", "restart", "pause", "health", "error", "latency"}
_FLAT_MB = 8.0
"""So much more memory in the last third than in the one before is no leak yet."""
_SHORT_MB = 40.0
"""The same in a short run, in which one freeze more, with a thousand calls in flight, makes more than all leaks."""
_LONG_S = 300.0
_SETTLE_S = 20.0
_COLUMNS = ("sent", "answered", "failed", "answered_twice", "executed_unanswered", "unaccounted")


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        facts: In lines.
        wrong: What should not be, in lines; empty when all is well.
    """

    facts: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def play(
    seed: int, duration_s: float, *, rate: float | None = None, told: Callable[[str], None] = lambda _line: None
) -> Outcome:
    """Play it in the state folder of this process's environment, which must be empty.

    Args:
        seed: What the faults are drawn from.
        duration_s: For so long.
        rate: Calls a second; None for as many as the ledger can take, and no more than a small machine can.
        told: Hears what is done, in lines.
    """
    _lbdemo("up", "--replicas", str(REPLICAS))
    folder = StateFolder.of(CLUSTER).path
    outcome = Outcome()
    target = json.loads(_lbdemo("status", "--json"))["target"]
    rate = min(rate or 1000.0, MOST_CALLS / (duration_s + 2 * _SETTLE_S))
    try:
        soak = _Soak(folder, target, rate=rate, faults=drawn(seed, duration_s), outcome=outcome, told=told)
        asyncio.run(soak.play(duration_s))
    finally:
        try:
            _lbdemo("down")
        except subprocess.CalledProcessError as error:
            outcome.wrong.append(f"down ended with {error.returncode}: {error.stderr.strip()}")
    end_s = time.monotonic() + 5.0
    while (left := processes_below(folder)) and time.monotonic() < end_s:
        time.sleep(0.05)
    outcome.wrong += [f"process {pid} is left: {command}" for pid, command in left.items()]
    outcome.wrong += [f"{path} is left" for path in folder.rglob("*") if path.suffix == ".json" or path.is_socket()]
    return outcome


def _lbdemo(*args: str) -> str:
    command = [processes.lbdemo(), *args, "--cluster", CLUSTER]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class _Soak:
    """One play, on one loop."""

    def __init__(
        self,
        folder: Path,
        target: str,
        *,
        rate: float,
        faults: Sequence[plan.Fault],
        outcome: Outcome,
        told: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._registry = Path(target.removeprefix("dir://"))
        self._orders = {"target": target, "cluster": CLUSTER, "rate": rate, "retry": 3, "deadline_s": 5.0}
        self._faults = faults
        self._outcome = outcome
        self._told = told
        self._done: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: ClusterClient
        self._keeper: processes.Worker
        self._asking = asyncio.Lock()
        self._begin_s = 0.0

    async def play(self, duration_s: float) -> None:
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(ClusterClient(CLUSTER))
            self._keeper = keeper = stack.enter_context(processes.Worker("keeper", json.dumps(self._orders)))
            await self._settle()
            watched = {"client": keeper.pid, "supervisor": self._supervisor()}
            before = {name: Held.by(pid) for name, pid in watched.items()}
            running = len(processes_below(self._folder))
            samples = await self._make_trouble(watched, every_s=max(1.0, duration_s / 100))
            await self._settle()
            await self._expect_nothing_more(watched, before, running)
            self._judge_memory(samples, _FLAT_MB if duration_s >= _LONG_S else _SHORT_MB)
            self._judge_calls(await self._ask(end=True))

    def _supervisor(self) -> int:
        return next(pid for pid, command in processes_below(self._folder).items() if "supervisor" in command)

    async def _make_trouble(self, watched: dict[str, int], *, every_s: float) -> dict[str, list[float]]:
        self._begin_s = begin_s = time.monotonic()
        samples: dict[str, list[float]] = {name: [] for name in watched}
        next_sample_s = 0.0
        for fault in self._faults:
            while (left_s := begin_s + fault.at_s - time.monotonic()) > 0:
                await asyncio.sleep(min(left_s, 0.5))
                if time.monotonic() - begin_s >= next_sample_s:
                    next_sample_s += every_s
                    await self._sample(watched, samples)
            task = asyncio.create_task(self._one(fault), name=fault.kind)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)
        return samples

    async def _sample(self, watched: dict[str, int], samples: dict[str, list[float]]) -> None:
        for name, pid in watched.items():
            samples[name].append(Held.by(pid).rss_mb)
        told = await self._ask(so_far=True)
        # What the client keeps of each call for the ledger is asked for, and no leak.
        samples["client"][-1] -= told["book_bytes"] / 2**20

    async def _ask(self, **question: object) -> dict[str, Any]:
        async with self._asking:
            return await asyncio.to_thread(self._keeper.ask, **question)

    async def _one(self, fault: plan.Fault) -> None:
        try:
            await self._do(fault)
        except (ClusterError, TimeoutError) as error:
            # Faults at random get in each other's way: what is refused is refused clearly.
            self._refused[fault.kind] += 1
            self._told(f"{self._now_s():7.1f} s  {fault.kind} was refused: {error}")
        else:
            self._done[fault.kind] += 1
            self._told(f"{self._now_s():7.1f} s  {fault.kind} is over")

    def _now_s(self) -> float:
        return time.monotonic() - self._begin_s

    async def _do(self, fault: plan.Fault) -> None:  # noqa: C901, PLR0912 -- a table of what is done, flat
        client, whom = self._client, _chosen((await self._client.status()).replicas, fault.draw)
        self._told(f"{self._now_s():7.1f} s  {fault.kind} {whom if fault.kind in _OF_ONE else ''}")
        match fault.kind:
            case "kill":
                await client.kill(whom)
            case "drain":
                await client.drain(whom)
                await client.until_stopped([whom], timeout_s=30)
                await self._restart([whom])
            case "restart":
                await self._restart([whom])
            case "roll":
                async for _view in client.restart(rolling=True):
                    pass
            case "pause":
                await client.pause(whom)
                await asyncio.sleep(fault.for_s)
                await client.resume(whom)
            case "health":
                await client.set_health(whom, "NOT_SERVING")
                await asyncio.sleep(fault.for_s)
                await client.set_health(whom, "")
            case "error":
                error = Fault(error="UNAVAILABLE", rate=fault.number / 100, for_ms=fault.for_s * 1000)
                await client.set_fault(whom, error)
            case "latency":
                await client.set_fault(whom, Fault(latency_ms=fault.number, jitter_ms=5, for_ms=fault.for_s * 1000))
            case "scale":
                await client.scale(fault.number)
            case "record":
                for path in sorted(self._registry.glob("*.json"))[:1]:
                    path.unlink(missing_ok=True)
            case "accident":
                part = _PARTS[int(fault.draw * len(_PARTS))]
                await self._ask(accident=part)
            case "client":
                await self._another_client()

    async def _restart(self, ids: Sequence[str]) -> None:
        async for _view in self._client.restart(ids):
            pass

    async def _another_client(self) -> None:
        command = (processes.lbdemo(), "call", "--count", "100", "--concurrency", "8", "--cluster", CLUSTER)
        other = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await other.wait() not in (0, 1):
            self._outcome.wrong.append(f"lbdemo call ended with {other.returncode}")

    async def _settle(self) -> None:
        """Undo what was done, and wait until three replicas serve and the client calls each of them."""
        client = self._client
        for replica in (await client.status()).replicas:
            with contextlib.suppress(ClusterError):
                if replica.paused:
                    await client.resume(replica.id)
                await client.set_health(replica.id, "")
                await client.set_fault(replica.id, NO_FAULT)
        end_s = time.monotonic() + _SETTLE_S
        while True:
            with contextlib.suppress(ClusterError):
                await client.scale(REPLICAS)
                view = await client.status()
                if stopped := [r.id for r in view.replicas if r.phase in (Phase.STOPPED, Phase.FAILED)]:
                    await self._restart(stopped)
                if await self._all_are_called(view):
                    return
            if time.monotonic() > end_s:
                self._outcome.wrong.append(f"it does not settle within {_SETTLE_S:.0f} s: {await client.status()}")
                return
            await asyncio.sleep(0.1)

    async def _all_are_called(self, view: ClusterView) -> bool:
        if len(view.replicas) != REPLICAS or any(r.health != "SERVING" or r.spare for r in view.replicas):
            return False
        before = {r.id: r.calls for r in view.replicas}
        await asyncio.sleep(0.5)
        now = {r.id: r.calls for r in (await self._client.status()).replicas}
        return all(now.get(name, 0) > calls for name, calls in before.items())

    async def _expect_nothing_more(self, watched: dict[str, int], before: dict[str, Held], running: int) -> None:
        end_s = time.monotonic() + _SETTLE_S
        while True:
            more = [
                f"the {name} holds {what}"
                for name, pid in watched.items()
                for what in Held.by(pid).more_than(before[name])
            ]
            now = processes_below(self._folder)
            if len(now) > running:
                more.append(f"{len(now)} processes, {running} before: {now}")
            if not more:
                break
            if time.monotonic() > end_s:
                self._outcome.wrong += more
                break
            await asyncio.sleep(0.2)
        for name, pid in watched.items():
            self._outcome.facts.append(f"{name}: {before[name]} before, {Held.by(pid)} after")

    def _judge_memory(self, samples: dict[str, list[float]], most_mb: float) -> None:
        for name, values in samples.items():
            grown = growth_mb(values)
            line = (
                f"memory of the {name}: {values[0]:.1f} MB at first, {values[-1]:.1f} at last, {grown:+.1f} in between"
            )
            self._outcome.facts.append(line)
            if grown > most_mb:
                self._outcome.wrong.append(line)

    def _judge_calls(self, told: dict[str, Any]) -> None:
        ledger = told["ledger"]
        fates: Counter[str] = Counter()
        for fate, number in ledger["fates"]:
            fates[fate["kind"]] += number
        self._outcome.facts += [
            f"faults: {dict(sorted(self._done.items()))}; refused: {dict(sorted(self._refused.items()))}",
            f"calls: {told['calls']}, {told['failed']} failed, {told['retried']} retried, {told['late']} late",
            f"fates of those that were not answered: {dict(fates)}",
            f"ledger: {', '.join(f'{ledger[key]} {key}' for key in _COLUMNS)}",
        ]
        for first_s, last_s, number in _windows([call[0] - self._begin_s for call in told["told"] if call[2] != "OK"]):
            self._outcome.facts.append(f"  {number} failed that were sent from {first_s:.1f} to {last_s:.1f} s")
        for status, number in sorted(told["statuses"].items(), key=lambda item: -item[1])[:8]:
            self._outcome.facts.append(f"  {number} {status[:600]}")
        if ledger["unaccounted"] or ledger["gap"] or ledger["beyond"]:
            self._outcome.wrong.append(
                f"not every call is accounted for: {ledger['unaccounted']}, {ledger['beyond']} unnamed; {ledger['gap']}"
            )
        if ledger["sent"] != told["calls"]:
            self._outcome.wrong.append(f"{ledger['sent']} calls were sent, and {told['calls']} ended")


def _windows(moments: Sequence[float], gap_s: float = 0.5) -> list[tuple[float, float, int]]:
    """First moment, last moment and number of those that lie close to each other."""
    windows: list[tuple[float, float, int]] = []
    for moment in sorted(moments):
        if windows and moment - windows[-1][1] < gap_s:
            windows[-1] = (windows[-1][0], moment, windows[-1][2] + 1)
        else:
            windows.append((moment, moment, 1))
    return windows


def _chosen(replicas: Sequence[ReplicaView], draw: float) -> str:
    names = sorted(replica.id for replica in replicas if not replica.spare)
    return names[int(draw * len(names))] if names else "r1"
