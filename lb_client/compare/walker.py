"""A process that walks one way: warms up, sends the calls, then the streams, and tells what its side has seen of each.

One JSON object a line: what to do on standard input, what came of it on standard output. It ends when its input does.
A process for each way: what the client's CPU did belongs to that way, and no two ways share a connection.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from lb_client.compare.channels import ChannelRing, open_ring
from lb_client.compare.streams import converse, open_stream
from lb_client.compare.ways import Way
from lb_client.driver import Load
from lb_client.leash import die_with
from lb_client.measurement import Measurement
from lb_client.membership import Member, Membership
from lb_client.report import Question, latency_ms
from lb_client.tracking import MembershipTracker, SnapshotTracker
from protos import helloworld_pb2

if TYPE_CHECKING:
    import grpc.aio

_GREET = "/helloworld.Greeter/SayHello"
_WARM_UP_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Errand:
    """What a walker is told.

    Attributes:
        way: Which way.
        target: Where it begins: a target of ours, or `host:port`.
        replicas: Name by address of everybody who may answer.
        count: Unary calls.
        concurrency: Calls in flight.
        streams: Streams at once.
        messages: On each stream.
        deadline_s: Of each call and of each stream.
        parent: The process that it works for, and ends with.
    """

    way: Way
    target: str
    replicas: dict[str, str]
    count: int
    concurrency: int
    streams: int
    messages: int
    deadline_s: float
    parent: int

    def to_json(self) -> str:
        """For the process's command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Errand:
        """From there."""
        told = json.loads(text)
        return cls(**{**told, "way": Way(**told["way"])})


class _ToldOnce(MembershipTracker):
    """Knows who may get calls from the beginning, and hears of no change."""

    knows_registry = True

    def __init__(self, members: dict[str, str]) -> None:
        super().__init__()
        self.accept(Membership(time.monotonic(), tuple(sorted(Member(a, name) for a, name in members.items()))))

    async def first(self, timeout_s: float) -> Membership | None:  # noqa: ARG002 -- there is nothing to wait for
        """What was told."""
        return self.now


def main() -> None:
    """Walk."""
    errand = Errand.from_json(sys.argv[1])
    die_with(errand.parent)
    with asyncio.Runner() as runner:
        runner.run(_walk(errand))


async def _walk(errand: Errand) -> None:
    ring = open_ring(errand.way, errand.target)
    tracker = SnapshotTracker(errand.target) if errand.way.is_live else _ToldOnce(_expected(errand))
    try:
        measurement = _measurement(errand, ring, tracker)
        warm_up = await measurement.warm_up(_WARM_UP_S)
        _say(ready=not warm_up.reason, reason=warm_up.reason)
        gc.freeze()
        while order := await asyncio.to_thread(sys.stdin.readline):
            told = json.loads(order)
            if told["do"] == "calls":
                await _calls(measurement, ring)
            else:
                await _streams(errand, ring)
    finally:
        tracker.close()
        await ring.close()


def _expected(errand: Errand) -> dict[str, str]:
    """Whom the calls can reach: one replica where the channel knows one."""
    if errand.way.one_replica:
        return {errand.target: errand.replicas.get(errand.target, "")}
    return errand.replicas


def _measurement(errand: Errand, ring: ChannelRing, tracker: MembershipTracker) -> Measurement:
    way = errand.way
    return Measurement(
        # It uses what a ring has of a channel.
        cast("grpc.aio.Channel", ring),
        # Behind a proxy the connections say nothing of the replicas; their answers do.
        view=ring.view if way.through == "direct" else None,
        tracker=tracker,
        question=Question(target=errand.target, via="client" if way.hops == 1 else "proxy", policy=way.policy),
        method=_GREET,
        request=helloworld_pb2.HelloRequest(name="world").SerializeToString(),
        load=Load(count=errand.count, concurrency=errand.concurrency, deadline_s=errand.deadline_s),
    )


async def _calls(measurement: Measurement, ring: ChannelRing) -> None:
    cpu_s = _cpu_s()
    await measurement.run()
    cpu_s = _cpu_s() - cpu_s
    report = measurement.report()
    _say(
        by_address={row.address: row.calls for row in report.rows.known if row.calls},
        lost=report.rows.lost.calls if report.rows.lost else 0,
        calls=report.calls,
        failed=report.failed,
        failures=[f"{status} ({details})" for status, details, _ in report.failures[:3]],
        elapsed_s=report.run.elapsed_s,
        latency_ms=latency_ms(report.latency),
        verdict=report.verdict.sentence,
        cpu_s=cpu_s,
        connections=ring.connections(),
    )


async def _streams(errand: Errand, ring: ChannelRing) -> None:
    cpu_s = _cpu_s()
    tally = await converse(
        open_stream(ring),
        streams=errand.streams,
        messages=errand.messages,
        deadline_s=errand.deadline_s,
        name=f"compare-{errand.way.key}",
    )
    _say(
        by_address=tally.streams,
        messages=tally.messages,
        failed=tally.failed,
        failures=tally.failures,
        elapsed_s=tally.elapsed_s,
        latency_ms=latency_ms(tally.latency),
        cpu_s=_cpu_s() - cpu_s,
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
