"""What the command takes, as a process from start to end, beside the bare scripts that one would write instead."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

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
    yield _call(scale)
    yield _help(scale)


def _up(scale: Scale) -> Row:
    def ours() -> float:
        took_s = _timed([processes.lbdemo(), "up", "--replicas", str(_REPLICAS)])
        _timed([processes.lbdemo(), "down"])
        return took_s

    ours_ms, bare_ms = _alternate(scale.of(15, 4), ours, _quick_start_server)
    return _ratio(
        f"lbdemo up --replicas {_REPLICAS}, start to end / bare quick-start server, start to first answer",
        {"replicas": f"{_REPLICAS} / 1"},
        "up",
        ours_ms,
        bare_ms,
    )


def _quick_start_server() -> float:
    """From its start until the first answer has come, to a client that waits for it with everything imported."""
    began_s = time.monotonic()
    command = [sys.executable, str(processes.PROGRAMS / "greeter_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split()[-1]
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest(name="you"), timeout=5)
                return time.monotonic() - began_s
        finally:
            server.kill()


def _call(scale: Scale) -> Row:
    _timed([processes.lbdemo(), "up", "--replicas", str(_REPLICAS)])
    try:
        status = subprocess.run([processes.lbdemo(), "status", "--json"], capture_output=True, check=True)
        addresses = ",".join(replica["address"] for replica in json.loads(status.stdout)["replicas"])
        bare = [sys.executable, str(processes.PROGRAMS / "greeter_calls.py"), f"ipv4:{addresses}", str(_CALLS)]
        ours_ms, bare_ms = _alternate(
            scale.of(15, 4), lambda: _timed([processes.lbdemo(), "call", "--count", str(_CALLS)]), lambda: _timed(bare)
        )
    finally:
        _timed([processes.lbdemo(), "down"])
    return _ratio(
        f"lbdemo call --count {_CALLS} / bare script with the same calls, both start to end",
        {"calls": _CALLS, "replicas": _REPLICAS, "concurrency": 1},
        "call",
        ours_ms,
        bare_ms,
    )


def _help(scale: Scale) -> Row:
    ours_ms, bare_ms = _alternate(
        scale.of(20, 5),
        lambda: _timed([processes.lbdemo(), "--help"]),
        lambda: _timed([sys.executable, "-c", "pass"]),
    )
    return Row(
        benchmark=NAME,
        what="lbdemo --help, start to end (beside it: Python doing nothing)",
        inputs={"rounds": len(ours_ms)},
        a=Side("help", statistics.median(ours_ms), "ms"),
        b=Side("python", statistics.median(bare_ms), "ms"),
        figure=statistics.median(ours_ms),
        unit="ms",
        spread=Spread.of(ours_ms, of_median=True),
        bound=Bound(high=150),
    )


def _ratio(what: str, inputs: Mapping[str, Any], label: str, ours_ms: list[float], bare_ms: list[float]) -> Row:
    ratios = paired_ratios(ours_ms, bare_ms)
    return Row(
        benchmark=NAME,
        what=what,
        inputs={**inputs, "rounds": len(ratios)},
        a=Side(label, statistics.median(ours_ms), "ms"),
        b=Side("bare", statistics.median(bare_ms), "ms"),
        figure=statistics.median(ratios),
        spread=Spread.of(ratios, of_median=True),
        bound=Bound(high=2),
    )


def _alternate(rounds: int, a: Callable[[], float], b: Callable[[], float]) -> tuple[list[float], list[float]]:
    """A B A B …, in milliseconds, after one round that does not count: it compiles, and fills the page cache."""
    took_ms: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for side, values in zip((a, b), took_ms, strict=True):
            time.sleep(_CALM_S)
            took_s = side()
            if number:
                values.append(took_s * 1000)
    return took_ms


def _timed(command: Sequence[str]) -> float:
    """Seconds from its start to its end; its output goes where nobody looks.

    Raises:
        RuntimeError: It failed.
    """
    began_s = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    took_s = time.monotonic() - began_s
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return took_s
