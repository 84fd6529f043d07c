"""How soon a change reaches calls: a new replica's first call, and the last call of one that stops serving."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, first_answer_after, last_answer_after, percentile
from tests.benchmarks.row import Bound, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.scale import Scale

NAME = "changes"
_CONCURRENCY = 4
_LINGER_S = 0.2
_PAUSE_S = 0.15


def run(scale: Scale) -> Iterator[Row]:
    """The rows, when all is over."""
    count = scale.of(110, 15)
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name:
        folder = Path(name)
        with (
            processes.replicas(1, registry=folder),
            processes.Worker("changing", str(folder)) as changing,
            processes.Worker("follower", "ours", "aio", f"dir://{folder}", str(_CONCURRENCY)) as follower,
        ):
            lives = changing.ask(lives=count, linger_s=_LINGER_S, seed=scale.seed)["changes"]
            flips = changing.ask(flips=count, pause_s=_PAUSE_S, seed=scale.seed)["changes"]
            log = follower.ask()
    calls: dict[str, list[tuple[float, float]]] = log["by_replica"]
    inputs = {"changes": count, "concurrency": _CONCURRENCY, "other replicas": 1}
    note = f"{log['failed']} of {log['calls']} calls failed"
    if log["failed"]:
        note += f": {log['failures']}"
    joined = [_required(first_answer_after(life["announced_s"], calls.get(life["id"], ())), life) for life in lives]
    left = [last_answer_after(life["ended_s"], calls.get(life["id"], ())) for life in lives]
    yield from _rows("registry write → first call on the new replica", joined, inputs, note)
    yield from _rows("drain (NOT_SERVING, record gone) → last call on it", left, inputs | {"linger_s": _LINGER_S})
    flipping = calls.get("flip", [])
    off = [_last_of(flip, flipping) for flip in flips]
    on = [_required(first_answer_after(flip["begun_s"], _since(flip["begun_s"], flipping)), flip) for flip in flips]
    yield from _rows("NOT_SERVING, record stays → last call on it", off, inputs | {"pause_s": _PAUSE_S})
    yield from _rows("SERVING again → first call on it", on, inputs, told_only=True)


def _rows(
    what: str, delays_s: list[float], inputs: Mapping[str, Any], note: str = "", *, told_only: bool = False
) -> Iterator[Row]:
    delays_ms = [delay_s * 1000 for delay_s in delays_s]
    median, late = statistics.median(delays_ms), percentile(delays_ms, 99)
    for name, figure, spread, bound in (
        ("median", median, Spread.of(delays_ms, of_median=True), Bound(high=25)),
        ("p99", late, Spread.of(delays_ms), Bound(high=100)),
    ):
        yield Row(
            benchmark=NAME,
            what=f"{what}, {name}",
            inputs=inputs,
            figure=figure,
            unit="ms",
            spread=spread,
            bound=None if told_only else bound,
            note=note if name == "median" else "",
        )


def _last_of(flip: Mapping[str, float], calls: list[tuple[float, float]]) -> float:
    """Calls sent before it served again; those still under way from before it did not count from the last flip."""
    return last_answer_after(flip["ended_s"], calls, until_s=flip["begun_s"])


def _since(at_s: float, calls: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [call for call in calls if call[0] >= at_s]


def _required(delay_s: float | None, change: Mapping[str, Any]) -> float:
    """The delay; nobody called at all is no figure but a failure of the benchmark."""
    if delay_s is None:
        raise RuntimeError(f"no call ever reached {change['id']}")
    return delay_s
