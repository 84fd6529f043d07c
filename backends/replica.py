"""One replica: a grpc.aio server's life from bind to stop. What it answers is in the modules it puts together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from backends import address, announce, builtin, core_environment, introspection, load_service, quick_wait
from backends import health as health_service
from backends.control import ReplicaControl, local
from backends.dispatch import Dispatch, Registrar
from backends.errors import CannotStart
from backends.identity import Identity
from backends.journal import Journal
from backends.leaving import PATIENCE_S, TICK_S, Leaving
from backends.moves import StreamMoves
from backends.notify import Notify, nobody
from backends.orders import Orders
from backends.poller_loop import PollerLoop, polled
from protos import cluster_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from backends.spec import ReplicaSpec

_log = logging.getLogger(__name__)

CANNOT_START = 3
"""The exit code of a replica that cannot start as told; trying again would end the same way."""

STATS = "lbdemo.v1.Replica"
_OWN = frozenset({health_service.SERVICE, introspection.REFLECTION, introspection.CHANNELZ, STATS})
_RESERVED = _OWN | {introspection.REFLECTION_V1}

_OPTIONS = (
    # On by default, it would let two servers bind one port silently and share its connections.
    ("grpc.so_reuseport", 0),
    # Clients that ping to find black holes may do so, with and without calls; the defaults (5 minutes; 2 hours without
    # calls) would have them sent away with ENHANCE_YOUR_CALM.
    ("grpc.http2.min_ping_interval_without_data_ms", 200),
    ("grpc.keepalive_permit_without_calls", 1),
)


_SETTLE_S = 1.0
"""After the last call's answer, so long at most for clients to read it and close; what is left open then is cut."""


