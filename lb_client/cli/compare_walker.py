"""A process of `lbdemo compare` that walks one way: warms up, sends calls and streams as told, says what it has seen.

One JSON object a line: what to do on standard input, what came of it on standard output. It ends when its input does.
A process for each way: what the client's CPU did belongs to that way, and no two ways share a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from lb_client.cli.client_loop import give_way, loop_for, where_answers_come
from lb_client.compare.channels import ChannelRing, open_ring
from lb_client.compare.errand import Errand
from lb_client.compare.streams import converse, open_stream
from lb_client.driver import CallDriver, Load
from lb_client.leash import die_with
from lb_client.membership import Member, Membership
from lb_client.records import CallRecorder
from lb_client.report import latency_ms
from lb_client.rows import NOBODY
from lb_client.stats import LatencyHistogram
from lb_client.warmup import warm_up
from protos import helloworld_pb2

if TYPE_CHECKING:
    import grpc.aio

_GREET = "/helloworld.Greeter/SayHello"
_WARM_UP_S = 5.0


def main() -> None:
    """Walk."""
    errand = Errand.from_json(sys.argv[1])
    die_with(errand.parent)
    load = Load(concurrency=errand.concurrency)
    with asyncio.Runner(loop_factory=lambda: loop_for(load)) as runner, contextlib.suppress(asyncio.CancelledError):
        runner.run(_walk(errand))


async def _walk(errand: Errand) -> None:
    task = asyncio.current_task()
    if task is not None:
        # In good order also then: a channel of ours has a private folder.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    ring = open_ring(errand.way, errand.target)
    try:
        reason = await _warm_up(errand, ring)
        _say(ready=not reason, reason=reason, connections=ring.connections())
        gc.freeze()
        walker = _Walker(errand, ring)
        while order := await asyncio.to_thread(sys.stdin.readline):
            told = json.loads(order)
            if told.pop("do") == "calls":
                _say(**await walker.calls(**told))
            else:
                _say(**await walker.streams(**told))
    finally:
        await ring.close()


async def _warm_up(errand: Errand, ring: ChannelRing) -> str:
    """Connect everything; why not a single call can be sent, "" when one can."""
    way = errand.way
    # Whom the calls can reach: one replica where the channel knows one.
    expected = {errand.target: ""} if way.one_replica else errand.replicas
    members = Membership(time.monotonic(), tuple(sorted(Member(address, name) for address, name in expected.items())))
    warm = await warm_up(
        _as_channel(ring),
        timeout_s=_WARM_UP_S,
        picks_one=way.policy == "pick_first" and way.connections == 1,
        # Behind a proxy the connections say nothing of the replicas; their answers do.
        view=ring.view if way.through == "direct" else None,
        membership=lambda: members,
    )
    if not warm.reason:
        await ring.connect(_WARM_UP_S)
    return warm.reason


class _Walker:
    def __init__(self, errand: Errand, ring: ChannelRing) -> None:
        self._errand = errand
        self._ring = ring
        self._latency = LatencyHistogram()

    async def calls(self, *, count: int) -> dict[str, Any]:
        """Send so many; what came of these, and the latency of all so far."""
        recorder = CallRecorder()
        request = helloworld_pb2.HelloRequest(name="world").SerializeToString()
        load = Load(count=count, concurrency=self._errand.concurrency, deadline_s=self._errand.deadline_s)
        give_way(load)
        cpu_s = _cpu_s()
        driver = CallDriver(_as_channel(self._ring), _GREET, request, recorder, load)
        run = await where_answers_come(driver.run())
        cpu_s = _cpu_s() - cpu_s
        self._latency.merge(recorder.latency)
        by_address = {address: tally.calls for (_, address), tally in recorder.backends.items() if address != NOBODY[1]}
        return {
            "by_address": by_address,
            "lost": recorder.calls - sum(by_address.values()),
            "done": recorder.calls,
            "failed": recorder.failed,
            "failures": [f"{status} ({details})" for status, details in recorder.failures][:3],
            "elapsed_s": run.elapsed_s,
            "latency_ms": latency_ms(self._latency),
            "cpu_s": cpu_s,
        }

    async def streams(self, *, streams: int, messages: int) -> dict[str, Any]:
        """Hold so many conversations at once; what came of them."""
        cpu_s = _cpu_s()
        tally = await where_answers_come(
            converse(
                open_stream(self._ring),
                streams=streams,
                messages=messages,
                deadline_s=self._errand.deadline_s,
                name=f"compare-{self._errand.way.key}",
            )
        )
        return {
            "by_address": {address: number for address, number in tally.streams.items() if address},
            "lost": tally.streams.get("", 0),
            "done": sum(tally.messages.values()),
            "messages": tally.messages,
            "failed": tally.failed,
            "failures": tally.failures,
            "elapsed_s": tally.elapsed_s,
            "latency_ms": latency_ms(tally.latency),
            "cpu_s": _cpu_s() - cpu_s,
        }


def _as_channel(ring: ChannelRing) -> grpc.aio.Channel:
    """A ring has what a driver and a warm-up use of a channel."""
    return cast("grpc.aio.Channel", ring)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
