"""Answers `lbdemo.v1.Cluster` for a FleetSupervisor, on the unix socket of its state folder. Decides nothing itself."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from backends import journal_files
from backends.fleet import Fleet, Member, Phase
from backends.layout import NAME_RULE, Layout, is_name
from backends.ledger_parts import ledger_parts
from backends.probe import ReplicaProbe
from backends.replica_orders import ReplicaOrders
from backends.state import socket_uri
from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from backends.supervisor import FleetSupervisor

POLL_S = 1.0
"""How often a watcher without an interval looks at the replicas' health."""

STREAMS_END_S = 1.0

Context = grpc.aio.ServicerContext[Any, Any]


class ClusterService(ReplicaOrders):
    """The servicer. One probe for all callers: many watchers cost the replicas no more than one."""

    def __init__(self, supervisor: FleetSupervisor, probe: ReplicaProbe) -> None:
        self._supervisor = supervisor
        self._probe = probe

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
            news = _news(status, counters=request.interval_ms > 0)
            if news != last:
                last = news
                yield status
            if self._supervisor.over:
                return
            if self._supervisor.fleet is fleet:
                await _at_most(self._supervisor.wait_for_change(), poll_s)

    async def Scale(self, request: cluster_pb2.ScaleRequest, context: Context) -> cluster_pb2.ClusterStatus:  # noqa: N802 -- gRPC's signature
        """Sets how many replicas there should be."""
        if self._supervisor.fleet.stopping:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the cluster is stopping")
        try:
            self._supervisor.scale(request.replicas)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return self._describe(self._supervisor.fleet, {})

    async def SetVersion(self, request: cluster_pb2.SetVersionRequest, context: Context) -> cluster_pb2.ClusterStatus:  # noqa: N802 -- gRPC's signature
        """Adds a version, changes its replicas or its share, or removes it."""
        if self._supervisor.fleet.stopping:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the cluster is stopping")
        try:
            if not is_name(request.version):
                raise ValueError(f"{request.version!r} is no version: use {NAME_RULE}")  # noqa: TRY301 -- told like the others
            if request.remove:
                self._supervisor.remove_version(request.version)
            else:
                self._supervisor.set_version(
                    request.version,
                    wanted=request.replicas if request.HasField("replicas") else None,
                    share=request.share if request.HasField("share") else None,
                    service=request.service_spec or None,
                )
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return self._describe(self._supervisor.fleet, {})

    async def Shutdown(  # noqa: N802 -- gRPC's signature
        self,
        request: cluster_pb2.ShutdownRequest,  # noqa: ARG002 -- gRPC's signature
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> AsyncIterator[cluster_pb2.ClusterStatus]:
        """Drains everything; one status for each step on the way."""
        yield self._describe(self._supervisor.fleet, {})
        self._supervisor.stop("asked to by a caller")
        async for fleet in self._supervisor.changes():
            yield self._describe(fleet, {})

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
        return self._describe(self._supervisor.fleet, stats)

    def _addresses(self, *phases: Phase) -> dict[str, str]:
        return {m.id: m.address for m in self._supervisor.fleet.members if m.phase in phases and m.address}

    def _describe(
        self, fleet: Fleet, stats: Mapping[str, cluster_pb2.ReplicaStats | None]
    ) -> cluster_pb2.ClusterStatus:
        plan, now = self._supervisor.plan, self._supervisor.clock()
        return cluster_pb2.ClusterStatus(
            cluster=plan.folder.cluster,
            target=plan.target,
            # A list too long for a notice comes with the replicas' own figures.
            services=self._supervisor.services or next((s.services for s in stats.values() if s), ()),
            wanted=fleet.total,
            replicas=[
                _describe_member(m, stats.get(m.id), now, plan.layout, asked=m.id in stats) for m in fleet.members
            ],
            supervisor_pid=os.getpid(),
            log_folder=str(plan.folder.logs),
            service_spec=fleet.service or "",
            versions=[
                cluster_pb2.VersionStatus(name=fleet.version, wanted=fleet.wanted, service_spec=fleet.service or ""),
                *(
                    cluster_pb2.VersionStatus(
                        name=each.name, wanted=each.wanted, share=each.share, service_spec=each.service or ""
                    )
                    for each in fleet.others
                ),
            ],
        )


def _describe_member(
    member: Member, stats: cluster_pb2.ReplicaStats | None, now: float, layout: Layout, *, asked: bool
) -> cluster_pb2.ReplicaStatus:
    if stats is not None:
        health = stats.health
    elif member.phase is Phase.RUNNING:
        health = "UNREACHABLE" if asked else "SERVING"
    else:
        health = "NOT_SERVING" if member.phase is Phase.DRAINING else "UNKNOWN"
    return cluster_pb2.ReplicaStatus(
        id=member.id,
        address=member.address,
        phase=member.phase.name,
        health=health,
        pid=member.pid,
        calls=stats.calls if stats else 0,
        in_flight=stats.in_flight if stats else 0,
        uptime_s=now - member.started_at if member.pid else 0.0,
        restarts=member.restarts,
        reason=member.reason,
        streams=stats.open_streams if stats else 0,
        zone=layout.zone(member.number),
        version=member.version,
        weight=layout.weight(member.number),
    )


def _news(status: cluster_pb2.ClusterStatus, *, counters: bool) -> cluster_pb2.ClusterStatus:
    """What of a status makes it another one."""
    copy = cluster_pb2.ClusterStatus()
    copy.CopyFrom(status)
    for replica in copy.replicas:
        replica.uptime_s = int(replica.uptime_s) if counters else 0
        if not counters:
            replica.ClearField("calls")
            replica.ClearField("in_flight")
            replica.ClearField("streams")
    return copy


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
