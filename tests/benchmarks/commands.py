"""What the command takes, as a process from start to end, beside the bare scripts that one would write instead."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, paired_ratios
from tests.benchmarks.row import Bound, Row, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.benchmarks.scale import Scale

NAME = "commands"
_REPLICAS = 3
_CALLS = 100
_CALM_S = 0.15
"""Between two sides: what the one before still does, it does then."""


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    yield _up(scale)
    yield from _call(scale)
    yield from _help(scale)


class _Took(NamedTuple):
    """What one start of a command took: from its start to its end, and the CPU of its process."""

    wall_ms: float
    cpu_ms: float


def _up(scale: Scale) -> Row:
    def ours() -> _Took:
        took = _timed([processes.lbdemo(), "up", "--replicas", str(_REPLICAS)])
        _timed([processes.lbdemo(), "down"])
        return took

    took = _alternate(scale.of(15, 4), ours, _quick_start_server)
    return _ratio(
        f"lbdemo up --replicas {_REPLICAS}, start to end / bare quick-start server, start to first answer",
        {"replicas": f"{_REPLICAS} / 1"},
        "up",
        *([each.wall_ms for each in side] for side in took),
        bound=Bound(high=2),
    )


def _quick_start_server() -> _Took:
    """From its start until the first answer has come, to a client that waits for it with everything imported."""
    began_s = time.monotonic()
    command = [sys.executable, str(processes.PROGRAMS / "greeter_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split()[-1]
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest(name="you"), timeout=5)
                return _Took((time.monotonic() - began_s) * 1000, 0.0)
        finally:
            server.kill()


def _call(scale: Scale) -> Iterator[Row]:
    _timed([processes.lbdemo(), "up", "--replicas", str(_REPLICAS)])
    try:
        status = subprocess.run([processes.lbdemo(), "status", "--json"], capture_output=True, check=True)
        addresses = ",".join(replica["address"] for replica in json.loads(status.stdout)["replicas"])
        bare = [sys.executable, str(processes.PROGRAMS / "greeter_calls.py"), f"ipv4:{addresses}", str(_CALLS)]
        took = _alternate(
            scale.of(15, 4), lambda: _timed([processes.lbdemo(), "call", "--count", str(_CALLS)]), lambda: _timed(bare)
        )
    finally:
        _timed([processes.lbdemo(), "down"])
    what = f"lbdemo call --count {_CALLS} / bare script with the same calls"
    inputs = {"calls": _CALLS, "replicas": _REPLICAS, "concurrency": 1}
    wall = ([each.wall_ms for each in side] for side in took)
    yield _ratio(f"{what}, start to end", inputs, "call", *wall, bound=Bound(high=2))
    yield _ratio(f"{what}, CPU", inputs, "call", *([each.cpu_ms for each in side] for side in took), bound=None)


def _help(scale: Scale) -> Iterator[Row]:
    ours, bare = _alternate(
        scale.of(20, 5),
        lambda: _timed([processes.lbdemo(), "--help"]),
        lambda: _timed([sys.executable, "-c", "pass"]),
    )
    for what, a, b, bound in (
        ("start to end", [each.wall_ms for each in ours], [each.wall_ms for each in bare], Bound(high=150)),
        ("CPU", [each.cpu_ms for each in ours], [each.cpu_ms for each in bare], None),
    ):
        yield Row(
            benchmark=NAME,
            what=f"lbdemo --help, {what} (beside it: Python doing nothing)",
            inputs={"rounds": len(a)},
            a=Side("help", statistics.median(a), "ms"),
            b=Side("python", statistics.median(b), "ms"),
            figure=statistics.median(a),
            unit="ms",
            spread=Spread.of(a, of_median=True),
            bound=bound,
        )


def _ratio(
    what: str, inputs: Mapping[str, Any], label: str, ours: list[float], bare: list[float], *, bound: Bound | None
) -> Row:
    ratios = paired_ratios(ours, bare)
    return Row(
        benchmark=NAME,
        what=what,
        inputs={**inputs, "rounds": len(ratios)},
        a=Side(label, statistics.median(ours), "ms"),
        b=Side("bare", statistics.median(bare), "ms"),
        figure=statistics.median(ratios),
        spread=Spread.of(ratios, of_median=True),
        bound=bound,
    )


def _alternate(rounds: int, a: Callable[[], _Took], b: Callable[[], _Took]) -> tuple[list[_Took], list[_Took]]:
    """A B A B …, after one round that does not count: it compiles, and fills the page cache."""
    took: tuple[list[_Took], list[_Took]] = ([], [])
    for number in range(rounds + 1):
        for side, values in zip((a, b), took, strict=True):
            time.sleep(_CALM_S)
            one = side()
            if number:
                values.append(one)
    return took


def _timed(command: Sequence[str]) -> _Took:
    """Run it to its end; its output goes where nobody looks.

    Raises:
        RuntimeError: It failed.
    """
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    wall_s, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Took(wall_s * 1000, cpu_s * 1000)
