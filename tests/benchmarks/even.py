"""How evenly calls spread: 100 over 3 replicas by the command, any count over 1 to 16 replicas by the library."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from backends.announce import Record
from lb_client import aio
from lb_client.channelz import open_viewed
from lb_client.driver import Load
from lb_client.measurement import Measurement
from lb_client.report import Question
from lb_client.stats import spread
from lb_client.tracking import SnapshotTracker
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, random_counts
from tests.benchmarks.programs.channels import METHOD, REQUEST
from tests.benchmarks.row import Bound, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.scale import Scale

NAME = "even"
_MOST_REPLICAS = 16
_MOST_CALLS = 1000
_CONCURRENCIES = (1, 64)


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name, processes.replicas(_MOST_REPLICAS) as running:
        folder = Path(name)
        yield _hundred_over_three(scale, folder / "three", running[:3])
        yield from _any_count(scale, folder / "any", running)


def _hundred_over_three(scale: Scale, folder: Path, three: Sequence[processes.RunningReplica]) -> Row:
    for replica in three:
        Record(folder, replica.id, replica.address).write()
    rounds = scale.of(10, 2)
    seen: Counter[str] = Counter()
    worst = []
    for _ in range(rounds):
        command = [processes.lbdemo(), "call", "--count", "100", "--json", "--target", f"dir://{folder}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        counts = sorted((backend["calls"] for backend in json.loads(done.stdout)["backends"]), reverse=True)
        seen["/".join(map(str, counts))] += 1
        worst.append(spread([*counts, *[0] * (len(three) - len(counts))]))
    return Row(
        benchmark=NAME,
        what="lbdemo call: most calls of one less fewest",
        inputs={"calls": 100, "replicas": 3, "concurrency": 1, "rounds": rounds},
        figure=max(worst),
        spread=Spread.of(worst),
        bound=Bound(high=1),
        note=", ".join(f"{counts} in {times} rounds" for counts, times in seen.most_common(3)),
    )


def _any_count(scale: Scale, folder: Path, running: Sequence[processes.RunningReplica]) -> Iterator[Row]:
    rng = random.Random(scale.seed)  # noqa: S311 -- to be repeated by its seed, not to be secret
    each = scale.of(4, 1)
    worst: dict[int, list[int]] = {concurrency: [] for concurrency in _CONCURRENCIES}
    calls = dict.fromkeys(_CONCURRENCIES, 0)
    for number, replica in enumerate(running, start=1):
        Record(folder, replica.id, replica.address).write()
        for concurrency in _CONCURRENCIES:
            counts = random_counts(rng, each, _MOST_CALLS)
            calls[concurrency] += sum(counts)
            worst[concurrency] += asyncio.run(_spreads(f"dir://{folder}", number, concurrency, counts))
    for concurrency in _CONCURRENCIES:
        yield Row(
            benchmark=NAME,
            what="any count over any number of replicas: most less fewest",
            inputs={
                "calls": f"1…{_MOST_CALLS} at random",
                "replicas": f"1…{len(running)}",
                "concurrency": concurrency,
                "runs": len(worst[concurrency]),
                "seed": scale.seed,
            },
            figure=max(worst[concurrency]),
            spread=Spread.of(worst[concurrency]),
            bound=Bound(high=1),
            note=f"{calls[concurrency]} calls in all",
        )


async def _spreads(target: str, replicas: int, concurrency: int, counts: Sequence[int]) -> list[int]:
    """Most minus fewest of each run, on a channel of its own; one that failed a call counts as uneven."""
    spreads = []
    for count in counts:
        channel, view = open_viewed(lambda: aio.insecure_channel(target))
        async with channel:
            tracker = SnapshotTracker(target)
            measurement = Measurement(
                channel,
                view=view,
                tracker=tracker,
                question=Question(target=target, policy="round_robin", requested={}),
                method=METHOD,
                request=REQUEST,
                load=Load(count=count, concurrency=concurrency),
            )
            try:
                await measurement.warm_up(5.0)
                await measurement.run()
            finally:
                tracker.close()
        answered = [tally.calls for tally in measurement.recorder.backends.values()]
        assert sum(answered) == count
        spreads.append(spread([*answered, *[0] * (replicas - len(answered))]) + measurement.recorder.failed)
    return spreads
