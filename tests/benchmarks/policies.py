"""Policies: weights against chance, how soon who fails is ejected and let back, what a switch and a budget cost."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio

from lb_client import aio
from lb_client.chance import ALPHA, chi_squared_tail
from lb_client.channelz import open_viewed
from lb_client.driver import Load
from lb_client.ejections import can_be_seen
from lb_client.measurement import Measurement
from lb_client.policy import (
    FailurePercentage,
    OutlierDetection,
    Retry,
    RetryBudget,
    RingHash,
    RoundRobin,
    WeightedRoundRobin,
)
from lb_client.report import Question
from lb_client.tracking import SnapshotTracker
from lb_client.weights import WeightBook
from protos import cluster_pb2, cluster_pb2_grpc
from protos.orca import LOAD_KEY
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread
from tests.benchmarks.programs.channels import METHOD, REQUEST
from tests.benchmarks.row import Bound, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from lb_client.policy import Policy
    from lb_client.report import Report
    from tests.benchmarks.scale import Scale

NAME = "policies"
_REPLICAS = 3
_CONCURRENCY = 64
_LOADS = (0.1, 0.2, 0.4)
_INTERVAL_S, _EJECTION_S = 1.0, 2.0
_SWITCH_EVERY_S = 0.05


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    calls = scale.of(50_000, 6_000)
    with (
        tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name,
        processes.replicas(_REPLICAS, registry=Path(name)) as running,
    ):
        target, addresses = f"dir://{name}", [replica.address for replica in running]
        yield _weighted("loads told: 0.1, 0.2, 0.4", target, addresses, calls, _LOADS)
        yield _weighted("loads as replicas measure them", target, addresses, calls, (None,) * _REPLICAS)
        yield from _ejected(target, addresses, rounds=scale.of(5, 1))
        yield _switched(target, calls)
        yield _budget(target, addresses, seconds=scale.of(20, 5))


def _weighted(what: str, target: str, addresses: Sequence[str], calls: int, loads: Sequence[float | None]) -> Row:
    asyncio.run(_tell_loads(addresses, loads))
    policy = WeightedRoundRobin(blackout_period_s=0, weight_update_period_s=0.1)
    report = asyncio.run(_measure(target, policy, Load(count=calls, concurrency=_CONCURRENCY)))
    expected = {address: member.expected.share or 0.0 for address, member in report.members.items()}
    rows = sorted(report.rows.known, key=lambda row: row.id)
    off = sum((row.calls - calls * expected[row.address]) ** 2 / (calls * expected[row.address]) for row in rows)
    told = ", ".join(f"{row.id} {row.calls} ({expected[row.address]:.2%} expected)" for row in rows)
    return Row(
        benchmark=NAME,
        what=f"weighted_round_robin, {what}: probability of so much chance",
        inputs={"calls": calls, "replicas": _REPLICAS, "concurrency": _CONCURRENCY},
        figure=chi_squared_tail(off, len(rows) - 1),
        bound=Bound(low=ALPHA),
        note=f"chi-squared {off:.2f}: {told}; {report.failed} failed",
    )


def _ejected(target: str, addresses: Sequence[str], *, rounds: int) -> Iterator[Row]:
    detection = OutlierDetection(
        interval_s=_INTERVAL_S,
        base_ejection_time_s=_EJECTION_S,
        max_ejection_percent=50,
        success_rate=None,
        failure_percentage=FailurePercentage(threshold=30, minimum_hosts=2, request_volume=10),
    )
    out, back, calls, failed = [], [], 0, 0
    for _ in range(rounds):
        report = asyncio.run(_failing_half(target, RoundRobin(outlier_detection=detection), addresses[0]))
        seen = {event.kind: event.at_s - report.run.begin_s for event in reversed(report.events)}
        out.append(seen["ejected"] / _INTERVAL_S)
        back.append((seen["let-back"] - seen["ejected"]) / _EJECTION_S)
        calls += report.calls
        failed += report.failed
    inputs = {"calls": calls, "replicas": _REPLICAS, "concurrency": _CONCURRENCY, "interval": "1 s", "rounds": rounds}
    yield Row(
        benchmark=NAME,
        what="outlier detection, 1 of 3 fails half of its calls: ejected after, in intervals",
        inputs=inputs,
        figure=max(out),
        spread=Spread.of(out),
        bound=Bound(high=2),
        note=f"{failed} calls failed in all; seen by a look each 0.1 s",
    )
    yield Row(
        benchmark=NAME,
        what="the same, well again: let back after, in ejection times of 2 s",
        inputs=inputs,
        figure=max(back),
        spread=Spread.of(back),
        bound=Bound(high=1 + 2 * _INTERVAL_S / _EJECTION_S),
        note="at the first look of the detection after the ejection time",
    )


async def _failing_half(target: str, policy: Policy, address: str) -> Report:
    await _set_fault(address, "ABORTED", 0.5)
    well = asyncio.create_task(_well_after(address, 2.5 * _INTERVAL_S))
    report = await _measure(target, policy, Load(count=None, duration_s=6.0, concurrency=_CONCURRENCY))
    await well
    return report


async def _well_after(address: str, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await _set_fault(address, "", 0.0)


def _switched(target: str, calls: int) -> Row:
    failed, made, switches = asyncio.run(_switch_while_called(target, calls))
    return Row(
        benchmark=NAME,
        what="round_robin, weighted, ring_hash in turn on one channel, every 50 ms: calls lost",
        inputs={"calls": made, "replicas": _REPLICAS, "concurrency": _CONCURRENCY},
        figure=failed,
        bound=Bound(high=0),
        note=f"{switches} switches",
    )


async def _switch_while_called(target: str, calls: int) -> tuple[int, int, int]:
    kinds: tuple[Policy, ...] = (WeightedRoundRobin(), RingHash("user"), RoundRobin(retry=Retry()), RoundRobin())
    turns = itertools.cycle(kinds)
    failed = made = switches = 0
    async with aio.insecure_channel(target) as channel:
        call: Any = channel.unary_unary(METHOD)

        async def caller(number: int) -> None:
            nonlocal failed, made
            while made < calls:
                made += 1
                try:
                    await call(REQUEST, timeout=5, metadata=(("user", str(number)),))
                except grpc.aio.AioRpcError:
                    failed += 1

        callers = [asyncio.create_task(caller(number)) for number in range(_CONCURRENCY)]
        while not all(task.done() for task in callers):
            aio.switch_policy(channel, next(turns))
            switches += 1
            await asyncio.wait(callers, timeout=_SWITCH_EVERY_S)
        await asyncio.gather(*callers)
    return failed, made, switches


def _budget(target: str, addresses: Sequence[str], *, seconds: float) -> Row:
    budget = RetryBudget(percent=20, min_per_s=0, window_s=2)
    retry = Retry(attempts=4, codes=("UNAVAILABLE",), base_interval_s=0.002, max_interval_s=0.01, budget=budget)
    calls, attempts = asyncio.run(_all_down(target, addresses, RoundRobin(retry=retry), seconds))
    return Row(
        benchmark=NAME,
        what="every call fails, a budget of 20 %: retries for 100 calls",
        inputs={"seconds": seconds, "replicas": _REPLICAS, "concurrency": _CONCURRENCY, "attempts": 4, "window": "2 s"},
        figure=100 * (attempts - calls) / calls,
        unit="%",
        bound=Bound(high=30),
        note=f"{calls} calls, {attempts} attempts; 300 % without a budget",
    )


async def _all_down(target: str, addresses: Sequence[str], policy: Policy, seconds: float) -> tuple[int, int]:
    before = sum(await asyncio.gather(*map(_calls_of, addresses)))
    await asyncio.gather(*(_set_fault(address, "UNAVAILABLE", 0.0) for address in addresses))
    try:
        load = Load(count=None, duration_s=seconds, concurrency=_CONCURRENCY)
        report = await _measure(target, policy, load)
    finally:
        await asyncio.gather(*(_set_fault(address, "", 0.0) for address in addresses))
    return report.calls, sum(await asyncio.gather(*map(_calls_of, addresses))) - before


async def _measure(target: str, policy: Policy, load: Load) -> Report:
    channel, view = open_viewed(lambda: aio.insecure_channel(target, policy=policy))
    async with channel:
        tracker = SnapshotTracker(target)
        weights = None
        if isinstance(policy, WeightedRoundRobin):
            weights = WeightBook(policy, lambda: tracker.now.ready if tracker.now is not None else ())
        measurement = Measurement(
            channel,
            view=view,
            tracker=tracker,
            question=Question(target=target, policy=policy.name, requested={}),
            method=METHOD,
            request=REQUEST,
            load=load,
            metadata=((LOAD_KEY, "?"),) if weights is not None else (),
            weights=weights,
            ejects=can_be_seen(policy),
        )
        try:
            await measurement.warm_up(5.0)
            await measurement.run()
        finally:
            tracker.close()
        return measurement.report()


async def _tell_loads(addresses: Sequence[str], loads: Sequence[float | None]) -> None:
    for address, load in zip(addresses, loads, strict=True):
        async with _replica(address) as stub:
            await stub.SetLoad(cluster_pb2.SetLoadRequest(utilization=load))


async def _set_fault(address: str, error: str, rate: float) -> None:
    async with _replica(address) as stub:
        await stub.SetFault(cluster_pb2.SetFaultRequest(fault=cluster_pb2.Fault(error=error, rate=rate)))


async def _calls_of(address: str) -> int:
    async with _replica(address) as stub:
        return int((await stub.GetStats(cluster_pb2.GetStatsRequest())).calls)


@asynccontextmanager
async def _replica(address: str) -> AsyncIterator[Any]:
    """A stub for a replica's own service, for the time of a block."""
    async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        yield cluster_pb2_grpc.ReplicaStub(channel)
