"""Answers `lbdemo.v1.Cluster` for a FleetSupervisor, on the unix socket of its state folder. Decides nothing itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from backends import describe, journal_files
from backends.describe import cluster_status
from backends.layout import NAME_RULE, is_name
from backends.ledger_parts import ledger_parts
from backends.phase import Phase
from backends.probe import ReplicaProbe
from backends.replica_orders import Context, ReplicaOrders, answered
from backends.state import socket_uri
from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.supervisor import FleetSupervisor

POLL_S = 1.0
"""How often a watcher without an interval looks at the replicas' health."""

STREAMS_END_S = 1.0


class ClusterService(ReplicaOrders):
    """The servicer. One probe for all callers: many watchers cost the replicas no more than one."""

    async def GetStatus(self, request: cluster_pb2.GetStatusRequest, context: Context) -> cluster_pb2.ClusterStatus:  # noqa: ARG002, N802 -- gRPC's signature
        """The cluster as it is now."""
        return await self._status()

    async def WatchStatus(  # noqa: N802 -- gRPC's signature
        self,
        request: cluster_pb2.WatchStatusRequest,
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> AsyncIterator[cluster_pb2.ClusterStatus]:
        """The cluster now, then after every change, and with an interval also when only counters changed."""
        poll_s = request.interval_ms / 1000 if request.interval_ms else POLL_S
        last = None
        while True:
            fleet = self._supervisor.fleet
            status = await self._status()
            # Counters are news only to who asked for them, and the time that goes by is once a second.
            news = describe.news(status, counters=request.interval_ms > 0)
            if news != last:
                last = news
                yield status
            if self._supervisor.over:
                return
            if self._supervisor.fleet is fleet:
                await _at_most(self._supervisor.wait_for_change(), poll_s)

    async def Scale(self, request: cluster_pb2.ScaleRequest, context: Context) -> cluster_pb2.ClusterStatus:  # noqa: N802 -- gRPC's signature
        """Sets how many replicas there should be."""
        await self.refuse_when_stopping(context)
        with answered() as answer:
            self._supervisor.scale(request.replicas)
        return await self.answer(answer, context)

    async def SetVersion(self, request: cluster_pb2.SetVersionRequest, context: Context) -> cluster_pb2.ClusterStatus:  # noqa: N802 -- gRPC's signature
        """Adds a version, changes its replicas or its share, or removes it."""
        await self.refuse_when_stopping(context)
        with answered() as answer:
            if not is_name(request.version):
                raise ValueError(f"{request.version!r} is no version: use {NAME_RULE}")
            if request.remove:
                self._supervisor.remove_version(request.version)
            else:
                self._supervisor.set_version(
                    request.version,
                    wanted=request.replicas if request.HasField("replicas") else None,
                    share=request.share if request.HasField("share") else None,
                    service=request.service_spec or None,
                )
        return await self.answer(answer, context)

    async def Shutdown(  # noqa: N802 -- gRPC's signature
        self,
        request: cluster_pb2.ShutdownRequest,  # noqa: ARG002 -- gRPC's signature
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> AsyncIterator[cluster_pb2.ClusterStatus]:
        """Drains everything; one status for each step on the way."""
        yield cluster_status(self._supervisor, self._supervisor.fleet, {})
        self._supervisor.stop("asked to by a caller")
        async for fleet in self._supervisor.changes():
            yield cluster_status(self._supervisor, fleet, {})

    async def Rebalance(  # noqa: N802 -- gRPC's signature
        self,
        request: cluster_pb2.RebalanceRequest,  # noqa: ARG002 -- gRPC's signature
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> cluster_pb2.RebalanceReply:
        """Asks the long streams of every replica that serves to move."""
        return cluster_pb2.RebalanceReply(asked=await self._probe.rebalance(self._addresses(Phase.RUNNING)))

    async def GetLedger(  # noqa: N802 -- gRPC's signature
        self, request: cluster_pb2.GetLedgerRequest, context: Context
    ) -> AsyncIterator[cluster_pb2.LedgerPart]:
        """What was written down of a run, a few thousand entries at a time."""
        try:
            for part in ledger_parts(self._supervisor.plan.folder.journals, request.run):
                yield part
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if request.over:
            journal_files.forget(self._supervisor.plan.folder.journals, request.run)

    async def _status(self) -> cluster_pb2.ClusterStatus:
        stats = await self._probe.gather(self._addresses(Phase.RUNNING, Phase.DRAINING))
        return cluster_status(self._supervisor, self._supervisor.fleet, stats)

    def _addresses(self, *phases: Phase) -> dict[str, str]:
        """Whom to ask, by name; who is frozen would only be waited for."""
        members = self._supervisor.fleet.members
        return {m.id: m.address for m in members if m.phase in phases and m.address and not m.paused}


async def _at_most(change: Any, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(change, timeout_s)
    except TimeoutError:
        return


@asynccontextmanager
async def serving_cluster(supervisor: FleetSupervisor) -> AsyncIterator[None]:
    """Answer on the socket of the supervisor's folder; leaving ends the streams and closes it, the file stays.

    Raises:
        RuntimeError, OSError: The socket cannot be bound, or not be put in its place.
    """
    async with ReplicaProbe() as probe:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        cluster_pb2_grpc.add_ClusterServicer_to_server(ClusterService(supervisor, probe), server)
        folder = supervisor.plan.folder
        server.add_insecure_port(socket_uri(folder.unfinished_socket))
        await server.start()
        try:
            # When it stops, gRPC unlinks the path that it bound: by then a successor may have its socket in that place.
            folder.unfinished_socket.replace(folder.socket)
            yield
        finally:
            await server.stop(STREAMS_END_S)