class Replica:
    """One server, serving on one event loop.

    Lifecycle: `async with Replica(spec) as replica` loads the service, binds, serves, says SERVING and announces, in
    this order; in the block, calls succeed. `drain()` says NOT_SERVING, withdraws the record, lingers, then stops and
    waits for the calls in flight. Leaving the block stops at once what is left: afterwards the port is free, the record
    gone, every call answered or cancelled. A replica serves once; it cannot be started again.

    Attributes:
        cut_off: Calls that had not ended when a drain's time was over, and were cancelled.

    Raises:
        CannotStart: On entering; nothing is left bound or announced.
    """

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self.address = ""
        self.services: tuple[str, ...] = ()
        self._began = time.monotonic()
        self._identity = Identity()
        journal = None if spec.journals is None else Journal(Path(spec.journals), spec.id)
        self._dispatch = Dispatch(self._identity, journal)
        self._health = health_service.Health()
        self._control = ReplicaControl(self._dispatch, self._health, self._figures)
        self._moves = StreamMoves()
        self._server: grpc.aio.Server | None = None
        self._record: announce.Record | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._drain: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self.cut_off = 0
        self._started = False
        self._phase = "new"

    def __repr__(self) -> str:
        return f"<Replica {self.spec.id} {self._phase} {self.address or 'unbound'} in_flight={self.in_flight}>"

    @property
    def calls(self) -> int:
        """Calls to the replica's services so far; health, reflection, channelz and lab calls do not count."""
        return self._dispatch.counters.calls

    @property
    def in_flight(self) -> int:
        """Calls that are being answered now."""
        return self._dispatch.counters.in_flight

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        spec = self.spec
        announce.check(spec)
        await self._register()
        host = await address.literal(spec.host)
        address.expect_free(host, spec.port)
        self._server = server = grpc.aio.server(handlers=(self._dispatch,), options=_OPTIONS)
        port = address.bind(server, host, spec.port)
        if spec.advertise is None:
            self.address = address.join(address.reachable(host), port)
        else:
            self.address = address.advertised(spec.advertise, port)
        self._identity.become(Identity.of(spec.id, self.address))
        with polled():
            await server.start()
        self._started = True
        self._health.set_all(("", *self.services), serving=True)
        self._phase = "serving"
        if spec.registry is not None:
            record = announce.Record(Path(spec.registry), spec.id, self.address, spec.metadata)
            record.write()
            self._record = record
            heir_file = spec.heir_file
            known = None if heir_file is None else announce.identity(heir_file)
            keeping = announce.keep(record, is_ours=lambda: heir_file is None or announce.identity(heir_file) == known)
            self._keeping = asyncio.create_task(keeping, name="keep the record")
        _log.info(
            "replica %s serves %s on %s, announced in %s",
            spec.id, ", ".join(self.services) or "unnamed services", self.address, spec.registry or "no registry",
        )  # fmt: skip

    async def _register(self) -> None:
        registrar = Registrar(self._dispatch, reserved=_RESERVED, at_once=self.spec.service is None)
        if self.spec.service is None:
            builtin.add(registrar, self._moves, replica=self.spec.id)
        else:
            await load_service.register(self.spec.service, registrar)
        self.services = tuple(sorted(registrar.services))
        self._dispatch.add(health_service.SERVICE, self._health.handlers())
        stats = grpc.unary_unary_rpc_method_handler(
            self._stats, cluster_pb2.GetStatsRequest.FromString, cluster_pb2.ReplicaStats.SerializeToString
        )
        rebalance = grpc.unary_unary_rpc_method_handler(
            self._rebalance, cluster_pb2.RebalanceRequest.FromString, cluster_pb2.RebalanceReply.SerializeToString
        )
        set_load = grpc.unary_unary_rpc_method_handler(
            local(self._set_load), cluster_pb2.SetLoadRequest.FromString, cluster_pb2.ReplicaStats.SerializeToString
        )
        orders = {"SetLoad": set_load, **self._control.handlers()}
        self._dispatch.add(STATS, {"GetStats": stats, "Rebalance": rebalance, **orders})
        introspection.add(self._dispatch, self._described)

    def _described(self) -> tuple[str, ...]:
        builtin.import_messages()
        return (*self.services, *_OWN)

    async def _stats(self, _request: object, _context: object) -> cluster_pb2.ReplicaStats:
        return self._figures()

    def _figures(self) -> cluster_pb2.ReplicaStats:
        counters = self._dispatch.counters
        return cluster_pb2.ReplicaStats(
            id=self.spec.id,
            address=self.address,
            health=self._health.name_of(),
            calls=self.calls,
            in_flight=self.in_flight,
            uptime_s=time.monotonic() - self._began,
            services=self.services,
            streams=counters.streams,
            open_streams=counters.open_streams,
            messages_received=counters.received,
            messages_sent=counters.sent,
            fault=self._control.fault.message(),
        )

    async def _set_load(self, request: Any, context: Any) -> cluster_pb2.ReplicaStats:
        try:
            self._dispatch.load.tell(request.utilization if request.HasField("utilization") else None)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return await self._stats(request, context)

    async def _rebalance(self, request: cluster_pb2.RebalanceRequest, _context: object) -> cluster_pb2.RebalanceReply:
        return cluster_pb2.RebalanceReply(asked=self._moves.rebalance(request.opened_before_ns))

    def rebalance(self) -> int:
        """Ask the long streams that are open now to move; returns how many were asked."""
        return self._moves.rebalance()

    async def drain(self, *, because: str = "asked to") -> None:
        """Stop without losing a call; returns when the server has stopped. A second caller waits for the same drain.

        Calls succeed for `spec.linger_s` more, and until clients have left (see leaving.py), which takes those that
        follow the registry or the health no time; calls in flight after that have `spec.grace_s` to finish, then they
        are cancelled.
        """
        if self._drain is None:
            self._drain = asyncio.create_task(self._drain_once(because), name="drain")
        await asyncio.shield(self._drain)

    async def _drain_once(self, because: str) -> None:
        if self._server is None or self._phase != "serving":
            return
        self._phase = "draining"
        self._withdraw()
        self._moves.drain()
        _log.info("replica %s drains (%s), %d calls in flight", self.spec.id, because, self.in_flight)
        await self._until_clients_left()
        self._health.close()
        await self._stop_gracefully(self._server)
        self._phase = "stopped"
        _log.info("replica %s has stopped, after %d calls", self.spec.id, self.calls)

    async def _until_clients_left(self) -> None:
        spec, counters, began_s = self.spec, self._dispatch.counters, time.monotonic()
        leaving = Leaving(spec.linger_s, min(PATIENCE_S, spec.grace_s), counters.calls)
        while not leaving.over(time.monotonic() - began_s, counters.calls, connected=counters.callers.connected()):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), TICK_S)
                return

    async def _stop_gracefully(self, server: grpc.aio.Server) -> None:
        """Wait for the calls, not for what somebody keeps open of the lab's own: reflection, an unread Watch."""
        counters = self._dispatch.counters
        # Before gRPC's own timer, which cancels what is in flight then.
        over = asyncio.get_running_loop().call_later(self.spec.grace_s, self._count_what_is_cut_off)
        stopping = asyncio.create_task(server.stop(self.spec.grace_s), name="stop")
        while not stopping.done():
            sent = asyncio.create_task(counters.all_sent(), name="all sent")
            await asyncio.wait({stopping, sent}, return_when=asyncio.FIRST_COMPLETED)
            sent.cancel()
            await asyncio.wait({stopping}, timeout=_SETTLE_S)
            if not counters.unsent:
                await server.stop(None)
        await stopping
        over.cancel()

    def _count_what_is_cut_off(self) -> None:
        self.cut_off = self.in_flight
        if self.cut_off:
            _log.warning(
                "replica %s cuts off %d of its calls: %g s are over", self.spec.id, self.cut_off, self.spec.grace_s
            )

    async def stop(self) -> None:
        """Stop at once: calls in flight are cancelled. Cuts a drain short; does nothing when all has stopped."""
        self._hurry.set()
        self._withdraw()
        self._health.close()
        if self._server is not None:
            if not self._started:  # gRPC's stop() passes over such a server, and leaves its threads and its port
                await self._server.start()
            await self._server.stop(None)
        if self._drain is not None:
            await self._drain
        self._server = None  # gRPC's own threads end when its last server and channel are gone
        self._dispatch.threads.shutdown()
        if self._dispatch.journal is not None:
            self._dispatch.journal.close()
        self._phase = "stopped"

    def _withdraw(self) -> None:
        self._control.close()
        self._health.set_all(("", *self.services), serving=False)
        if self._keeping is not None:
            self._keeping.cancel()
        if self._record is not None:
            self._record.withdraw()
            self._record = None


