"""The part of `lbdemo.v1.Cluster` that is about single replicas: what is done to them, and what happened to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Context = grpc.aio.ServicerContext[Any, Any]
Status = cluster_pb2.ClusterStatus


class ReplicaOrders(cluster_pb2_grpc.ClusterServicer):
    """These methods; the others are cluster_service.py's."""

    async def Drain(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Withdraw, wait until quiet, stop."""
        return await _not_yet(request, context)

    async def Kill(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """SIGKILL."""
        return await _not_yet(request, context)

    async def Pause(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """SIGSTOP."""
        return await _not_yet(request, context)

    async def Resume(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """SIGCONT."""
        return await _not_yet(request, context)

    async def SetHealth(self, request: cluster_pb2.SetHealthRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Another health than its own."""
        return await _not_yet(request, context)

    async def SetFault(self, request: cluster_pb2.SetFaultRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Late answers, errors."""
        return await _not_yet(request, context)

    async def SetLoad(self, request: cluster_pb2.SetLoadRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Another load than what it measures."""
        return await _not_yet(request, context)

    async def Restart(self, request: cluster_pb2.RestartRequest, context: Context) -> AsyncIterator[Status]:  # noqa: N802 -- gRPC's signature
        """Drain and start again."""
        yield await _not_yet(request, context)

    async def WatchEvents(  # noqa: N802 -- gRPC's signature
        self, request: cluster_pb2.WatchEventsRequest, context: Context
    ) -> AsyncIterator[cluster_pb2.ClusterEvent]:
        """What happened."""
        await _not_yet(request, context)
        yield cluster_pb2.ClusterEvent()


async def _not_yet(request: object, context: Any) -> Status:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{type(request).__name__} is not answered yet")
    return Status()
