"""A scenario's hand on its cluster: each step as a call of the Cluster service, on the loop that sends the calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from backends.view import ClusterView
from lb_client.scenario import quantity
from lb_client.scenario.errors import StepError
from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from backends.state import StateFolder
    from lb_client.scenario.model import Step, Whom

ANSWER_S = 10.0
SETTLE_S = 60.0
"""The longest that a step may take until it is done: a rolling restart of many replicas is the longest."""


class StageLink:
    """An open connection to the supervisor. Leaving the block closes it. Made and used on one loop.

    Attributes:
        zones: Zone by replica, of all that were ever seen and have one.
        versions: Version by replica, likewise.
    """

    def __init__(self, folder: StateFolder, rng: random.Random) -> None:
        self._channel = grpc.aio.insecure_channel(folder.socket_target, [("grpc.enable_http_proxy", 0)])
        self._stub: Any = cluster_pb2_grpc.ClusterStub(self._channel)
        self._rng = rng
        self.zones: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def status(self) -> cluster_pb2.ClusterStatus:
        """The cluster as it is now."""
        # Replicas may serve a moment before the supervisor's socket is open.
        call = self._stub.GetStatus(cluster_pb2.GetStatusRequest(), timeout=ANSWER_S, wait_for_ready=True)
        status: cluster_pb2.ClusterStatus = await _named(call)
        self._learn(status)
        return status

    def _learn(self, status: cluster_pb2.ClusterStatus) -> None:
        self.zones.update((r.id, r.zone) for r in status.replicas if r.zone)
        self.versions.update((r.id, r.version) for r in status.replicas if r.version)

    async def whom(self, whom: Whom) -> tuple[str, ...]:
        """The replicas that a step is about, by name.

        Raises:
            StepError: There is none.
        """
        if whom.replicas or not whom.group or whom.group == "rolling":
            return whom.replicas
        replicas = (await self.status()).replicas
        serving = [r.id for r in replicas if _runs(r) and not r.paused]
        match whom.group:
            case "any":
                if not serving:
                    raise StepError("no replica serves")
                return (self._rng.choice(serving),)
            case "all":
                return tuple(r.id for r in replicas)
            case "zone":
                found = tuple(r.id for r in replicas if r.zone == whom.name)
            case _:
                found = tuple(r.id for r in replicas if r.version == whom.name)
        if not found:
            raise StepError(f"no replica is in {whom.text}")
        return found

    async def do(self, step: Step, whom: Sequence[str]) -> None:
        """Do what a step says, and return when it is done.

        Raises:
            StepError: It could not be done.
        """
        match step.action:
            case "scale":
                await self._ask(self._stub.Scale, cluster_pb2.ScaleRequest(replicas=int(step.value)))
                await self._until(lambda status: ClusterView.of(status).settled)
            case "up" | "down":
                await self._ask(self._stub.SetVersion, version_of(step))
                await self._until(lambda status: ClusterView.of(status).settled)
            case "restart":
                request = cluster_pb2.RestartRequest(ids=whom, rolling=step.whom.group == "rolling")
                await self._read(self._stub.Restart(request, timeout=SETTLE_S))
            case "drain":
                await self._each(self._stub.Drain, whom)
                await self._until(
                    lambda status: all(r.phase == cluster_pb2.STOPPED for r in status.replicas if r.id in whom)
                )
            case "kill":
                # It is answered once the process is dead; what is killed is started again.
                await self._each(self._stub.Kill, whom)
                await self._until(lambda status: all(_runs(r) for r in status.replicas if r.id in whom))
            case "pause" | "resume":
                await self._each(getattr(self._stub, step.action.title()), whom)
            case _:
                await self._tell(step, whom)

    async def _tell(self, step: Step, whom: Sequence[str]) -> None:
        """What replicas are told to do from now on."""
        match step.action:
            case "health":
                word = step.options["status"]
                health = "" if word == "own" else word.upper().replace("-", "_")
                await self._all(self._stub.SetHealth, [cluster_pb2.SetHealthRequest(id=r, health=health) for r in whom])
            case "fault" | "clear":
                fault = fault_of(step) if step.action == "fault" else None
                await self._all(self._stub.SetFault, [cluster_pb2.SetFaultRequest(id=r, fault=fault) for r in whom])
            case "load":
                share = quantity.share(step.options["utilization"])
                await self._all(self._stub.SetLoad, [cluster_pb2.SetLoadRequest(id=r, utilization=share) for r in whom])
            case unknown:
                raise StepError(f"{unknown!r} is nothing that a cluster can do")

    async def _each(self, method: Any, whom: Sequence[str]) -> None:
        await self._all(method, [cluster_pb2.ReplicaRequest(id=name) for name in whom])

    async def _all(self, method: Any, requests: Sequence[object]) -> None:
        """At once, and one error for all of them."""
        for answer in await asyncio.gather(*(self._ask(method, r) for r in requests), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _ask(self, method: Any, request: object) -> Any:
        return await _named(method(request, timeout=ANSWER_S))

    async def _read(self, stream: Any) -> None:
        async def to_the_end() -> None:
            async for _ in stream:
                pass

        await _named(to_the_end())

    async def _until(self, reached: Callable[[cluster_pb2.ClusterStatus], bool]) -> None:
        """Watch the cluster until it is so.

        Raises:
            StepError: It does not come to that.
        """

        async def watch() -> None:
            stream = self._stub.WatchStatus(cluster_pb2.WatchStatusRequest())
            async for status in stream:
                self._learn(status)
                if reached(status):
                    stream.cancel()
                    return

        try:
            await asyncio.wait_for(_named(watch()), SETTLE_S)
        except TimeoutError:
            raise StepError(f"not done after {SETTLE_S:g} s") from None


def _runs(replica: cluster_pb2.ReplicaStatus) -> bool:
    return replica.phase == cluster_pb2.RUNNING


async def _named(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except grpc.aio.AioRpcError as error:
        raise StepError(" ".join((error.details() or error.code().name).split())) from None


def fault_of(step: Step) -> cluster_pb2.Fault:
    """What goes wrong with calls, as the cluster is told."""
    options = step.options
    return cluster_pb2.Fault(
        latency_ms=1000 * (quantity.seconds(options.get("latency", "0")) or 0.0),
        jitter_ms=1000 * (quantity.seconds(options.get("jitter", "0")) or 0.0),
        error=options.get("error", ""),
        rate=quantity.share(options["rate"]) or 0.0 if "rate" in options else 0.0,
        for_ms=1000 * (quantity.seconds(options.get("for", "0")) or 0.0),
    )


def version_of(step: Step) -> cluster_pb2.SetVersionRequest:
    """What becomes of a version, as the cluster is told."""
    options = step.options
    return cluster_pb2.SetVersionRequest(
        version=step.value,
        replicas=int(options["replicas"]) if "replicas" in options else None,
        share=float(options["share"].removesuffix("%")) if "share" in options else None,
        remove=step.action == "down",
    )
