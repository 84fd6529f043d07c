"""What a message costs on one ping-pong stream against a bare one, and how a thousand open streams spread.

The bare side is a grpc.aio server of its own and a plain channel: no identity, no counting, no registry, no xDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio

from backends.announce import Record
from lb_client import aio
from lb_client.channelz import open_viewed
from lb_client.script import Mode, Script
from lb_client.stats import spread
from lb_client.talks import Talks
from lb_client.tracking import SnapshotTracker
from lb_client.warmup import warm_up
from protos import cluster_pb2, cluster_pb2_grpc
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, paired_ratios, rotated
from tests.benchmarks.row import Bound, Row, Side
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.scale import Scale

NAME = "streams"
# Short rounds: what else the machine does then meets all sides alike.
_LINES = 100
_SIDES = ("ours", "bare", "moving")
_STREAMS = 1000
_LABELS = {"ours": "our channel and replica", "moving": "the same by MovingStream"}


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name:
        yield from _messages(scale, Path(name) / "one")
        yield _thousand(scale, Path(name) / "three")


def _messages(scale: Scale, folder: Path) -> Iterator[Row]:
    """The sides take turns: what the machine does meanwhile meets all of them alike."""
    rounds, workers_each = scale.of(60, 40), scale.of(3, 1)
    per_s: dict[str, list[float]] = {side: [] for side in _SIDES}
    with processes.replicas(1, registry=folder), _bare_server() as address:
        for _ in range(workers_each):
            with ExitStack() as stack:
                workers = {
                    side: stack.enter_context(
                        processes.Worker("ponger", side, address if side == "bare" else f"dir://{folder}")
                    )
                    for side in _SIDES
                }
                for number in range(rounds):
                    for side in rotated(_SIDES, number):
                        # Each line has its answer: two messages.
                        per_s[side].append(2 * _LINES / workers[side].ask(lines=_LINES)["wall_s"])
    inputs = {"lines a round": _LINES, "rounds": f"{workers_each}*{rounds}", "streams": 1, "replicas": 1}
    for side, label in _LABELS.items():
        ratios = paired_ratios(per_s[side], per_s["bare"])
        yield Row(
            benchmark=NAME,
            what=f"messages/s on a ping-pong stream: {label} / bare",
            inputs=inputs,
            a=Side(side, statistics.median(per_s[side]), "/s"),
            b=Side("bare", statistics.median(per_s["bare"]), "/s"),
            figure=statistics.median(ratios),
            spread=Spread.of(ratios, of_median=True),
            bound=Bound(low=0.95),
        )


def _thousand(scale: Scale, folder: Path) -> Row:
    with processes.replicas(3) as three:
        for replica in three:
            Record(folder, replica.id, replica.address).write()
        found = [asyncio.run(_open_at_once(folder, three)) for _ in range(scale.of(5, 2))]
    worst = [spread(counts) + abs(_STREAMS - sum(counts)) for counts, _ in found]
    return Row(
        benchmark=NAME,
        what=f"{_STREAMS:,} streams open at once: most of one replica less fewest",
        inputs={"streams": _STREAMS, "replicas": 3, "rounds": len(found)},
        figure=max(worst),
        spread=Spread.of(worst),
        bound=Bound(high=1),
        note=f"as the replicas count them; all open within {max(took_s for _, took_s in found):.2f} s",
    )


async def _open_at_once(folder: Path, three: Sequence[processes.RunningReplica]) -> tuple[list[int], float]:
    """Open streams by replica, while all of them are open, and what opening took."""
    channel, view = open_viewed(lambda: aio.insecure_channel(f"dir://{folder}"))
    tracker = SnapshotTracker(f"dir://{folder}")
    async with channel:
        try:
            await tracker.first(5.0)
            await warm_up(channel, view=view, membership=lambda: tracker.now)
        finally:
            tracker.close()
        began_s = asyncio.get_running_loop().time()
        talks = Talks(channel, Script(mode=Mode.PING_PONG, count=None, interval_s=60.0), streams=_STREAMS)
        running = asyncio.create_task(talks.run())

        def all_answered() -> None:
            assert all(talk.received for talk in talks.talks)

        await aeventually(all_answered, within_s=30)
        took_s = asyncio.get_running_loop().time() - began_s
        counts = [await _open_streams(replica.address) for replica in three]
        talks.stop()
        await running
        return counts, took_s


async def _open_streams(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stats = await cluster_pb2_grpc.ReplicaStub(channel).GetStats(cluster_pb2.GetStatsRequest())
        return int(stats.open_streams)


@contextlib.contextmanager
def _bare_server() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.programs.pong_server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=processes.ROOT
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield f"127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()
