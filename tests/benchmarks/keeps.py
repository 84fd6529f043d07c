"""What is kept and what is lost when replicas are restarted, scaled, killed, frozen, and when the control plane is.

Each figure is of one run of calls without a pause, 64 in flight, and of real processes that things are done to.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.announce import Record
from backends.cluster_client import ClusterClient
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread
from tests.benchmarks.row import Bound, Row
from tests.support.replica_process import ReplicaProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.benchmarks.scale import Scale

    Doing = Callable[["Keeper", ClusterClient], Awaitable[None]]

NAME = "keeps"
_CLUSTER = "keeps"
_CONCURRENCY = 64
_NONE = Bound(high=0)
# On schedule: in a closed loop all callers would soon hang on the frozen one, and call nobody.
_FROZEN_RATE = 600.0
_NOT_LOST_BY_US = {"in-flight", "answer-lost", "on-its-way", "cancelled"}


class Keeper(processes.Worker):
    """The worker that calls; see programs/keeper.py."""

    def __init__(self, least: int, **orders: Any) -> None:
        self.least = least
        super().__init__("keeper", json.dumps({"concurrency": _CONCURRENCY, **orders}))

    def enough(self) -> bool:
        """Whether as many calls have been made as the figure shall be of."""
        return bool(self.so_far()["calls"] >= self.least)

    def so_far(self) -> dict[str, Any]:
        return self.ask(so_far=True)

    def end(self) -> dict[str, Any]:
        return self.ask(end=True)


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    least = scale.of(50_000, 6_000)
    yield _row("rolling restart of 3 replicas, over and over", _cluster(3, least, _roll), retries=False)
    yield _row("5 → 2 → 5 replicas, over and over", _cluster(5, least, _scale), retries=False)
    yield _row("health of 1 of 3 flaps at 2 Hz", _cluster(3, least, _flap), retries=False)
    yield _row("1 of 3 drained and replaced, linger 0, over and over", _without_linger(least), retries=False)
    yield _row("SIGKILL of 1 of 3 every 2 s", _cluster(3, least, _kill, retry=5), retries=True)
    yield _in_flight(_cluster(3, least, _kill))
    yield from _frozen(least)
    yield from _control_plane(least)
    for health_check in (True, False):
        yield _back_off(least, dead_s=scale.of(60, 4), health_check=health_check)


def _cluster(replicas: int, least: int, do: Doing, **orders: Any) -> dict[str, Any]:
    """Calls to a cluster of its own, to which something is done until there were enough; what the worker says."""
    _lbdemo("up", "--replicas", str(replicas))
    try:
        target = json.loads(_lbdemo("status", "--json"))["target"]
        with Keeper(least, target=target, cluster=_CLUSTER, **orders) as keeper:
            times = asyncio.run(_do(keeper, do))
            return keeper.end() | {"times": times, "replicas": replicas}
    finally:
        _lbdemo("down")


async def _do(keeper: Keeper, do: Doing) -> int:
    times = 0
    async with ClusterClient(_CLUSTER) as client:
        while True:
            await do(keeper, client)
            times += 1
            if keeper.enough():
                return times


def _lbdemo(*args: str) -> str:
    command = [processes.lbdemo(), *args, "--cluster", _CLUSTER]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def _roll(_keeper: Keeper, client: ClusterClient) -> None:
    async for _view in client.restart(rolling=True):
        pass


async def _scale(_keeper: Keeper, client: ClusterClient) -> None:
    for number in (2, 5):
        await client.scale(number)
        await _until_serving(client, number)


async def _flap(_keeper: Keeper, client: ClusterClient) -> None:
    for health in ("NOT_SERVING", ""):
        await client.set_health("r1", health)
        await asyncio.sleep(0.25)


async def _kill(keeper: Keeper, client: ClusterClient) -> None:
    begin_s = time.monotonic()
    await _until_serving(client, 3)
    for view in (await client.status()).replicas[keeper.so_far()["calls"] % 3 :][:1]:
        await client.kill(view.id)
    await asyncio.sleep(max(0.0, begin_s + 2.0 - time.monotonic()))


async def _until_serving(client: ClusterClient, number: int, within_s: float = 30.0) -> None:
    """Wait until there are exactly so many replicas, and all of them serve."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        view = await client.status()
        if len(view.replicas) == number and all(replica.health == "SERVING" for replica in view.replicas):
            return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{number} replicas do not serve within {within_s} s: {view}")


