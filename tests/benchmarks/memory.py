"""What an idle channel holds and does beyond a bare one, and what is left behind by snapshot changes."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from backends.announce import Record
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, slope
from tests.benchmarks.row import Bound, Row, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.scale import Scale

NAME = "memory"
_ENDPOINTS = 3
_MB = 1e6
# So many changes are one of each kind at each endpoint: only whole cycles compare.
_CYCLE = 9
_SETTLE_S = 0.3
# Core ends an extra thread of its pool when that was idle for 20 s: kIdleThreadLimit in work_stealing_thread_pool.cc.
_POOL_IDLE_S = 25
# "No growth": no thread, socket or descriptor at all; nothing that Python holds for each change, which would be a block
# at least; of RSS no more than the allocator's and gRPC's own unrest, for which a bare connection that is opened and
# closed stands beside it. A quick run is over before these two have settled: blocks are a saw, its teeth as long as
# three hundred changes.
_BLOCKS = Bound(high=0.5)
_BYTES = Bound(high=1000)


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name, processes.replicas(_ENDPOINTS) as running:
        folder = Path(name)
        for replica in running:
            Record(folder, replica.id, replica.address).write()
        for api in ("sync", "aio"):
            yield _idle(scale, api, folder, running)
        yield _idle_cpu(scale, folder, running)
        yield from _churn(scale, folder, running[0].address)


def _idle(scale: Scale, api: str, folder: Path, running: Sequence[processes.RunningReplica]) -> Row:
    rounds = scale.of(4, 1)
    listed = "ipv4:" + ",".join(replica.address for replica in running)
    rss: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(rounds):
        for whose, target in (("ours", f"dir://{folder}"), ("bare", listed)):
            with processes.Worker("holder", whose, api, target) as worker:
                rss[whose].append(worker.ready["rss"] / _MB)
    more = [ours - bare for ours, bare in zip(rss["ours"], rss["bare"], strict=True)]
    return Row(
        benchmark=NAME,
        what=f"RSS of a process with one idle channel, {api}: ours less bare",
        inputs={"endpoints": _ENDPOINTS, "calls": 1, "settle_s": 1, "rounds": rounds},
        a=Side("ours", statistics.median(rss["ours"]), "MB"),
        b=Side("bare", statistics.median(rss["bare"]), "MB"),
        figure=statistics.median(more),
        unit="MB",
        spread=Spread.of(more),
        bound=Bound(high=30),
    )


def _idle_cpu(scale: Scale, folder: Path, running: Sequence[processes.RunningReplica]) -> Row:
    listed = "ipv4:" + ",".join(replica.address for replica in running)
    settle_s, idle_s = scale.of(6, 1), scale.of(20, 2)
    with (
        processes.Worker("holder", "ours", "sync", f"dir://{folder}") as ours,
        processes.Worker("holder", "bare", "sync", listed) as bare,
    ):
        cpu_ms = [worker.ask(settle_s=settle_s, idle_s=idle_s)["cpu"] * 1000 for worker in (ours, bare)]
    return Row(
        benchmark=NAME,
        what="CPU of a process with one idle channel, sync, in a second: ours less bare",
        inputs={"endpoints": _ENDPOINTS, "settle_s": settle_s, "idle_s": idle_s},
        a=Side("ours", cpu_ms[0], "ms"),
        b=Side("bare", cpu_ms[1], "ms"),
        figure=cpu_ms[0] - cpu_ms[1],
        unit="ms",
        note="health is asked, the folder looked at",
    )


def _churn(scale: Scale, folder: Path, address: str) -> Iterator[Row]:
    with processes.Worker("holder", "ours", "sync", f"dir://{folder}") as worker:
        ours = _series(scale, worker)
        idle = _once_idle(worker, ours)
    with processes.Worker("connections", address) as worker:
        bare = _series(scale, worker)
    warm, changes = ours[0]["count"], ours[-1]["count"] - ours[0]["count"]
    first, last = ours[0], ours[-1]
    inputs = {"endpoints": _ENDPOINTS, "changes": changes, "after": warm}
    for what in ("threads", "sockets", "descriptors"):
        yield Row(
            benchmark=NAME,
            what=f"{what} more after snapshot changes",
            inputs=inputs,
            a=Side("after", last[what], ""),
            b=Side("before", first[what], ""),
            figure=last[what] - first[what],
            spread=Spread.of([point[what] - first[what] for point in ours]),
            bound=Bound(high=0),
        )
    yield Row(
        benchmark=NAME,
        what="threads of core's pool more after snapshot changes, once idle",
        inputs=inputs,
        a=Side("after", idle["pool"], ""),
        b=Side("before", first["pool"], ""),
        figure=idle["pool"] - first["pool"],
        bound=Bound(high=0),
        note=f"in between at most {max(point['pool'] for point in ours)}",
    )
    for series, cause, bytes_bound, blocks_bound in (
        (ours, "snapshot change", *((None, None) if scale.quick else (_BYTES, _BLOCKS))),
        (bare, "bare connection, opened and closed", None, None),
    ):
        for key, what, unit, bound in (
            ("rss", "RSS", "bytes", bytes_bound),
            ("blocks", "Python's blocks of memory", "blocks", blocks_bound),
        ):
            yield Row(
                benchmark=NAME,
                what=f"{what} more for each {cause}",
                inputs=inputs if series is ours else {"connections": changes, "after": warm},
                a=Side("after", series[-1][key], unit),
                b=Side("before", series[0][key], unit),
                figure=_growth(series, key),
                unit=unit,
                bound=bound,
                note="" if series is ours else "what gRPC itself leaves",
            )


def _series(scale: Scale, worker: processes.Worker) -> list[dict[str, int]]:
    """What is held after so many changes that no growth should be left, then after every block of further ones."""
    warm, changes, block = scale.of(225, 72), scale.of(405, 72), scale.of(5, 2) * _CYCLE
    series: list[dict[str, int]] = []
    for count in range(warm, warm + changes + 1, block):
        answer = worker.ask(count=block if series else warm, settle_s=_SETTLE_S)
        series.append({**answer, "count": count})
    return series


def _once_idle(worker: processes.Worker, series: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    """What is held after the last change, as soon as core's pool is no larger than before, or has had its time."""
    last = series[-1]
    for _ in range(_POOL_IDLE_S):
        if last["pool"] <= series[0]["pool"]:
            break
        last = worker.ask(count=0, settle_s=1)
    return last


def _growth(series: Sequence[Mapping[str, int]], key: str) -> float:
    return slope([(point["count"], point[key]) for point in series])
