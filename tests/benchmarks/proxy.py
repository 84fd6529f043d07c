"""Client-side balancing against an Envoy in front of the same replicas: latency, CPU, and how soon a change arrives.

Each side has a client process of its own, one with our channel, the other with a bare one to the proxy's address; in
each round both make the same calls. A third one has a bare channel, under round_robin, on the replicas' addresses: no
code of ours takes part in it, so that it shows what gRPC itself makes of the direct way. Envoy is fed by the control
plane of this process, which no figure contains.
"""

from __future__ import annotations

import enum
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lb_client.compare.meters import cpu_of
from lb_client.proxy import EnvoyProxy
from tests.benchmarks import processes
from tests.benchmarks.figures import Spread, first_answer_after, last_answer_after, paired_ratios, rotated
from tests.benchmarks.row import Bound, Row, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.scale import Scale

NAME = "proxy"
_SIDES = ("channel", "bare", "Envoy")
_REPLICAS = 3
_CALLS = {1: 150, 64: 5120}
_PROCESSES = {1: 8, 64: 4}
"""On each side, one after the other, each with nine rounds: what a virtual machine does for a while is in many."""
_LINGER_S = 0.2
_PAUSE_S = 0.15
_AS_FAST = Bound(high=0.65)
_AS_CHEAP = Bound(high=0.8)
_SOON = Bound(high=25)


class _Process(enum.StrEnum):
    """The clients' processes: by the defaults of gRPC and of the kernel, under SCHED_BATCH, or as our commands' are."""

    DEFAULT = "an application's"
    GIVES_WAY = "an application's, giving way"
    COMMAND = "like lbdemo call"


@dataclass(frozen=True, slots=True)
class _Client:
    """What both clients are.

    Attributes:
        api: Of gRPC.
        concurrency: Calls at once.
        process: The process of each.
        limit: Of what this client is measured by: with one call at once the median latency, with 64 the CPU.
    """

    api: str
    concurrency: int
    process: _Process
    limit: Bound

    def worker(self, side: str, target: str) -> processes.Worker:
        options = ("--gives-way",) if self.process is _Process.GIVES_WAY else ()
        in_flight = self.concurrency if self.process is _Process.COMMAND else 0
        whose = "ours" if side == "channel" else "bare"
        return processes.Worker("caller", whose, self.api, target, *options, as_command=in_flight)


_CLIENTS = (
    _Client("sync", 1, _Process.DEFAULT, _AS_FAST),
    _Client("aio", 1, _Process.DEFAULT, _AS_FAST),
    _Client("aio", 1, _Process.COMMAND, _AS_FAST),
    _Client("aio", 64, _Process.DEFAULT, _AS_CHEAP),
    _Client("aio", 64, _Process.GIVES_WAY, _AS_CHEAP),
    _Client("aio", 64, _Process.COMMAND, _AS_CHEAP),
)


def run(scale: Scale) -> Iterator[Row]:
    """The rows, as they come."""
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name:
        folder = Path(name)
        with processes.replicas(_REPLICAS, registry=folder) as running, EnvoyProxy(f"dir://{folder}") as proxy:
            targets = {
                "channel": f"dir://{folder}",
                "bare": "ipv4:" + ",".join(replica.address for replica in running),
                "Envoy": proxy.address,
            }
            for client in _CLIENTS:
                yield from _calls(scale, targets, proxy, client)
    with tempfile.TemporaryDirectory(prefix="lbb-", dir="/tmp") as name:
        yield from _changes(scale, Path(name))