def _without_linger(least: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="lbk-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        standing = [stack.enter_context(_replica(folder, number)) for number in (1, 2, 3)]
        with Keeper(least, target=f"dir://{folder}") as keeper:
            times = 0
            while not keeper.enough():
                times += 1
                standing.append(stack.enter_context(_replica(folder, 3 + times)))
                standing.pop(0).drain()
            return keeper.end() | {"times": times, "replicas": 3}


def _replica(folder: Path, number: int, *args: str) -> ReplicaProcess:
    return ReplicaProcess(f"n{number}", "--linger", "0", *args, registry=folder)


def _row(what: str, told: dict[str, Any], *, retries: bool) -> Row:
    return Row(
        benchmark=NAME,
        what=f"{what}: failed calls",
        inputs=_inputs(told) | {"retries": "on" if retries else "off"},
        figure=told["failed"],
        bound=_NONE,
        note=_note(told),
    )


def _inputs(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "calls": told["calls"],
        "concurrency": _CONCURRENCY,
        "replicas": told["replicas"],
        "times": told["times"],
    }


def _note(told: dict[str, Any]) -> str:
    parts = [f"{number} {status[:90]}" for status, number in sorted(told["statuses"].items())]
    if told["retried"]:
        parts.append(f"{told['retried']} retried")
    if (ledger := told["ledger"]) is not None:
        parts.append(f"ledger: {ledger['unaccounted']} not accounted for{'; ' * bool(ledger['gap'])}{ledger['gap']}")
        if ledger["answered_twice"]:
            parts.append(f"{ledger['answered_twice']} answered twice")
    return "; ".join(parts)


def _in_flight(told: dict[str, Any]) -> Row:
    """Without retries calls do fail: of these, those that were not in flight on the victim, or that nobody can tell."""
    fates: dict[str, int] = {}
    for fate, number in told["ledger"]["fates"]:
        fates[fate["kind"]] = fates.get(fate["kind"], 0) + number
    other = sum(number for kind, number in fates.items() if kind not in _NOT_LOST_BY_US)
    return Row(
        benchmark=NAME,
        what="SIGKILL of 1 of 3 every 2 s: failed calls that were not in flight on the victim",
        inputs=_inputs(told) | {"retries": "off"},
        figure=other + told["ledger"]["unaccounted"],
        bound=_NONE,
        note=f"{told['failed']} failed: {fates}; {_note(told)}",
    )


def _frozen(least: int) -> Iterator[Row]:
    """When the last call went to a frozen replica, and what a deadline for each attempt makes of those that did."""
    frozen: list[tuple[float, float]] = []

    async def freeze(_keeper: Keeper, client: ClusterClient) -> None:
        await _until_serving(client, 3)
        begin_s = time.monotonic()
        await client.pause("r2")
        await asyncio.sleep(4.0)
        frozen.append((begin_s, time.monotonic()))
        await client.resume("r2")
        await asyncio.sleep(1.5)

    told = _cluster(3, least, freeze, rate=_FROZEN_RATE, deadline_s=3.0)
    last, ill = [], 0
    for begin_s, end_s in frozen:
        # Those that were not answered, or by the one that was frozen, once it was not: (start, end, …, replica).
        hit = [call for call in told["told"] if begin_s <= call[0] < end_s and call[-1] in ("", "r2")]
        ill += len(hit)
        last.append(max([0.0, *(call[0] - begin_s for call in hit)]))
    yield Row(
        benchmark=NAME,
        what="1 of 3 frozen for 4 s: from the freeze to the last call that was sent there",
        inputs={
            "calls": told["calls"],
            "rate": f"{_FROZEN_RATE:g}/s",
            "replicas": 3,
            "times": told["times"],
            "deadline_s": 3,
        },
        figure=max(last),
        unit="s",
        spread=Spread.of(last),
        bound=Bound(high=2.0),
        note=f"{ill} calls were sent there, {told['failed']} failed; {_note(told)}",
    )
    told = _cluster(3, least, freeze, attempt_s=0.5, deadline_s=5.0)
    yield Row(
        benchmark=NAME,
        what="1 of 3 frozen for 4 s, a deadline of 0.5 s for each attempt: failed calls",
        inputs=_inputs(told) | {"deadline_s": 5},
        figure=told["failed"],
        bound=_NONE,
        note=_note(told),
    )


def _control_plane(least: int) -> Iterator[Row]:
    for accident, what in (("main", "main task"), ("source ", "watch"), ("ads reader", "stream")):
        yield from _accident(least, f"the control plane's {what} is killed, and a replica joins", accident)
    yield from _accident(least, "the registry's folder is removed; it is put back, with another replica in it", None)


def _accident(least: int, what: str, accident: str | None) -> Iterator[Row]:
    """From the return of what was gone to the first call on a replica that joined meanwhile; and whether any failed."""
    delays: list[float] = []
    since_kill: list[float] = []
    with tempfile.TemporaryDirectory(prefix="lbk-", dir="/tmp") as name, ExitStack() as stack:
        folder, away = Path(name, "registry"), Path(name, "away")
        replicas = [stack.enter_context(ReplicaProcess(f"n{number}", "--linger", "0")) for number in (1, 2, 3)]
        records = [Record(folder, replica.id, replica.address) for replica in replicas]
        for record in records[:2]:
            record.write()
        with Keeper(least, target=f"dir://{folder}") as keeper:
            while not keeper.enough() or len(delays) < 5:
                if accident is None:
                    folder.rename(away)
                    time.sleep(1.0)  # longer than it takes to be missed
                    Record(away, replicas[2].id, replicas[2].address).write()
                    away.rename(folder)
                    at_s = returned_s = time.monotonic()
                else:
                    at_s = keeper.ask(accident=accident)["at_s"]
                    records[2].write()
                    returned_s = _until(lambda: keeper.so_far()["returned_s"])
                first_s = _until(lambda: _first_after(keeper, replicas[2].id, at_s))  # noqa: B023 -- asked at once
                delays.append(max(0.0, first_s - returned_s))
                since_kill.append(first_s - at_s)
                records[2].withdraw()
                # So that its next call is a first one again. Of a folder that has returned it counts after two seconds.
                time.sleep(0.7 if accident else 2.8)
            told = keeper.end() | {"times": len(delays), "replicas": 2}
    yield _row(what, told, retries=False)
    note = ""
    if accident is not None:
        note = f"since the kill {statistics.median(since_kill):.2f} s, at most {max(since_kill):.2f} s"
    yield Row(
        benchmark=NAME,
        what=f"{what}: from the return to the first call there",
        inputs=_inputs(told),
        figure=max(delays),
        unit="s",
        spread=Spread.of(delays),
        bound=Bound(high=1.0),
        note=note,
    )


def _back_off(least: int, *, dead_s: float, health_check: bool) -> Row:
    with tempfile.TemporaryDirectory(prefix="lbk-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        first, second = (stack.enter_context(ReplicaProcess(f"n{number}")) for number in (1, 2))
        for replica in (first, second):
            Record(folder, replica.id, replica.address).write()  # and they stay, as those of the dead do
        with Keeper(least, target=f"dir://{folder}", health_check=health_check, retry=5) as keeper:
            _until(lambda: _first_after(keeper, "n2", 0.0))
            second.kill()
            time.sleep(dead_s)
            _until(lambda: keeper.enough() or None, within_s=600.0)
            port = second.address.rpartition(":")[2]
            stack.enter_context(ReplicaProcess("n2", "--port", port))
            back_s = time.monotonic()
            first_s = _until(lambda: _first_after(keeper, "n2", back_s - 0.5))
            told = keeper.end() | {"times": 1, "replicas": 2}
    return Row(
        benchmark=NAME,
        what="a replica returns to its address: from SERVING to its first call"
        + ("" if health_check else ", health not followed"),
        inputs=_inputs(told) | {"dead_s": dead_s, "retries": "on"},
        figure=max(0.0, first_s - back_s),
        unit="s",
        bound=Bound(high=1.0),
        note=f"{told['failed']} calls failed; {_note(told)}".rstrip("; "),
    )


def _first_after(keeper: Keeper, replica: str, at_s: float) -> float | None:
    """When the replica's first call after a pause ended that came after `at_s`; None while there is none."""
    return min([end_s for end_s in keeper.so_far()["first_s"].get(replica, []) if end_s >= at_s], default=None)


def _until(ask: Callable[[], float | None], within_s: float = 30.0) -> float:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.01)
    raise RuntimeError(f"it did not come within {within_s:.0f} s")
