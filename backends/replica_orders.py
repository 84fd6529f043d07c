"""The part of `lbdemo.v1.Cluster` that is about single replicas: what is done to them, and what happened to them.

What may be done, fleet_orders.py says; processes are signalled by the supervisor, replicas told by the probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from backends import fleet_orders, rolling
from backends.cluster_errors import STOPPING, RefusedError, UnknownReplicaError
from backends.describe import cluster_status
from backends.fault import Fault
from backends.phase import Phase
from backends.transitions import News
from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from backends.fleet import Fleet, Member
    from backends.probe import ReplicaProbe
    from backends.supervisor import FleetSupervisor

SOON_S = 2.0
"""How long to wait for the kernel to do what it was asked for."""

Context = grpc.aio.ServicerContext[Any, Any]
Status = cluster_pb2.ClusterStatus


@dataclass(slots=True)
class Refusal:
    """Why something was not done; with neither, it was."""

    code: grpc.StatusCode | None = None
    line: str = ""


@contextmanager
def answered() -> Iterator[Refusal]:
    """Take down what the block raises, for `ReplicaOrders.answer`: aborting has to be awaited."""
    refusal = Refusal()
    try:
        yield refusal
    except UnknownReplicaError as error:
        refusal.code, refusal.line = grpc.StatusCode.NOT_FOUND, str(error)
    except RefusedError as error:
        refusal.code, refusal.line = grpc.StatusCode.FAILED_PRECONDITION, str(error)
    except ValueError as error:
        refusal.code, refusal.line = grpc.StatusCode.INVALID_ARGUMENT, str(error)


class ReplicaOrders(cluster_pb2_grpc.ClusterServicer):
    """These methods; the others are cluster_service.py's."""

    def __init__(self, supervisor: FleetSupervisor, probe: ReplicaProbe) -> None:
        self._supervisor = supervisor
        self._probe = probe
        # Who tells one replica several things at once has them told in this order.
        self._telling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, refusal: Refusal, context: Any) -> Status:
        """The cluster as it is now, or the refusal."""
        if refusal.code is not None:
            await context.abort(refusal.code, refusal.line)
        return cluster_status(self._supervisor, self._supervisor.fleet, {})

    async def refuse_when_stopping(self, context: Any) -> None:
        """Abort when the cluster is about to end."""
        if self._supervisor.fleet.stopping:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, STOPPING)

    async def Drain(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Withdraw, wait until quiet, stop."""
        with answered() as answer:
            self._supervisor.become(fleet_orders.drained(self._supervisor.fleet, request.id))
        return await self.answer(answer, context)

    async def Kill(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """SIGKILL; answers when the process is gone."""
        with answered() as answer:
            member = fleet_orders.killable(self._supervisor.fleet, request.id)
            self._supervisor.tell(News("", member.id, line=f"{member.id}: SIGKILL, as asked"))
            self._supervisor.signal(member.id, signal.SIGKILL)
            await self._until(request.id, lambda now: not (now.has_process and now.started_at == member.started_at))
        return await self.answer(answer, context)

    async def Pause(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """SIGSTOP; answers when the process is frozen."""
        with answered() as answer:
            if not fleet_orders.pausable(self._supervisor.fleet, request.id).paused:
                self._supervisor.signal(request.id, signal.SIGSTOP)
                after = await self._until(request.id, lambda now: now.paused or now.phase is not Phase.RUNNING)
                if after is None or not after.paused:
                    raise RefusedError(f"{request.id} is not paused: it ended, or was resumed, in the same moment")
        return await self.answer(answer, context)

    async def Resume(self, request: cluster_pb2.ReplicaRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """SIGCONT; answers when the process goes on."""
        with answered() as answer:
            if fleet_orders.resumable(self._supervisor.fleet, request.id).paused:
                self._supervisor.signal(request.id, signal.SIGCONT)
                await self._until(request.id, lambda now: not now.paused)
        return await self.answer(answer, context)

    async def SetHealth(self, request: cluster_pb2.SetHealthRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Another health than its own."""
        id, health = request.id, request.health  # noqa: A001 -- the field's own word
        async with self._telling[id]:
            with answered() as answer:
                member = fleet_orders.askable(self._supervisor.fleet, id, health=health)
                await self._told(member, "SetHealth", request)
                self._supervisor.become(fleet_orders.told_health(self._supervisor.fleet, id, health))
        return await self.answer(answer, context)

    async def SetFault(self, request: cluster_pb2.SetFaultRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Late answers, errors."""
        id, supervisor = request.id, self._supervisor  # noqa: A001 -- the field's own word
        async with self._telling[id]:
            with answered() as answer:
                fault = Fault.of(request.fault)
                member = fleet_orders.askable(supervisor.fleet, id)
                await self._told(member, "SetFault", request)
                supervisor.become(fleet_orders.faulted(supervisor.fleet, id, fault, supervisor.clock()))
        return await self.answer(answer, context)

    async def SetLoad(self, request: cluster_pb2.SetLoadRequest, context: Context) -> Status:  # noqa: N802 -- gRPC's signature
        """Another load than what it measures."""
        async with self._telling[request.id]:
            with answered() as answer:
                member = fleet_orders.askable(self._supervisor.fleet, request.id)
                await self._told(member, "SetLoad", request)
                given = request.HasField("utilization")
                what = f"told to report {request.utilization:g}" if given else "reports what it measures again"
                self._supervisor.tell(News("load", member.id, member.address, what, f"{member.id}: load {what}"))
        return await self.answer(answer, context)

    async def Restart(self, request: cluster_pb2.RestartRequest, context: Context) -> AsyncIterator[Status]:  # noqa: N802 -- gRPC's signature
        """Drain and start again: all at once, or one after the other."""
        await self.refuse_when_stopping(context)
        ids, supervisor = tuple(dict.fromkeys(request.ids)), self._supervisor
        before = supervisor.fleet
        with answered() as answer:
            if request.rolling:
                after = rolling.begun(before, ids)
                # A spare for each of the versions at most, one after the other.
                supervisor.expect_room(before.total + 1)
                supervisor.become(after)
            else:
                supervisor.become(fleet_orders.restarted(before, ids))
        yield await self.answer(answer, context)
        try:
            async for fleet in supervisor.changes():
                yield cluster_status(supervisor, fleet, {})
                if fleet.stopping:
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, STOPPING)
                over, line = _rolled(fleet) if request.rolling else fleet_orders.restart_result(before, fleet, ids)
                if line:
                    await context.abort(grpc.StatusCode.ABORTED, line)
                if over:
                    return
        finally:
            # Whoever asked has gone: the replica at hand is finished, and no other begins.
            if request.rolling and rolling.active(supervisor.fleet):
                supervisor.become(rolling.cancelled(supervisor.fleet))

    async def WatchEvents(  # noqa: N802 -- gRPC's signature
        self,
        request: cluster_pb2.WatchEventsRequest,
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> AsyncIterator[cluster_pb2.ClusterEvent]:
        """What happened, then what happens."""
        history = self._supervisor.history
        last = history.last if request.only_new else request.after
        while True:
            over = self._supervisor.over
            for event in history.after(last):
                last = event.number
                yield cluster_pb2.ClusterEvent(**asdict(event))
            if request.no_wait or over:
                return
            if history.last <= last and not self._supervisor.over:  # less: whoever asks knows another supervisor's
                await history.wait()

    async def _told(self, member: Member, method: str, request: Any) -> None:
        """Tell the replica itself.

        Raises:
            RefusedError: It does not hear it, or will not have it.
        """
        if line := await self._probe.tell(member.address, method, request):
            raise RefusedError(f"{member.id} {line}")
        now = self._supervisor.fleet.find(member.id)
        if now is None or now.started_at != member.started_at:
            raise RefusedError(f"{member.id} died in the same moment")

    async def _until(self, id: str, true: Callable[[Member], bool]) -> Member | None:
        """The replica once this holds of it, or as it is after `SOON_S`; None once it is gone."""

        async def wait() -> None:
            while (member := self._supervisor.fleet.find(id)) is not None and not true(member):
                await self._supervisor.wait_for_change()

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait(), SOON_S)
        return self._supervisor.fleet.find(id)


def _rolled(fleet: Fleet) -> tuple[bool, str]:
    """Whether the rolling restart is over, and what went wrong with it."""
    roll = fleet.roll
    return (True, "") if roll is None else (roll.over, roll.error)
