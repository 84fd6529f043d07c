"""What a replica can be told while it runs: another health, a fault. Only who is on the same machine may tell."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc

from backends.fault import HEALTHS, NO_FAULT, Fault
from backends.faulty import Striker
from protos import cluster_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backends.dispatch import Dispatch
    from backends.health import Health
    from backends.identity import Handler

_log = logging.getLogger(__name__)

_LOCAL = ("unix:", "unix-abstract:", "ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D")


class ReplicaControl:
    """The orders to one replica; what they change is gone with its process.

    Args:
        dispatch: Whose calls a fault hits.
        health: What reports the health.
        stats: The replica's answer to every order.
    """

    def __init__(self, dispatch: Dispatch, health: Health, stats: Callable[[], cluster_pb2.ReplicaStats]) -> None:
        self._dispatch = dispatch
        self._health = health
        self._stats = stats
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def fault(self) -> Fault:
        """The fault at work."""
        striker = self._dispatch.striker
        return NO_FAULT if striker is None or striker.over else striker.fault

    def close(self) -> None:
        """The replica drains: from here on it reports its own health, whatever it is told."""
        self._closed = True
        self._health.tell("")
        if self._timer is not None:
            self._timer.cancel()

    def handlers(self) -> dict[str, Handler]:
        """The methods, by name."""
        answer = cluster_pb2.ReplicaStats.SerializeToString
        return {
            "SetHealth": grpc.unary_unary_rpc_method_handler(
                local(self._set_health), cluster_pb2.SetHealthRequest.FromString, answer
            ),
            "SetFault": grpc.unary_unary_rpc_method_handler(
                local(self._set_fault), cluster_pb2.SetFaultRequest.FromString, answer
            ),
        }

    async def _set_health(self, request: Any, context: Any) -> cluster_pb2.ReplicaStats:
        if request.health and request.health not in HEALTHS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{request.health!r} is no health")
        if self._closed:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it drains")
        _log.info("health: %s", f"told to report {request.health}" if request.health else "reports its own again")
        self._health.tell(request.health)
        return self._stats()

    async def _set_fault(self, request: Any, context: Any) -> cluster_pb2.ReplicaStats:
        try:
            fault = Fault.of(request.fault)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        _log.info("fault: %s", fault)
        self._dispatch.strike_with(Striker(fault) if fault else None)
        if fault and fault.for_ms:
            self._timer = asyncio.get_running_loop().call_later(fault.for_ms / 1000, self._end_fault)
        return self._stats()

    def _end_fault(self) -> None:
        self._timer = None
        self._dispatch.strike_with(None)
        _log.info("fault: none, its time is over")


def local(method: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    """The same method for callers on this machine alone: a replica may be bound to more than loopback."""

    async def guarded(request: Any, context: Any) -> Any:
        if not context.peer().startswith(_LOCAL):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only from the same machine")
        return await method(request, context)

    return guarded
