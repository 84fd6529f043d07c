"""grpc.health.v1 for asyncio: Check, Watch and List. What the statuses are is the replica's to say.

The servicer in grpcio-health-checking (`grpc_health/v1/_async.py`) has no List, and holds its condition's lock while it
writes to a watcher: one that never reads keeps the lock once flow control stops the write, and then `set()`, hence
`enter_graceful_shutdown()`, hence a drain, waits for ever. Here a change is a dictionary entry and a wake-up.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backends.identity import Handler

SERVICE = "grpc.health.v1.Health"

_Status = health_pb2.HealthCheckResponse


class Health:
    """The statuses by service name ("" is the server as a whole), and who watches them. One event loop's."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._told: int | None = None
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    def set_all(self, names: Iterable[str], *, serving: bool) -> None:
        """Set `names` to SERVING or NOT_SERVING and wake their watchers; blocks on nobody."""
        for name in names:
            self._statuses[name] = _Status.SERVING if serving else _Status.NOT_SERVING
            for changed in self._watchers.get(name, ()):
                changed.set()

    def tell(self, status: str) -> None:
        """Report this status, by its name, for every name that has one; "" for their own again."""
        self._told = _Status.ServingStatus.Value(status) if status else None
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()

    def _status(self, service: str) -> int | None:
        own = self._statuses.get(service)
        return own if own is None or self._told is None else self._told

    def name_of(self, service: str = "") -> str:
        """The status by its name: SERVING, NOT_SERVING, SERVICE_UNKNOWN."""
        status = self._status(service)
        name: str = _Status.ServingStatus.Name(_Status.SERVICE_UNKNOWN if status is None else status)
        return name

    def close(self) -> None:
        """End every Watch, so that a server that stops need not wait for them."""
        self._closed = True
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()

    async def check(self, request: Any, context: Any) -> Any:
        """Check: NOT_FOUND for a name that has no status."""
        status = self._status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return _Status(status=status)

    async def list(self, _request: bytes, _context: Any) -> bytes:
        """List: all names, sorted; a HealthListResponse already serialized."""
        return list_response([(name, self._status(name) or 0) for name in sorted(self._statuses)])

    async def watch(self, request: Any, context: Any) -> None:
        """Watch: the status now and after each change, SERVICE_UNKNOWN for a name that has none yet.

        A watcher that reads slowly misses what lay between; the latest status reaches it. Ends with UNAVAILABLE when
        the replica stops.
        """
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(request.service, set())
        watchers.add(changed)
        sent = None
        try:
            while True:
                changed.clear()
                status = self._status(request.service)
                if status is None:
                    status = _Status.SERVICE_UNKNOWN
                if status != sent:
                    await context.write(_Status(status=status))
                    sent = status
                elif self._closed:  # asked last: a watcher hears NOT_SERVING before its stream ends
                    break
                else:
                    await changed.wait()
        finally:
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(request.service, None)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the replica stops")

    def handlers(self) -> dict[str, Handler]:
        """The service's methods."""
        request, status = health_pb2.HealthCheckRequest.FromString, _Status.SerializeToString
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self.check, request, status),
            "List": grpc.unary_unary_rpc_method_handler(self.list),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, request, status),
        }


def list_response(statuses: Iterable[tuple[str, int]]) -> bytes:
    """HealthListResponse, `map<string, HealthCheckResponse> statuses = 1`, as bytes.

    By hand, because grpcio-health-checking has no class for it up to 1.82 and we support older ones. On the wire a map
    is a repeated message of key (1) and value (2); HealthCheckRequest happens to be the message that has but a key.
    """
    return b"".join(
        _sized(0x0A, health_pb2.HealthCheckRequest(service=name).SerializeToString() + _sized(0x12, value))
        for name, value in ((name, _Status(status=status).SerializeToString()) for name, status in statuses)
    )


def _sized(tag: int, payload: bytes) -> bytes:
    size, rest = [], len(payload)
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return bytes((tag, *size, rest)) + payload
