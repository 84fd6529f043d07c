"""What a call costs on our channel, in time and in CPU, against a bare channel to the same replica.

Each channel has a process of its own, so that what our control plane does in the background is charged to our side.
There are two bare channels. Ours is compared with the geometric mean of both; and one of them with the other, which
shows what this method calls a difference where there is none. A fourth channel is as ours is, but its control plane is
in another process: what it costs more than a bare one is gRPC core's own xDS.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, paired_ratios, rotated
from tests.benchmarks.row import Bound, Row, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.scale import Scale

NAME = "calls"
# Short rounds: what else the machine does then meets both sides of most of them alike.
_CALLS = {1: 150, 16: 320}
_SIDES = ("ours", "bare", "plane elsewhere", "bare again")
_SHORT = {"our channel": "ours", "control plane elsewhere": "elsewhere", "bare": "bare"}
_AS_FAST = Bound(low=0.97)
_AS_CHEAP = Bound(high=1.03)


@dataclass(frozen=True, slots=True)
class _Caller:
    """How the process of one side is begun."""

    whose: str
    target: str
    environ: Mapping[str, str] = field(default_factory=dict)

    def worker(self, api: str) -> processes.Worker:
        return processes.Worker("caller", self.whose, api, self.target, environ=self.environ)


@dataclass(slots=True)
class _Rounds:
    """By side, what each round gave."""

    per_s: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in _SIDES})
    cpu_us: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in _SIDES})
    failed: int = 0


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name:
        folder = Path(name)
        target = f"dir://{folder}"
        with (
            processes.replicas(1, registry=folder) as (replica,),
            processes.Worker("plane", target) as plane,
        ):
            elsewhere: dict[str, str] = plane.ready["environ"]
            callers = {
                "ours": _Caller("ours", target),
                "bare": _Caller("bare", replica.address),
                "plane elsewhere": _Caller("bare", plane.ready["uri"], elsewhere),
                "bare again": _Caller("bare", replica.address),
            }
            for api, concurrency in (("sync", 1), ("aio", 1), ("aio", 16)):
                yield from _compare(scale, callers, api=api, concurrency=concurrency)


def _compare(scale: Scale, callers: Mapping[str, _Caller], *, api: str, concurrency: int) -> Iterator[Row]:
    calls = _CALLS[concurrency]
    processes_each, rounds_each = scale.of(9, 1), scale.of(12, 9)
    rounds = _Rounds()
    for _ in range(processes_each):
        with ExitStack() as stack:
            workers = {side: stack.enter_context(caller.worker(api)) for side, caller in callers.items()}
            for number in range(rounds_each):
                # Each side comes first, second and last alike: what it finds in the caches is another's.
                for side in rotated(_SIDES, number):
                    answer = workers[side].ask(calls=calls, concurrency=concurrency)
                    rounds.per_s[side].append(calls / answer["wall_s"])
                    rounds.cpu_us[side].append(answer["cpu_s"] / calls * 1e6)
                    rounds.failed += answer["failed"]
    inputs = {
        "calls a round": calls,
        "concurrency": concurrency,
        "rounds": f"{processes_each}*{rounds_each}",
        "replicas": 1,
    }
    failed = f"{rounds.failed} failed" if rounds.failed else ""
    for what, unit, values, bound in (
        ("calls/s", "/s", rounds.per_s, _AS_FAST),
        ("CPU per call", "µs", rounds.cpu_us, _AS_CHEAP),
    ):
        ours, bare, elsewhere, again = (values[side] for side in _SIDES)
        both = [math.sqrt(one * other) for one, other in zip(bare, again, strict=True)]
        for a, b, labels, limit, note in (
            (ours, both, ("our channel", "bare"), bound, failed),
            (elsewhere, both, ("control plane elsewhere", "bare"), None, "gRPC core's own xDS"),
            (ours, elsewhere, ("our channel", "control plane elsewhere"), None, "our own part"),
            (again, bare, ("bare", "bare"), None, "the noise of this method"),
        ):
            ratios = paired_ratios(a, b)
            yield Row(
                benchmark=NAME,
                what=f"{what}, {api}: {labels[0]} / {labels[1]}",
                inputs=inputs,
                a=Side(_SHORT[labels[0]], statistics.median(a), unit),
                b=Side(_SHORT[labels[1]], statistics.median(b), unit),
                figure=statistics.median(ratios),
                spread=Spread.of(ratios, of_median=True),
                bound=limit,
                note=note,
            )