def run(spec: ReplicaSpec, *, notify: Notify = nobody, lifeline_fd: int | None = None) -> int:
    """Run one replica in this process, from bind to stop. Needs the main thread: it takes SIGTERM and SIGINT.

    Args:
        spec: What to serve, and where.
        notify: Told `serving`, `draining`, `cut-off` and `cannot-start`, see notify.py.
        lifeline_fd: Read end of a pipe; when its other end closes, the replica drains like on SIGTERM.

    Returns:
        The exit code: 0 after a drain, 3 when it cannot start. The same signal twice stops at once, also with 0.
    """
    try:
        with contextlib.ExitStack() as stack:
            factory = _loop_factory(spec)
            if factory is PollerLoop:
                stack.enter_context(quick_wait.installed())
            stack.enter_context(asyncio.Runner(loop_factory=factory)).run(_live(spec, notify, lifeline_fd))
    except CannotStart as error:
        _log.error("replica %s cannot start: %s", spec.id, error)
        notify({"event": "cannot-start", "id": spec.id, "reason": str(error)})
        return CANNOT_START
    return 0


def _loop_factory(spec: ReplicaSpec) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The fastest loop that suits the service; None for asyncio's own."""
    # A user's servicer may mind on which thread it is: a connection to SQLite does.
    if spec.service is None and core_environment.is_known():
        return PollerLoop
    try:
        import uvloop  # noqa: PLC0415 -- not everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _live(spec: ReplicaSpec, notify: Notify, lifeline_fd: int | None) -> None:
    with Orders(lifeline_fd) as orders:
        life = asyncio.create_task(_live_until_told(spec, notify, orders), name=f"replica {spec.id}")
        at_once = asyncio.create_task(orders.at_once.wait(), name="told to stop at once")
        await asyncio.wait({life, at_once}, return_when=asyncio.FIRST_COMPLETED)
        at_once.cancel()
        life.cancel()  # which leaves the replica's block, and that stops it
        with contextlib.suppress(asyncio.CancelledError):
            await life


async def _live_until_told(spec: ReplicaSpec, notify: Notify, orders: Orders) -> None:
    async with Replica(spec) as replica:
        orders.serving = True
        notify({
            "event": "serving", "id": spec.id, "address": replica.address, "pid": os.getpid(),
            "services": list(replica.services),
        })  # fmt: skip
        await orders.end.wait()
        notify({"event": "draining", "id": spec.id})
        await replica.drain(because=orders.reason)
        if replica.cut_off:
            notify({"event": "cut-off", "id": spec.id, "calls": replica.cut_off, "after_s": spec.grace_s})
