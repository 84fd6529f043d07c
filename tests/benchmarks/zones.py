"""Zones, weights and versions: shares against chance, and what is lost while zones fail and versions come and go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

from lb_client import aio
from lb_client.aim import Aim, Weights
from lb_client.chance import ALPHA, chi_squared_tail
from lb_client.channelz import open_viewed
from lb_client.driver import Load
from lb_client.measurement import Measurement
from lb_client.policy import RoundRobin, StaticWeights
from lb_client.report import Question
from lb_client.tracking import SnapshotTracker
from tests.benchmarks import processes
from tests.benchmarks.keeps import Keeper
from tests.benchmarks.programs.channels import METHOD, REQUEST
from tests.benchmarks.row import Bound, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lb_client.policy import Policy
    from lb_client.report import Report
    from tests.benchmarks.scale import Scale

    Doing = Callable[[Keeper, "_Cluster"], None]

NAME = "zones"
_CONCURRENCY = 64


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    calls = scale.of(50_000, 6_000)
    yield _weights(calls)
    yield _tenth(calls)
    yield _kept("both replicas of the own zone drained and back, over and over", calls, _outage, zone="a")
    yield _kept("v2 comes with 10 %, 50 %, 100 %, and goes, over and over", calls, _life)


class _Cluster:
    """A cluster in the benchmarks' own state folder, by command. A context manager."""

    name = "zones"

    def __init__(self, *args: str) -> None:
        self._args = args

    def __enter__(self) -> Self:
        self.lbdemo("up", *self._args)
        return self

    def __exit__(self, *_: object) -> None:
        self.lbdemo("down")

    def lbdemo(self, *args: str) -> str:
        command = [processes.lbdemo(), *args, "--cluster", self.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @property
    def target(self) -> str:
        return str(json.loads(self.lbdemo("status", "--json"))["target"])


def _weights(calls: int) -> Row:
    with _Cluster("--replicas", "3", "--weights", "5,3,2") as cluster:
        report = asyncio.run(_measure(cluster.target, StaticWeights(), Aim(weights=Weights.DRAWN), calls))
    found = {row.id: row.calls for row in report.rows.known}
    return _against("static_weights 5, 3, 2", found, {"r1": 0.5, "r2": 0.3, "r3": 0.2}, report)


def _tenth(calls: int) -> Row:
    with _Cluster("--replicas", "3") as cluster:
        cluster.lbdemo("up", "--version", "v2", "--share", "10")
        report = asyncio.run(_measure(cluster.target, RoundRobin(), Aim(), calls))
    found = {"v1": 0, "v2": 0}
    for row in report.rows.known:
        found[report.members[row.address].version] += row.calls
    return _against("a share of 10 % for v2", found, {"v1": 0.9, "v2": 0.1}, report)


def _against(what: str, found: dict[str, int], shares: dict[str, float], report: Report) -> Row:
    off = sum((found[key] - report.calls * share) ** 2 / (report.calls * share) for key, share in shares.items())
    told = ", ".join(f"{key} {found[key]} ({share:.0%} expected)" for key, share in shares.items())
    return Row(
        benchmark=NAME,
        what=f"{what}: probability of so much chance",
        inputs={"calls": report.calls, "concurrency": _CONCURRENCY},
        figure=chi_squared_tail(off, len(shares) - 1),
        bound=Bound(low=ALPHA),
        note=f"chi-squared {off:.2f}: {told}; {report.failed} failed",
    )


async def _measure(target: str, policy: Policy, aim: Aim, calls: int) -> Report:
    channel, view = open_viewed(lambda: aio.insecure_channel(target, policy=policy))
    async with channel:
        tracker = SnapshotTracker(target, aim)
        measurement = Measurement(
            channel,
            view=view,
            tracker=tracker,
            question=Question(target=target, policy=policy.name),
            method=METHOD,
            request=REQUEST,
            load=Load(count=calls, concurrency=_CONCURRENCY),
        )
        try:
            await measurement.warm_up(5.0)
            await measurement.run()
        finally:
            tracker.close()
        return measurement.report()


def _kept(what: str, least: int, do: Doing, *, zone: str = "") -> Row:
    with (
        _Cluster("--replicas", "4", "--zones", "a,b") as cluster,
        Keeper(least, target=cluster.target, cluster=cluster.name, zone=zone) as keeper,
    ):
        times = 0
        while not keeper.enough():
            do(keeper, cluster)
            times += 1
        told: dict[str, Any] = keeper.end()
    return Row(
        benchmark=NAME,
        what=f"{what}: failed calls",
        inputs={"calls": told["calls"], "concurrency": _CONCURRENCY, "times": times, "retries": "off"},
        figure=told["failed"],
        bound=Bound(high=0),
        note="; ".join(f"{number} {status[:90]}" for status, number in sorted(told["statuses"].items())),
    )


def _outage(_keeper: Keeper, cluster: _Cluster) -> None:
    cluster.lbdemo("drain", "r1", "r3")
    time.sleep(0.2)
    cluster.lbdemo("restart", "r1", "r3")


def _life(_keeper: Keeper, cluster: _Cluster) -> None:
    for share in ("10", "50", "100"):
        cluster.lbdemo("up", "--version", "v2", "--share", share)
        time.sleep(0.2)
    cluster.lbdemo("down", "--version", "v2")