def _calls(scale: Scale, targets: Mapping[str, str], proxy: EnvoyProxy, client: _Client) -> Iterator[Row]:
    calls, concurrency = _CALLS[client.concurrency], client.concurrency
    processes_each, rounds_each = scale.of(_PROCESSES[concurrency], 1), scale.of(9, 9)
    p50_us: dict[str, list[float]] = {side: [] for side in _SIDES}
    cpu_us: dict[str, list[float]] = {side: [] for side in _SIDES}
    failed = 0
    for _ in range(processes_each):
        with ExitStack() as stack:
            workers = {side: stack.enter_context(client.worker(side, target)) for side, target in targets.items()}
            for number in range(rounds_each):
                for side in rotated(_SIDES, number):
                    envoy_s = cpu_of(proxy.pid)
                    answer = workers[side].ask(calls=calls, concurrency=concurrency)
                    envoy_s = cpu_of(proxy.pid) - envoy_s if side == "Envoy" else 0.0
                    p50_us[side].append(answer["p50_s"] * 1e6)
                    cpu_us[side].append((answer["cpu_s"] + envoy_s) / calls * 1e6)
                    failed += answer["failed"]
    inputs = {
        "calls a round": calls,
        "concurrency": concurrency,
        "rounds": f"{processes_each}*{rounds_each}",
        "replicas": _REPLICAS,
        "both clients": str(client.process),
    }
    for what, values, bound in (
        ("p50", p50_us, client.limit if concurrency == 1 else None),
        ("CPU per call, client and proxy", cpu_us, client.limit if concurrency == 64 else None),
    ):
        envoy = values["Envoy"]
        for side, who, limit, note in (
            ("channel", "client-side", bound, f"{failed} failed" if failed else ""),
            ("bare", "bare channel, direct", None, "no code of ours"),
        ):
            ratios = paired_ratios(values[side], envoy)
            yield Row(
                benchmark=NAME,
                what=f"{what}, {client.api}: {who} / through Envoy",
                inputs=inputs,
                a=Side("client-side" if side == "channel" else side, statistics.median(values[side]), "µs"),
                b=Side("Envoy", statistics.median(envoy), "µs"),
                figure=statistics.median(ratios),
                spread=Spread.of(ratios, of_median=True),
                bound=limit,
                note=note,
            )


def _changes(scale: Scale, folder: Path) -> Iterator[Row]:
    """The same changes, seen by a channel and through Envoy at once."""
    count = scale.of(24, 8)
    with (
        processes.replicas(1, registry=folder),
        EnvoyProxy(f"dir://{folder}") as proxy,
        processes.Worker("changing", str(folder)) as changing,
        processes.Worker("follower", "ours", "aio", f"dir://{folder}", "1") as channel,
        processes.Worker("follower", "bare", "aio", proxy.address, "1") as through,
    ):
        lives = changing.ask(lives=count, linger_s=_LINGER_S, seed=scale.seed)["changes"]
        flips = changing.ask(flips=count, pause_s=_PAUSE_S, seed=scale.seed)["changes"]
        logs = {"channel": channel.ask(), "Envoy": through.ask()}
    joined: dict[str, list[float]] = {}
    left: dict[str, list[float]] = {}
    off: dict[str, list[float]] = {}
    for side, log in logs.items():
        calls = log["by_replica"]
        first = [first_answer_after(life["announced_s"], calls.get(life["id"], ())) for life in lives]
        joined[side] = [delay_s * 1000 for delay_s in first if delay_s is not None]
        left[side] = [last_answer_after(life["ended_s"], calls.get(life["id"], ())) * 1000 for life in lives]
        calls_of_flip = calls.get("flip", ())
        off[side] = [
            last_answer_after(flip["ended_s"], calls_of_flip, until_s=flip["begun_s"]) * 1000 for flip in flips
        ]
    inputs = {"changes": count, "concurrency": "1 each", "other replicas": 1}
    failed = ", ".join(f"{log['failed']} of {log['calls']} calls failed ({side})" for side, log in logs.items())
    yield _change("registry write → first call on the new replica", joined, inputs, failed)
    yield _change("drain → last call on it", left, inputs | {"linger_s": _LINGER_S})
    yield _change("NOT_SERVING, record stays → last call on it", off, inputs | {"pause_s": _PAUSE_S})


def _change(what: str, delays_ms: Mapping[str, list[float]], inputs: Mapping[str, object], note: str = "") -> Row:
    channel, envoy = (delays_ms[side] for side in ("channel", "Envoy"))
    return Row(
        benchmark=NAME,
        what=f"{what}, median, through Envoy",
        inputs=inputs,
        a=Side("Envoy", statistics.median(envoy), "ms"),
        b=Side("channel", statistics.median(channel), "ms"),
        figure=statistics.median(envoy),
        unit="ms",
        spread=Spread.of(envoy, of_median=True),
        bound=_SOON,
        note=note,
    )
