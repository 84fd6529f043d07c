"""What the ledger costs: for who asks for it, at the client and at the replica, and for who does not.

One client and one replica of a cluster, the same calls turn by turn: recorded as sums alone, as `lbdemo call` records
them, and as it does with `--ledger`.
"""

from __future__ import annotations

import statistics
import subprocess
import timeit
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from backends.dispatch import Dispatch
from backends.identity import Identity
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, paired_ratios, rotated
from tests.benchmarks.row import Bound, Row, Side
from tests.support.command import status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.scale import Scale

NAME = "ledger"
_MODES = ("sums", "off", "on")
_CALLS = 320
_CONCURRENCY = 16
_SERVICE = "helloworld.Greeter"
_FREE = Bound(low=0.97)
_CHEAP = Bound(high=1.03)


@dataclass(slots=True)
class _Rounds:
    """By mode, what each round gave."""

    per_s: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in _MODES})
    client_us: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in _MODES})
    replica_us: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in _MODES})


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    rounds_each = scale.of(90, 30)
    rounds = _Rounds()
    subprocess.run([processes.lbdemo(), "up", "--replicas", "1"], check=True, stdout=subprocess.DEVNULL)
    try:
        cluster = status()
        pid = int(cluster["replicas"][0]["pid"])
        with processes.Worker("named_caller", str(cluster["target"])) as worker:
            for number in range(rounds_each):
                for mode in rotated(_MODES, number):
                    before_us = _cpu_us(pid)
                    answer = worker.ask(mode=mode, calls=_CALLS, concurrency=_CONCURRENCY)
                    rounds.replica_us[mode].append((_cpu_us(pid) - before_us) / _CALLS)
                    rounds.per_s[mode].append(_CALLS / answer["wall_s"])
                    rounds.client_us[mode].append(answer["cpu_s"] / _CALLS * 1e6)
    finally:
        subprocess.run([processes.lbdemo(), "down"], check=True, stdout=subprocess.DEVNULL)
    inputs = {"calls a round": _CALLS, "concurrency": _CONCURRENCY, "rounds": rounds_each, "replicas": 1}
    yield _row(
        "calls/s: without a ledger / sums alone", "/s", rounds.per_s, ("off", "sums"), inputs=inputs, bound=_FREE
    )
    yield _row(
        "client CPU: without a ledger / sums alone",
        "µs",
        rounds.client_us,
        ("off", "sums"),
        inputs=inputs,
        bound=_CHEAP,
    )
    yield _row("calls/s: with a ledger / without", "/s", rounds.per_s, ("on", "off"), inputs=inputs)
    yield _row("client CPU: with a ledger / without", "µs", rounds.client_us, ("on", "off"), inputs=inputs)
    yield _row("replica CPU: with a ledger / without", "µs", rounds.replica_us, ("on", "off"), inputs=inputs)
    yield _looking(statistics.median(rounds.replica_us["off"]))


def _row(
    what: str,
    unit: str,
    values: Mapping[str, list[float]],
    modes: tuple[str, str],
    *,
    inputs: Mapping[str, Any],
    bound: Bound | None = None,
) -> Row:
    a, b = (values[mode] for mode in modes)
    ratios = paired_ratios(a, b)
    return Row(
        benchmark=NAME,
        what=what,
        inputs=inputs,
        a=Side(modes[0], statistics.median(a), unit),
        b=Side(modes[1], statistics.median(b), unit),
        figure=statistics.median(ratios),
        spread=Spread.of(ratios, of_median=True),
        bound=bound,
    )


def _cpu_us(pid: int) -> float:
    """The CPU time of a process, all its threads, as the scheduler counts it."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1000


class _Details(grpc.HandlerCallDetails):
    """A call as it comes from `lbdemo call` without a ledger."""

    method = f"/{_SERVICE}/SayHello"
    invocation_metadata = (("user-agent", "grpc-python-asyncio/1.85.1"), ("accept-encoding", "identity, deflate, gzip"))


def _looking(call_us: float) -> Row:
    """What a replica pays at each call to see that nobody asks: it looks at the metadata for two names, not for one."""
    dispatch, details, number = Dispatch(Identity()), _Details(), 20_000
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
    dispatch.add(_SERVICE, {"SayHello": handler}, counted=True)
    each = [seconds / number * 1e6 for seconds in timeit.repeat(lambda: dispatch.service(details), number=number)]
    return Row(
        benchmark=NAME,
        what="replica: finding a call's handler, nobody asks / CPU of a call",
        inputs={"times": number},
        a=Side("handler", min(each), "µs"),
        b=Side("call", call_us, "µs"),
        figure=min(each) / call_us,
        bound=Bound(high=0.01),
        note="of it, looking for a ledger's mark is the smaller part",
    )
