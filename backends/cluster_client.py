"""A cluster's supervisor as an asyncio object: everything that can be done to its replicas, and what happens to them.

For whoever plays with a cluster from a program, and for the commands about single replicas; cluster.py starts one.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from backends.cluster_errors import (
    STOPPING,
    CannotStartError,
    ClusterError,
    RefusedError,
    UnknownReplicaError,
)
from backends.events import ClusterEvent
from backends.link import ANSWER_S, RETRY_S, accepts, not_running, silent
from backends.names import unknown_line
from backends.phase import Phase
from backends.state import StateFolder
from backends.view import ClusterView, ReplicaView
from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from backends.fault import Fault

Code = grpc.StatusCode


class ClusterClient:
    """A connection to the supervisor of one cluster. Opened by entering the block, closed by leaving it.

    Every method raises the errors of cluster_errors.py: NotRunningError and NotAnsweringError when there is nobody,
    UnknownReplicaError for a name that no replica has, RefusedError for what cannot be done now. Nothing was done then.

    Args:
        cluster: Its name.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError: On entering.
    """

    def __init__(self, cluster: str = "default") -> None:
        self._folder = StateFolder.of(cluster)
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None

    async def __aenter__(self) -> Self:
        self._folder.check()
        end = time.monotonic() + ANSWER_S
        while not accepts(self._folder):
            if not self._folder.is_locked():
                raise not_running(self._folder)
            if time.monotonic() > end:
                raise silent(self._folder)
            await asyncio.sleep(RETRY_S)
        options = [("grpc.enable_http_proxy", 0)]
        self._channel = grpc.aio.insecure_channel(self._folder.socket_target, options=options)
        self._stub = cluster_pb2_grpc.ClusterStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def status(self) -> ClusterView:
        """The cluster as it is now."""
        return await self._ask("GetStatus", cluster_pb2.GetStatusRequest())

    async def scale(self, replicas: int) -> ClusterView:
        """Set how many replicas there should be; the cluster as it is then."""
        return await self._ask("Scale", cluster_pb2.ScaleRequest(replicas=replicas))

    async def drain(self, id: str) -> ClusterView:
        """Begin to drain a replica; it is STOPPED once its calls have ended."""
        return await self._ask("Drain", cluster_pb2.ReplicaRequest(id=id))

    async def kill(self, id: str) -> ClusterView:
        """End a replica's process by SIGKILL; it is dead when this returns, and starts again by back-off."""
        return await self._ask("Kill", cluster_pb2.ReplicaRequest(id=id))

    async def pause(self, id: str) -> ClusterView:
        """Freeze a replica's process."""
        return await self._ask("Pause", cluster_pb2.ReplicaRequest(id=id))

    async def resume(self, id: str) -> ClusterView:
        """Let a frozen process go on."""
        return await self._ask("Resume", cluster_pb2.ReplicaRequest(id=id))

    async def set_health(self, id: str, health: str) -> ClusterView:
        """Have a replica report SERVING, NOT_SERVING or UNKNOWN; "" for its own again."""
        return await self._ask("SetHealth", cluster_pb2.SetHealthRequest(id=id, health=health))

    async def set_fault(self, id: str, fault: Fault) -> ClusterView:
        """Have a replica's calls go wrong; `NO_FAULT` ends that."""
        return await self._ask("SetFault", cluster_pb2.SetFaultRequest(id=id, fault=fault.message()))

    async def set_load(self, id: str, utilization: float | None) -> ClusterView:
        """Have a replica report this utilization; None for what it measures."""
        return await self._ask("SetLoad", cluster_pb2.SetLoadRequest(id=id, utilization=utilization))

    async def restart(self, ids: Sequence[str] = (), *, rolling: bool = False) -> AsyncGenerator[ClusterView, None]:
        """Restart these replicas, or all; the cluster after each step, until all of them serve again.

        A rolling restart whose iterator is closed ends after the replica at hand.

        Raises:
            CannotStartError: One does not come up; those after it are as they were.
        """
        request = cluster_pb2.RestartRequest(ids=ids, rolling=rolling)
        async with aclosing(self._stream("Restart", request)) as statuses:
            async for status in statuses:
                yield ClusterView.of(status)

    async def watch(self, *, interval_s: float = 0.0) -> AsyncGenerator[ClusterView, None]:
        """The cluster now and after every change until it ends; with an interval also when only counters moved."""
        request = cluster_pb2.WatchStatusRequest(interval_ms=round(interval_s * 1000))
        async with aclosing(self._stream("WatchStatus", request)) as statuses:
            async for status in statuses:
                yield ClusterView.of(status)

    async def events(
        self, *, after: int = 0, only_new: bool = False, wait: bool = True
    ) -> AsyncGenerator[ClusterEvent, None]:
        """What happened to the cluster, oldest first, then what happens until it ends.

        Args:
            after: Begin with the events after this number.
            only_new: Only what comes from now on.
            wait: Go on with what happens; else end with what is remembered.
        """
        request = cluster_pb2.WatchEventsRequest(after=after, only_new=only_new, no_wait=not wait)
        async with aclosing(self._stream("WatchEvents", request)) as events:
            async for event in events:
                yield ClusterEvent(
                    number=event.number,
                    at_s=event.at_s,
                    unix_s=event.unix_s,
                    kind=event.kind,
                    replica=event.replica,
                    address=event.address,
                    detail=event.detail,
                )

    async def until(self, true: Callable[[ClusterView], bool], *, timeout_s: float) -> ClusterView:
        """The cluster once this holds of it.

        Raises:
            TimeoutError: It does not for so long.
        """
        async with asyncio.timeout(timeout_s), aclosing(self.watch()) as views:
            async for view in views:
                if true(view):
                    return view
        raise not_running(self._folder)

    async def until_stopped(self, ids: Sequence[str], *, timeout_s: float) -> ClusterView:
        """The cluster once these have drained.

        Raises:
            RefusedError: Somebody started one again, or scaled it away.
            TimeoutError: They still drain.
        """
        before = await self.status()

        def stopped(view: ClusterView) -> bool:
            for name in ids:
                replica = replica_of(view, name)
                if replica is None:
                    raise RefusedError(f"{name} is gone: it was scaled away meanwhile")
                old = replica_of(before, name) or replica
                if replica.restarts > old.restarts:
                    raise RefusedError(f"{name} does not stay stopped: somebody started it again")
            return all((r := replica_of(view, name)) is not None and r.phase is Phase.STOPPED for name in ids)

        return await self.until(stopped, timeout_s=timeout_s)

    async def _ask(self, method: str, request: Any) -> ClusterView:
        try:
            return ClusterView.of(await getattr(self._stub, method)(request, timeout=ANSWER_S))
        except grpc.aio.AioRpcError as error:
            raise self._named(error) from None

    async def _stream(self, method: str, request: Any) -> AsyncGenerator[Any, None]:
        call = getattr(self._stub, method)(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._named(error) from None
        finally:
            call.cancel()

    def _named(self, error: grpc.aio.AioRpcError) -> ClusterError:
        line = str(error.details())
        match error.code():
            case Code.DEADLINE_EXCEEDED:
                return silent(self._folder)
            case Code.UNAVAILABLE | Code.CANCELLED:
                return not_running(self._folder)
            case Code.NOT_FOUND:
                return UnknownReplicaError(line)
            case Code.FAILED_PRECONDITION:
                return not_running(self._folder) if line == STOPPING else RefusedError(line)
            case Code.ABORTED:
                return CannotStartError(line)
            case _:
                return ClusterError(f"the supervisor of cluster {self._folder.cluster!r} refuses: {line}")


def replica_of(view: ClusterView, id: str) -> ReplicaView | None:
    """The replica of that name, if there is one."""
    return next((r for r in view.replicas if r.id == id), None)


def expect_known(view: ClusterView, ids: Sequence[str]) -> None:
    """Check names before anything is done to any.

    Raises:
        UnknownReplicaError: Some are none.
    """
    unknown = [name for name in ids if replica_of(view, name) is None]
    if unknown:
        raise UnknownReplicaError(unknown_line(unknown, [r.id for r in view.replicas], cluster=view.cluster))
